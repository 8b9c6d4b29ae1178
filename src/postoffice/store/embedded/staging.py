"""A letter coming in from a sender who may be slow: in memory while it is small, then outside of it.

What is outside is written in a thread, some chunks at a time, while the next ones come in, and nothing refers to it
before a verb takes the `Staged`. Where it lies is the business of an `Overflow`: rows of a mailbox file, or a spool
file of the office.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import ClassVar, Protocol
from weakref import WeakSet

from postoffice.database.sqlite import Connection, Desk, transaction
from postoffice.errors import StoreError
from postoffice.message.content import ContentReader
from postoffice.store.embedded import contents
from postoffice.store.model import CHUNK_OCTETS, Piece, Staged

SPILL_CHUNKS = 8
"""How many chunks of a letter are gathered before they leave memory."""

SPILL_CHUNKS_IN_ALL = 64
"""The same for all large letters that come into a process: the more they are, the fewer of each, but one at least."""


class Overflow(Protocol):
    """Where the chunks of a large letter go, in order."""

    def add(self, chunks: list[bytes], last: bytes | None) -> asyncio.Future[None]:
        """Begin to write, after what was begun before has ended. The last call gives the letter's SHA-256."""
        ...

    async def read(self, index: int, wire_octets: int) -> tuple[bytes, bool]:
        """One chunk of a letter that is all there and has so many octets, and whether more follows."""
        ...

    async def abandon(self) -> None: ...

    @property
    def place(self) -> str: ...


class GrowingStage:
    """A `Stage` for any size. Holds `SPILL_CHUNKS` chunks that come in and as many that leave memory, at most."""

    _large: ClassVar[WeakSet[GrowingStage]] = WeakSet()
    """The large letters of this process that are coming in. One that nobody holds any more takes no share."""

    def __init__(self, overflow: Overflow) -> None:
        self._overflow = overflow
        self._reader = ContentReader()
        self._buffer: bytes | bytearray = b""
        self._has_spilled = False
        self._wire_octets = 0
        self._leaving: asyncio.Future[None] | None = None

    async def write(self, wire: bytes) -> None:
        kept = self._reader.add(wire)
        if not self._buffer:
            self._buffer = kept  # most letters come whole, and need not be copied
        else:
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer)
            self._buffer += kept
        # One octet beyond full chunks stays here, so that the last chunk is known when it is written.
        if len(self._buffer) > CHUNK_OCTETS and len(self._buffer) > self._most_octets():
            await self._spill((len(self._buffer) - 1) // CHUNK_OCTETS * CHUNK_OCTETS, None)

    def _most_octets(self) -> int:
        """What may be gathered of a large letter."""
        self._large.add(self)
        return max(1, min(SPILL_CHUNKS, SPILL_CHUNKS_IN_ALL // len(self._large))) * CHUNK_OCTETS

    async def finish(self) -> Staged:
        content = self._reader.content()
        if not self._has_spilled and len(self._buffer) <= CHUNK_OCTETS:
            return Staged(content, self._reader.head, bytes(self._buffer), self._reader.has_bare_line_ends)
        self._large.discard(self)
        await self._spill(len(self._buffer), content.sha256)
        await self._left()
        self._wire_octets = content.wire_octets
        return Staged(content, self._reader.head, self._overflow.place, self._reader.has_bare_line_ends)

    async def read(self, index: int) -> Piece:
        if self._has_spilled:
            return Piece(*await self._overflow.read(index, self._wire_octets))
        return Piece(bytes(self._buffer), more=False)

    async def abandon(self) -> None:
        self._large.discard(self)
        self._buffer = b""
        if self._has_spilled:
            with suppress(StoreError):  # who could not write it does not want it now
                await self._left()
            await self._overflow.abandon()

    async def _spill(self, octets: int, last: bytes | None) -> None:
        self._has_spilled = True
        view = memoryview(self._buffer)
        chunks = [bytes(view[at : min(at + CHUNK_OCTETS, octets)]) for at in range(0, octets, CHUNK_OCTETS)]
        self._buffer = bytes(view[octets:])
        view.release()
        await self._left()
        self._leaving = self._overflow.add(chunks, last)

    async def _left(self) -> None:
        """Wait for what is on its way out of memory. Raises what stood in its way."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            await leaving


class RowOverflow:
    """Chunk rows of a mailbox file, in small commits."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._content_id: int | None = None
        self._index = 0

    def add(self, chunks: list[bytes], last: bytes | None) -> asyncio.Future[None]:
        # The last chunk alone carries the name.
        return self._desk.begin(lambda connection: self._add(connection, chunks, last))

    def _add(self, connection: Connection, chunks: list[bytes], last: bytes | None) -> None:
        if self._content_id is None:
            self._content_id = contents.begin(connection)
        body = chunks if last is None else chunks[:-1]
        if body:
            contents.add_chunks(connection, self._content_id, self._index, body)
        if last is not None:
            contents.add_chunks(connection, self._content_id, self._index + len(body), chunks[-1:], last)
        self._index += len(chunks)

    async def read(self, index: int, wire_octets: int) -> tuple[bytes, bool]:
        content_id = contents.staged_id(self.place)
        return await self._desk.run(lambda connection: contents.read_chunk(connection, content_id, index))

    async def abandon(self) -> None:
        await self._desk.run(self._abandon)

    def _abandon(self, connection: Connection) -> None:
        with transaction(connection):
            contents.disown(connection, self.place)
        contents.sweep(connection)

    @property
    def place(self) -> str:
        return f"{contents.ROW}{self._content_id}"
