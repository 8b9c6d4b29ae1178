"""What may go from the server, by the rules; that it was asked for, and that it is done, is noted on either side."""

from __future__ import annotations

from collections.abc import Sequence

from postoffice.client.ledger import Ledger
from postoffice.client.listing import Listed
from postoffice.client.recognition import Met
from postoffice.client.run import Run
from postoffice.client.talk import Talk, said
from postoffice.events import event
from postoffice.protocols.pop3 import commands


class Deleting:
    """Of one session. `marked` are those that the server removes at QUIT."""

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self.marked: list[Met] = []
        self._run = run
        self._ledger = ledger

    async def delete(self, talk: Talk, here: Sequence[Met], items: Sequence[Listed], window: int) -> None:
        """DELE ✍ 3: every letter that is `here` is durable, and so is the note that it is to go."""
        if not here:
            return
        why = await self._chosen(here, items)
        now = self._run.options.clock()
        chosen = [met for met in here if met.item.number in why]
        for met in chosen:
            if self._ledger[met.source_id].deleting is None:
                self._ledger.note(met.source_id, deleting=now, rule=why[met.item.number])
        await self._ledger.flush()
        for start in range(0, len(chosen), window):
            flight = chosen[start : start + window]
            for met in flight:
                talk.say(commands.delete(met.item.number))
            for met in flight:
                reply = (await talk.answer()).reply
                if reply.is_ok:
                    self.marked.append(met)
                    self._run.marked.add(met.source_id)
                    event("home.deleted", source_id=met.source_id)
                else:
                    event("home.not_deleted", source_id=met.source_id, said=said(reply.text))

    async def _chosen(self, here: Sequence[Met], items: Sequence[Listed]) -> dict[int, str]:
        """Which letters may go, by number, and the rule that says so."""
        from postoffice.client.rules import Lying, Scene

        lying = [Lying(met, self._ledger[met.source_id]) for met in sorted(here, key=lambda met: met.item.number)]
        options = self._run.options
        scene = Scene(lying, sum(item.octets for item in items), options.clock(), options.whole_in)
        why: dict[int, str] = {}
        for rule in options.rules:
            for number in await rule.chosen(scene):
                why.setdefault(number, str(rule))
        return why

    async def confirm(self) -> None:
        """The server agreed, at QUIT."""
        now = self._run.options.clock()
        for met in self.marked:
            self._ledger.note(met.source_id, confirmed=now)
            self._run.marked.discard(met.source_id)
        self._run.report.deleted += len(self.marked)
        await self._ledger.flush()
