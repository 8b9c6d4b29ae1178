"""The shortest engine that keeps every promise of `store.base` but durability: the reference for all others.

Where a docstring of the waists leaves a question, what this engine does is the answer. Nothing here ever
waits, so a verb driven by hand costs its caller only the call. A content is kept once however many letters
show it, and is gone with the last of them.
"""

from __future__ import annotations

from postoffice.clock import Clock, system_clock
from postoffice.store.memory.attic import MemoryAttic
from postoffice.store.memory.directory import MemoryDirectory
from postoffice.store.memory.mailbox import MemoryMailbox
from postoffice.store.memory.office import MemoryOffice
from postoffice.store.memory.shelf import MemoryStage
from postoffice.store.memory.visits import MemoryVisits

__all__ = ["MemoryMailbox", "MemoryStage", "MemoryStore"]


class MemoryStore:
    """Everything in this process, and gone with it."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._office = MemoryOffice(clock)
        self._directory = MemoryDirectory(self._office)
        self._visits = MemoryVisits(self._directory)
        self._attic = MemoryAttic(self._office, self._directory, self._visits)

    @property
    def office(self) -> MemoryOffice:
        return self._office

    @property
    def directory(self) -> MemoryDirectory:
        return self._directory

    @property
    def visits(self) -> MemoryVisits:
        return self._visits

    @property
    def attic(self) -> MemoryAttic:
        return self._attic

    async def close(self) -> None:
        await self._office.close()
