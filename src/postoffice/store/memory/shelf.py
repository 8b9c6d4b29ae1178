"""Contents, each kept once however many letters show it, and gone with the last of them."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

from postoffice.errors import StoreError
from postoffice.message.content import Content, ContentReader
from postoffice.protocols.dots import stuff
from postoffice.store.model import (
    CHUNK_OCTETS,
    Damage,
    Piece,
    Staged,
)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Kept:
    """A content and its wire form, alive while a letter or a queue item shows it."""

    content: Content
    wire: bytes

    def piece(self, prefix: bytes, index: int) -> Piece:
        start, end = index * CHUNK_OCTETS, (index + 1) * CHUNK_OCTETS
        wire = self.wire if index == 0 and len(self.wire) <= CHUNK_OCTETS else self.wire[start:end]
        return Piece(stuff(prefix) + wire if index == 0 and prefix else wire, len(self.wire) > end)


class Shelf:
    """All contents of an engine, each once."""

    def __init__(self) -> None:
        self._kept: WeakValueDictionary[bytes, Kept] = WeakValueDictionary()

    def keep(self, staged: Staged) -> Kept:
        if not isinstance(staged.place, bytes):
            raise StoreError(f"{staged.place} was not staged in memory")
        kept = self._kept.get(staged.content.sha256)
        if kept is None:
            self._kept[staged.content.sha256] = kept = Kept(staged.content, staged.place)
        return kept

    def octets(self) -> int:
        return sum(len(kept.wire) for kept in self._kept.values())

    def check(self) -> list[Damage]:
        damages = []
        for sha256, kept in self._kept.items():
            reader = ContentReader()
            reader.add(kept.wire)
            if reader.content() != kept.content or kept.content.sha256 != sha256:
                damages.append(Damage(sha256.hex(), "its octets are not those it is named by"))
        return damages


class MemoryStage:
    """A letter coming in, all of it in `Staged.place` in the end."""

    def __init__(self, *, looks_at_line_ends: bool = False) -> None:
        self._reader = ContentReader(looks_at_line_ends=looks_at_line_ends)
        self._wire = bytearray()

    async def write(self, wire: bytes) -> None:
        self._wire += self._reader.add(wire)

    async def octets(self) -> int:
        return self._reader.octets

    async def finish(self) -> Staged:
        return Staged(self._reader.content(), self._reader.head, bytes(self._wire), self._reader.has_bare_line_ends)

    async def read(self, index: int) -> Piece:
        start, end = index * CHUNK_OCTETS, (index + 1) * CHUNK_OCTETS
        return Piece(bytes(self._wire[start:end]), len(self._wire) > end)

    async def abandon(self) -> None:
        self._wire.clear()
