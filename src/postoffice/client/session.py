"""One session of a run: what is listed is recognized, what is new is fetched and kept, what may go is deleted."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postoffice.client.deleting import Deleting
from postoffice.client.entrance import Key, enter
from postoffice.client.fetching import Fetching
from postoffice.client.ledger import Ledger
from postoffice.client.listing import Listed, listing
from postoffice.client.recognition import Met, Recognition, recognize
from postoffice.client.run import MOST_GIVEN_UP, STUMBLES, Run
from postoffice.client.settling import Settling, headers
from postoffice.client.talk import Endless, Talk
from postoffice.errors import (
    ConnectionLost,
    Disconnected,
    PostofficeError,
    Refused,
    RemoteProtocolError,
    StoreError,
    UsageError,
)
from postoffice.events import event
from postoffice.message.content import HEAD_OCTETS
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Pop3Client
from postoffice.protocols.pop3.table import State

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox

CLOSE_SECONDS: Final = 2.0


class Session:
    """`new` letters were fetched and kept by it, of `listed`. `is_fruitful`: it brought the run nearer to its end.
    `has_learned`: commands that it sent ahead may be why it failed; the next one sends none."""

    def __init__(self, run: Run, key: Key, mailbox: Mailbox) -> None:
        self.listed = 0
        self.is_fruitful = False
        self.has_learned = False
        self._run = run
        self._options = run.options
        self._key = key
        self._mailbox = mailbox
        self._ledger = Ledger(mailbox, key.source.maildrop)
        self._window = 1
        self._fetching: Fetching | None = None
        self._end: asyncio.Future[None] | None = None

    @property
    def new(self) -> int:
        return self._fetching.kept if self._fetching is not None else 0

    async def ended(self) -> None:
        """Wait for the end of the conversation, if it began: it finishes what it does to the mailbox.

        Where it is not over by itself, somebody stops it, and waits for no scan.
        """
        if self._fetching is not None:
            self._fetching.hurry()
        if self._end is not None:
            await self._end
        if self._fetching is not None:
            await self._fetching.ended()

    async def converse(self, dialogue: Dialogue[Pop3Client]) -> None:
        self._end = asyncio.get_running_loop().create_future()
        talk = Talk(dialogue, self._key.source.host, trusts_pipelining=self._run.trusts_pipelining)
        self._run.report.sessions += 1
        dialogue.patience = self._options.patience_seconds
        try:
            await self._pull(talk)
        except PostofficeError as problem:
            await self._save_what_is_here(talk, problem)
            if isinstance(problem, (Disconnected, RemoteProtocolError)):
                await self._learn_from(talk, problem)
            if isinstance(problem, RemoteProtocolError):
                raise RemoteProtocolError(f"{self._key.source.host} broke the protocol: {problem}") from problem
            raise
        finally:
            self._end.set_result(None)

    async def _pull(self, talk: Talk) -> None:
        capabilities = await enter(talk, self._key)
        self._run.enter(capabilities)
        can_pipeline = b"PIPELINING" in capabilities and talk.trusts_pipelining
        self._window = self._options.window_letters if can_pipeline else 1
        items = await listing(
            talk,
            can_pipeline=can_pipeline,
            says_uidl=b"UIDL" in capabilities,
            needs_unique_ids=self._options.needs_unique_ids,
        )
        seen = self._options.clock()
        await self._ledger.read()
        found = recognize(items, self._ledger)
        settling = Settling(self._run, self._ledger, found)
        await settling.ask(talk, self._window)
        self._note_what_is_gone(found, settling, [], seen)
        await self._ledger.flush()
        wanted, left = self._sorted(found)
        await self._look_at_what_is_left(talk, left, seen)
        self._count(found, settling, items, wanted)
        self._fetching = fetching = Fetching(self._run, self._mailbox, self._ledger, settling, seen)
        if wanted:
            await fetching.fetch(talk, wanted, self._window)
            self._note_what_is_gone(found, settling, fetching.here, seen)
        self.is_fruitful = self.is_fruitful or fetching.is_fruitful
        await self._ledger.flush()
        deleting = Deleting(self._run, self._ledger)
        if self._options.rules:
            if fetching.here:
                await self._ledger.read()  # of these it does not know yet what they are here
            await deleting.delete(talk, found.known + fetching.here, items, self._window)
        await self._quit(talk, deleting)

    def _note_what_is_gone(self, found: Recognition, settling: Settling, here: Sequence[Met], seen: float) -> None:
        """What a letter in doubt may still turn out to be is not gone yet."""
        run = self._run
        found.gone.difference_update(met.source_id for met in (*found.known, *found.new, *here))
        gone = found.gone - settling.undecided
        found.gone -= gone
        for name in gone:
            self._ledger.note(name, gone=seen)
            if name in run.marked:
                run.marked.discard(name)
                run.report.deleted += 1
                self.is_fruitful = True

    def _sorted(self, found: Recognition) -> tuple[deque[Met], list[Met]]:
        """What is fetched, in its order, and what is left: what failed in other runs is in nobody's way, but last."""
        options = self._options
        wanted, left = [], []
        for met in found.new:
            if options.leaves(met.item):
                left.append(met)
            elif met.source_id not in self._run.refused:
                wanted.append(met)
        if options.order != "oldest":
            wanted.sort(key=lambda met: -met.item.number if options.order == "newest" else met.item.octets)
        wanted.sort(key=self._tries_of_other_runs)
        return deque(wanted), left

    async def _look_at_what_is_left(self, talk: Talk, left: Sequence[Met], seen: float) -> None:
        """The headers of letters that are not fetched now tell people what waits there."""
        named = {met.item.number: met for met in left if met.item.unique_id}
        new = [met.item for met in named.values() if met.source_id not in self._ledger]
        async for item, head in headers(talk, new, self._window):
            met = named[item.number]
            self._ledger.note(met.source_id, seen=seen, octets=item.octets, head=head[:HEAD_OCTETS])
        for met in left:
            if (before := self._ledger.get(met.source_id)) is not None and before.gone is not None:
                self._ledger.note(met.source_id, gone=None)
            if met.source_id not in self._run.left:
                self._run.left.add(met.source_id)
                event("home.left", source_id=met.source_id, octets=met.item.octets)
        await self._ledger.flush()

    def _tries_of_other_runs(self, met: Met) -> int:
        before = self._ledger.get(met.source_id)
        return before.tries if before is not None and met.source_id not in self._run.stumbles else 0

    def _count(self, found: Recognition, settling: Settling, items: Sequence[Listed], wanted: Sequence[Met]) -> None:
        """What the listing says about the run."""
        run, report = self._run, self._run.report
        self.listed = len(items)
        if report.sessions == 1:
            self._tell_what_is_not_there(items)
        certain = (met for met in found.new if met.item.number not in settling.doubts)
        run.listed.update(met.source_id for met in (*found.known, *certain))
        run.known.update(met.source_id for met in found.known if met.source_id not in run.fetched)
        report.listed = max(report.listed, self.listed)
        event(
            "home.listed",
            letters=self.listed,
            octets=sum(item.octets for item in items),
            new=len(wanted),
            new_octets=sum(met.item.octets for met in wanted),
        )

    def _tell_what_is_not_there(self, items: Sequence[Listed]) -> None:
        absent = self._options.only.difference(item.unique_id for item in items)
        self._run.report.absent = len(absent)
        for unique_id in sorted(absent):
            event("home.absent", source_id=unique_id)

    async def _quit(self, talk: Talk, deleting: Deleting) -> None:
        """Without +OK nobody knows what the server removed; the next session will see."""
        try:
            reply = await talk.ask(commands.QUIT)
        except Disconnected as gone:
            if deleting.marked:
                raise type(gone)(f"{gone} before it confirmed what it deleted; everything is kept here") from gone
            return
        if deleting.marked and not reply.is_ok:
            raise talk.refused("to delete everything (all of it is kept here)", reply, os.EX_TEMPFAIL)
        if deleting.marked:
            await deleting.confirm()
            self.is_fruitful = True
        report = self._run.told()
        event("home.closed", letters=report.letters, octets=report.octets, known=report.known, deleted=report.deleted)

    # --- when something fails

    async def _save_what_is_here(self, talk: Talk, problem: PostofficeError) -> None:
        """The session failed. Letters that are here whole are kept, unless it is the mailbox that failed."""
        if self._fetching is not None:
            is_lost = isinstance(problem, StoreError)
            await self._fetching.abandon(all_of_it=is_lost)
            if not is_lost:
                await self._fetching.keep()
            self.is_fruitful = self.is_fruitful or self._fetching.is_fruitful
        machine = talk.machine
        if isinstance(problem, (Refused, UsageError)) and machine.state is State.AUTHORIZATION and not machine.pending:
            talk.say(commands.QUIT)

    async def _learn_from(self, talk: Talk, problem: PostofficeError) -> None:
        """Whose fault it was: that of the letter that was coming, or of commands that were sent ahead."""
        run = self._run
        if talk.has_gone_ahead and (not self.is_fruitful or not isinstance(problem, ConnectionLost)):
            run.trusts_pipelining = False
            self.has_learned = True
        fetching = self._fetching
        if fetching is None or (met := fetching.coming) is None:
            return
        times = run.stumbles[met.source_id] = run.stumbles.get(met.source_id, 0) + 1
        if times < STUMBLES and not isinstance(problem, Endless):
            fetching.note_a_try(met, str(problem))
        else:
            fetching.give_up(met, str(problem))
            self.is_fruitful = len(run.refused) <= MOST_GIVEN_UP
        await self._ledger.flush()
