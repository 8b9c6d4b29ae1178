"""What all rooms of one embedded office share: its folder, its threads, its committer, its connection for asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import apsw

from postoffice.clock import Clock
from postoffice.database.migrate import Blank
from postoffice.database.sqlite import Connection, Desk, open_reader, shut, store_error
from postoffice.database.watch import Watch
from postoffice.errors import StoreUnavailable
from postoffice.net.pause import pause
from postoffice.store.embedded.committer import Committer
from postoffice.store.embedded.locks import MOVING, HeldLock, MaildropLocks
from postoffice.store.embedded.places import office_path
from postoffice.store.embedded.residents import Residents
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.spool import Spool

T = TypeVar("T")

PATIENCE_SECONDS = 0.002
"""How long to wait before asking again for a lock that is held for a moment."""

CACHE_OCTETS = 16 * 1024 * 1024
"""How much of `office.db` a process keeps in memory for asking."""


@dataclass(slots=True, eq=False)
class Premises:
    """`incarnation` names this life of the office: one that was restored from a copy has another."""

    data: Path
    clock: Clock
    committer: Committer
    pool: ThreadPoolExecutor
    locks: MaildropLocks
    spool: Spool
    vfs: str | None
    incarnation: int = 0
    is_closed: bool = False
    far: Desk = field(init=False)
    blank: Blank = field(init=False)
    residents: Residents = field(init=False)
    _near: Connection | None = field(init=False, default=None)
    _watch: Watch | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.blank = Blank(MAILBOX)
        self.residents = Residents(self)
        self.far = Desk(office_path(self.data), self.pool, lambda path: open_reader(path, self.vfs))

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask `office.db` something now, on the loop's thread."""
        try:
            return question(self._near or self._open())
        except apsw.Error as error:
            raise store_error(error, office_path(self.data)) from error

    def version(self) -> int:
        """Changes with everything that anybody writes to `office.db`; while it stays, what was asked stays true."""
        try:
            return (self._watch or self._begin_watch()).version()
        except apsw.Error as error:
            raise store_error(error, office_path(self.data)) from error

    def _open(self) -> Connection:
        if self.is_closed:
            raise StoreUnavailable("the office is closed")
        self._near = open_reader(office_path(self.data), self.vfs, CACHE_OCTETS)
        return self._near

    def _begin_watch(self) -> Watch:
        self._watch = Watch(self._near or self._open())
        return self._watch

    async def moving(self, account_id: int) -> HeldLock:
        """The right to move an account's arrivals and its files, over all processes of the office."""
        while (lock := self.locks.take(account_id, MOVING)) is None:
            await pause(PATIENCE_SECONDS)
        return lock

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def close(self) -> None:
        """After the committer is closed and the threads have ended."""
        self.is_closed = True
        near, self._near, self._watch = self._near, None, None
        if near is not None:
            shut(near)
        self.far.close()
        self.spool.close()
        self.locks.close()
