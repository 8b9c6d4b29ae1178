"""One round: every letter of a spool is offered to a target, and leaves the spool when the target has it.

    flights ──▶ the target has it, durably ──▶ taken: out of the spool, durably
                          │
                          └── a process that dies here leaves a letter in both

Who died there is noticed by the next round: a Maildir by the names of its files, an mbox by what stands behind the
length that the journal tells. A command or a server can be asked nothing: there the letter is *doubtful*, which is
told, and remembered by a flag of the letter until it is gone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from postoffice.events import event
from postoffice.message.printable import safe
from postoffice.store.model import Flag

if TYPE_CHECKING:
    from postoffice.handing.journal import Journal
    from postoffice.moving.giving import Given
    from postoffice.store.base import Mailbox

DOUBTFUL: Final = Flag.FLAGGED
"""The mark of a letter in a spool that may have been handed over already."""

WORDS: Final = 300
"""So many characters of what a target says are told."""


class Doubtful(Enum):
    """What becomes of a letter that a target which cannot be asked may have already."""

    AGAIN = "again"
    HOLD = "hold"


class Handed:
    """What became of a round.

    `letters` and `octets` were handed over; `recognised` had been before, by a run that died; `declined` stay in the
    spool, `is_permanent` where the target said of one that it will never take it. `doubtful` may have been handed over
    before: they were offered again, or are `held`.
    """

    def __init__(self) -> None:
        self.letters = 0
        self.octets = 0
        self.recognised = 0
        self.declined = 0
        self.is_permanent = False
        self.doubtful = 0
        self.held = 0

    @property
    def staying(self) -> int:
        """How many letters are in the spool because their target has not taken them."""
        return self.declined + self.held

    @property
    def status(self) -> int:
        """For sysexits(3): 0 if all were taken, 75 if some may be later, 69 if the target says that one never will."""
        if self.is_permanent:
            return os.EX_UNAVAILABLE
        return os.EX_TEMPFAIL if self.staying else os.EX_OK


class Hand(Protocol):
    """A target that is open."""

    async def found(self, letters: Sequence[Given], length: int) -> frozenset[str] | None:
        """Which of these, as email ids, it has: a run that died was handing them over. None: it cannot be asked."""
        ...

    async def take(self, round_: Round) -> None:
        """Offer it the letters of a round. Raises where it cannot go on; what was taken before that is settled."""

    def close(self) -> None: ...


class Round:
    """What a hand works with."""

    def __init__(self, spool: Mailbox, journal: Journal, doubtful: Doubtful) -> None:
        self.journal = journal
        self.handed = Handed()
        self._spool = spool
        self._holds = doubtful is Doubtful.HOLD

    async def look_back(self, hand: Hand) -> None:
        """Settle what a run that died was doing."""
        died = self.journal.died
        letters = await self._named(died.letters) if died.letters else []
        if letters:
            found = await hand.found(letters, died.length)
            if found is None:
                await self._spool.flag([given.entry.key for given in letters], DOUBTFUL)
            else:
                await self.recognised([given for given in letters if given.entry.email_id in found])
        self.journal.end()

    async def flights(self, most: int) -> AsyncIterator[list[Given]]:
        """All letters that are to be offered, in order, at most so many together."""
        from postoffice.moving.giving import batches, read

        for keys in batches(await self._spool.snapshot()):
            letters = [given for given in await read(self._spool, keys) if self._is_offered(given)]
            for start in range(0, len(letters), most):
                yield letters[start : start + most]

    def _is_offered(self, given: Given) -> bool:
        if DOUBTFUL not in given.entry.flags:
            return True
        self.handed.doubtful += 1
        self.handed.held += self._holds
        event("handing.in_doubt", letter=given.entry.email_id, is_held=self._holds)
        return not self._holds

    async def taken(self, letters: Sequence[Given]) -> None:
        """The target has these, durably: they leave the spool."""
        await self._remove(letters)
        self.handed.letters += len(letters)
        self.handed.octets += sum(given.entry.octets for given in letters)
        for given in letters:
            event("handing.handed", letter=given.entry.email_id, octets=given.entry.octets)

    async def recognised(self, letters: Sequence[Given]) -> None:
        """It had them before: the same, and nobody is told of new mail."""
        await self._remove(letters)
        self.handed.recognised += len(letters)
        for given in letters:
            event("handing.recognised", letter=given.entry.email_id)

    async def doubt(self, given: Given) -> None:
        """Nobody knows whether the target has it."""
        await self._spool.flag([given.entry.key], DOUBTFUL)

    def declined(self, given: Given, because: str, *, is_permanent: bool) -> None:
        """The target does not take it: it stays, and the next run tries again."""
        self.handed.declined += 1
        self.handed.is_permanent |= is_permanent
        because = safe(because[:WORDS])
        event("handing.declined", letter=given.entry.email_id, because=because, is_permanent=is_permanent)

    async def _remove(self, letters: Sequence[Given]) -> None:
        if letters:
            await self._spool.remove([given.entry.key for given in letters])

    async def _named(self, email_ids: Iterable[str]) -> list[Given]:
        """Those that are still there, in the order of their names."""
        from postoffice.moving.giving import read

        order = {email_id: index for index, email_id in enumerate(email_ids)}
        keys = (await self._spool.snapshot()).keys
        entries = [entry for part in _parts(keys) for entry in await self._spool.describe(part) if entry is not None]
        named = sorted((one for one in entries if one.email_id in order), key=lambda one: order[one.email_id])
        return [given for part in _parts([one.key for one in named]) for given in await read(self._spool, part)]


def _parts(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), 16):
        yield keys[start : start + 16]
