"""A letter coming in from a sender who may be slow: in memory while it is small, then outside of it.

What is outside is written in a thread, some chunks at a time, while the next ones come in, and nothing refers to it
before a verb takes the `Staged`. Where it lies is the business of an `Overflow`: rows of a mailbox file, or a spool
file of the office.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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


Chunk = bytes | memoryview


class Overflow(Protocol):
    """Where the chunks of a large letter go, in order."""

    def add(self, chunks: list[Chunk], sha256: bytes | None) -> asyncio.Future[None]:
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

    def __init__(self, overflow: Overflow, *, looks_at_line_ends: bool = False) -> None:
        self._overflow = overflow
        self._reader = ContentReader(looks_at_line_ends=looks_at_line_ends)
        self._came: list[bytes] = []
        self._octets_came = 0
        self._kept: list[bytes] = []
        self._octets_kept = 0
        self._has_spilled = False
        self._wire_octets = 0
        self._leaving: asyncio.Future[None] | None = None

    async def write(self, wire: bytes) -> None:
        self._came.append(wire)
        self._octets_came += len(wire)
        if self._octets_came > CHUNK_OCTETS:
            self._look()
            # One octet beyond full chunks stays here, so that the last chunk is known when it is written.
            if self._octets_kept > self._most_octets():
                await self._spill()

    def _most_octets(self) -> int:
        """What may be gathered of a large letter."""
        self._large.add(self)
        return max(1, min(SPILL_CHUNKS, SPILL_CHUNKS_IN_ALL // len(self._large))) * CHUNK_OCTETS

    def _look(self) -> None:
        """The reader takes what came: most letters come whole. Of a large one it is about a chunk, which is in the
        processor's cache while it is searched, and hashed, and the fewer calls."""
        came, self._came, self._octets_came = self._came, [], 0
        if came:
            kept = self._reader.add(came[0] if len(came) == 1 else b"".join(came))
            self._kept.append(kept)
            self._octets_kept += len(kept)

    async def octets(self) -> int:
        self._look()
        return self._reader.octets

    async def finish(self) -> Staged:
        self._look()
        if not self._has_spilled and self._octets_kept <= CHUNK_OCTETS:
            return Staged(self._reader.content(), self._reader.head, self._whole(), self._reader.has_bare_line_ends)
        self._large.discard(self)
        content = self._reader.content()
        await self._spill(content.sha256)
        await self._left()
        self._wire_octets = content.wire_octets
        return Staged(content, self._reader.head, self._overflow.place, self._reader.has_bare_line_ends)

    async def read(self, index: int) -> Piece:
        if self._has_spilled:
            return Piece(*await self._overflow.read(index, self._wire_octets))
        return Piece(self._whole(), more=False)

    def _whole(self) -> bytes:
        return self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)

    async def abandon(self) -> None:
        self._large.discard(self)
        self._came, self._kept = [], []
        if self._has_spilled:
            with suppress(StoreError):  # who could not write it does not want it now
                await self._left()
            await self._overflow.abandon()

    async def _spill(self, sha256: bytes | None = None) -> None:
        self._has_spilled = True
        chunks = list(_cut(self._kept))
        self._kept = [bytes(chunks.pop())] if sha256 is None else []
        self._octets_kept = sum(map(len, self._kept))
        await self._left()
        self._leaving = self._overflow.add(chunks, sha256)

    async def _left(self) -> None:
        """Wait for what is on its way out of memory. Raises what stood in its way."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            await leaving


def _cut(parts: list[bytes]) -> Iterator[Chunk]:
    """Octets in chunks, the last of which may be shorter; none is empty. What lies within one part is not copied."""
    rest = b""
    for part in parts:
        at = 0
        if rest:
            at = CHUNK_OCTETS - len(rest)
            rest += part[:at]
            if len(rest) < CHUNK_OCTETS:
                continue
            yield rest
        end = len(part) - (len(part) - at) % CHUNK_OCTETS
        view = memoryview(part)
        for start in range(at, end, CHUNK_OCTETS):
            yield view[start : start + CHUNK_OCTETS]
        rest = part[end:]
    if rest:
        yield rest


class RowOverflow:
    """Chunk rows of a mailbox file, in small commits."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._content_id: int | None = None
        self._index = 0

    def add(self, chunks: list[Chunk], sha256: bytes | None) -> asyncio.Future[None]:
        return self._desk.begin(lambda connection: self._add(connection, chunks, sha256))

    def _add(self, connection: Connection, chunks: list[Chunk], sha256: bytes | None) -> None:
        if self._content_id is None:
            self._content_id = contents.begin(connection)
        contents.add_chunks(connection, self._content_id, self._index, chunks, sha256)
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
