"""Letters in doubt: their headers are asked for, and where a header is not enough, their octets are waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from postoffice.client.ledger import Ledger
from postoffice.client.listing import Listed
from postoffice.client.recognition import Doubt, Met, Recognition, header_digest, matching
from postoffice.client.run import Run
from postoffice.client.talk import Endless, Talk
from postoffice.events import event
from postoffice.message.content import HEAD_OCTETS
from postoffice.protocols.dots import Unstuffer
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Body

SURPLUS_OCTETS: Final = 64 * 1024 * 1024
"""How much more than twice what was announced a letter may have; some servers send for ever."""


def must_end(octets: int, item: Listed) -> None:
    """Raise where a body has gone too far."""
    if octets > 2 * item.octets + SURPLUS_OCTETS:
        raise Endless(f"letter {item.number} was said to have {item.octets} octets and does not end")


async def headers(talk: Talk, items: Sequence[Listed], window: int) -> AsyncIterator[tuple[Listed, bytes]]:
    """The header of each letter, where the server gives it (TOP, RFC 1939 §7)."""
    for start in range(0, len(items), window):
        flight = items[start : start + window]
        for item in flight:
            talk.say(commands.top(item.number, 0))
        for item in flight:
            if (await talk.answer()).has_body:
                yield item, await _header(talk, item)


class Settling:
    """Which letters of a listing are known under which name. `doubts` are left for `known_by_octets`, by number."""

    def __init__(self, run: Run, ledger: Ledger, found: Recognition) -> None:
        self.doubts: dict[int, Doubt] = {}
        self._run = run
        self._ledger = ledger
        self._found = found
        self._taken = {met.source_id for met in found.known}

    async def ask(self, talk: Talk, window: int) -> None:
        """Move every letter that is in doubt to those that are known, or to those that are new."""
        looked_at = [doubt.item for doubt in self._found.doubtful if doubt.by_header]
        digests = {item.number: header_digest(head) async for item, head in headers(talk, looked_at, window)}
        for doubt in self._found.doubtful:
            digest = digests.get(doubt.item.number)
            if name := matching(doubt.candidates, self._ledger, self._taken, digest):
                self._found.known.append(self._known_again(doubt, name))
                continue
            self._found.new.append(Met(doubt.item, doubt.source_id))
            if digest is None:
                self.doubts[doubt.item.number] = doubt

    @property
    def undecided(self) -> set[str]:
        """The names that letters in doubt may turn out to have."""
        return {name for doubt in self.doubts.values() for name in doubt.candidates}

    def known_by_octets(self, item: Listed, sha256: bytes) -> Met | None:
        """What a letter is known as that was fetched because it was in doubt; None: it is new."""
        doubt = self.doubts.pop(item.number, None)
        if doubt is None:
            return None
        for name in doubt.candidates:
            if name not in self._taken and self._ledger[name].sha256 == sha256:
                return self._known_again(doubt, name)
        return None

    def _known_again(self, doubt: Doubt, name: str) -> Met:
        """It is the one that is remembered as `name`, by whatever name the server has it now."""
        self._taken.add(name)
        before = self._ledger[name]
        is_renamed = name.partition("\n")[0] != doubt.item.unique_id
        source_id = doubt.source_id if is_renamed else name
        self._ledger.note(source_id, before, octets=doubt.item.octets, confirmed=None, gone=None)
        if is_renamed:
            self._run.report.relinked += 1
            event("home.relinked", source_id=source_id, was=name)
        elif before.confirmed:
            event("home.returned", source_id=source_id)
        return Met(doubt.item, source_id)


async def _header(talk: Talk, item: Listed) -> bytes:
    unstuffer, head, octets = Unstuffer(), bytearray(), 0
    while isinstance(heard := await talk.hear(), Body):
        octets += len(heard.wire)
        must_end(octets, item)
        if len(head) < HEAD_OCTETS:
            head += unstuffer.feed(heard.wire)
    return bytes(head if b"\r\n\r\n" in head else head + b"\r\n")
