"""Large letters at the office lie in files of their own until their mailboxes have taken them in.

A spool file is written while the sender sends and synced before the transaction that names it. Whoever writes one
holds a lock on it until then, so a file that no row names and nobody locks was left by a crash and may go. The
row goes before its file: a name in `office.db` always leads to a file that is there.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from postoffice.database.sqlite import sync_directory
from postoffice.errors import DamagedStore, StoreUnavailable
from postoffice.store.model import CHUNK_OCTETS

T = TypeVar("T")

SPOOL = "spool"
"""The folder's name, beside `office.db`."""


class Spool:
    """The folder of spool files."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.folder = folder
        self.pool = pool
        self._writing: dict[str, int] = {}
        self._promised: set[str] = set()

    def create(self) -> str:
        name = token_hex(16)
        path = self.folder / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be made: {error.strerror}") from error
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._writing[name] = descriptor
        return name

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        try:
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(self._writing[name], view) :]
        except OSError as error:
            raise StoreUnavailable(f"{self.folder / name} cannot be written: {error.strerror}") from error

    def sync(self, name: str) -> None:
        """What was written survives a loss of power, and so does its name."""
        try:
            os.fsync(self._writing[name])
            self._promised.add(name)
            sync_directory(self.folder)
        except KeyError:
            raise DamagedStore(f"{self.folder / name} was not staged here, or is forgotten already")
        except OSError as error:
            raise StoreUnavailable(f"{self.folder / name} cannot be written: {error.strerror}") from error

    def let_go(self, name: str) -> None:
        """Writing is over; whether the file stays is up to the rows that name it."""
        self._promised.discard(name)
        descriptor = self._writing.pop(name, -1)
        if descriptor >= 0:
            os.close(descriptor)

    def abandon(self, name: str) -> None:
        """Nobody wants it. If a transaction may have named it, whose end was not heard, only a look can tell."""
        if name in self._promised or name not in self._writing:
            self.let_go(name)
        else:
            self.discard([name])

    def discard(self, names: Iterable[str]) -> None:
        """Take files away that nothing names any more."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
            self.let_go(name)

    def read(self, name: str, index: int, wire_octets: int) -> tuple[bytes, bool]:
        """One chunk, and whether more follows. A file that is not there is a `FileNotFoundError`."""
        descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            wanted = max(0, min(CHUNK_OCTETS, wire_octets - index * CHUNK_OCTETS))
            data = os.pread(descriptor, wanted, index * CHUNK_OCTETS)
        finally:
            os.close(descriptor)
        if len(data) < wanted or (not wanted and index):
            raise DamagedStore(f"{self.folder / name} is shorter than the letter in it")
        return data, (index + 1) * CHUNK_OCTETS < wire_octets

    def open(self, name: str, wire_octets: int) -> int | None:
        """A descriptor that reads it, for the caller to close; None if the file is not there."""
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"{self.folder / name} cannot be read: {error.strerror}") from error
        if os.fstat(descriptor).st_size < wire_octets:
            os.close(descriptor)
            raise DamagedStore(f"{self.folder / name} is shorter than the letter in it")
        return descriptor

    def chunks(self, name: str, wire_octets: int) -> Iterator[bytes]:
        """All of it. A file that is not there is a `DamagedStore`."""
        more, index = True, 0
        while more:
            try:
                data, more = self.read(name, index, wire_octets)
            except FileNotFoundError as error:
                raise DamagedStore(f"{self.folder / name} is not there") from error
            index += 1
            yield data

    def unlocked(self) -> Iterator[tuple[str, int]]:
        """Files that nobody is writing, each with a lock on it that lasts until the next one is asked for."""
        for path in list(self.folder.iterdir()):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path.name, descriptor
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)

    def close(self) -> None:
        for name in list(self._writing):
            self.let_go(name)


class SpoolOverflow:
    """Where a large letter goes that comes in at the office."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._name = ""

    def add(self, chunks: list[bytes | memoryview], sha256: bytes | None) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._spool.pool, self._add, chunks)

    def _add(self, chunks: list[bytes | memoryview]) -> None:
        if not self._name:
            self._name = self._spool.create()
        self._spool.write(self._name, chunks)

    async def read(self, index: int, wire_octets: int) -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._spool.pool, self._spool.read, self._name, index, wire_octets)

    async def abandon(self) -> None:
        self._spool.abandon(self._name)

    @property
    def place(self) -> str:
        return self._name
