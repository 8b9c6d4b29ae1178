"""Giving letters out: from a mailbox into files that any mail program knows.

A letter is kept as it travels, with CRLF and stuffed dots; in files its lines end with LF. Where that could not be
undone, because it has other line ends as well, `is_plain` says so. A letter that is damaged ends whoever gives it out,
unless he says to whom that is told (`damages`).
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postoffice.errors import DamagedStore
from postoffice.message.content import ContentDigest
from postoffice.protocols.dots import Unstuffer
from postoffice.store.base import Mailbox
from postoffice.store.model import CHUNK_OCTETS, Entry, Piece, Snapshot

if TYPE_CHECKING:
    from postoffice.moving.damages import Damages

BATCH_LETTERS: Final = 256
BATCH_OCTETS: Final = 4 * 1024 * 1024

_NOT_PLAIN: Final = re.compile(rb"(?<!\r)\n|\r\r\n")


@dataclass(frozen=True, slots=True)
class Given:
    """A letter on its way out. `beginning` is its first piece, un-stuffed; `more` tells whether there are others."""

    mailbox: Mailbox
    entry: Entry
    beginning: bytes
    more: bool
    damages: Damages | None = None

    async def octets(self) -> AsyncIterator[bytes]:
        """The letter, un-stuffed; no CR is cut from its LF. Raises `GoneMeanwhile`."""
        held = b""
        async for plain in self._watched() if self.damages is not None else self._portions():
            portion = held + plain
            held = b"\r" if portion.endswith(b"\r") else b""
            yield portion[: len(portion) - len(held)]
        yield held

    async def is_plain(self) -> bool:
        """Whether all its lines end with CRLF, and nothing else is like a line end."""
        before = b""
        async for portion in self.octets():
            if _NOT_PLAIN.search(before + portion):
                return False
            before = b"\r" if portion.endswith(b"\r") else b""
        return True

    async def _watched(self) -> AsyncIterator[bytes]:
        """The same, with a word about what is damaged in it."""
        assert self.damages is not None
        content = ContentDigest(len(self.entry.prefix))
        try:
            async for plain in self._portions():
                content.add(plain)
                yield plain
        except DamagedStore as error:
            self.damages.missing(self.entry, error)
            raise GoneMeanwhile(self.entry.unique_id) from error
        if content.digest() != self.entry.sha256:
            self.damages.changed(self.entry)

    async def _portions(self) -> AsyncIterator[bytes]:
        yield self.beginning
        if not self.more:
            return
        unstuffer, index, more = Unstuffer(), 0, True
        while more:
            [piece] = await self.mailbox.read([self.entry.key], index)
            if piece is None:
                raise GoneMeanwhile(self.entry.unique_id)
            plain, more = unstuffer.feed(piece.wire), piece.more
            if index:
                yield plain
            index += 1


def write_all(descriptor: int, octets: bytes) -> int:
    """Write them, however many turns it takes; gives how many they are. May raise OSError."""
    left = memoryview(octets)
    while left:
        left = left[os.write(descriptor, left) :]
    return len(octets)


class GoneMeanwhile(Exception):
    """A letter cannot be given out: it was removed meanwhile, or what is left of it is told (`damages`)."""


def batches(snapshot: Snapshot) -> Iterator[Sequence[int]]:
    """Keys of letters, in order, so many together as may be read together."""
    start, octets = 0, 0
    for index, size in enumerate(snapshot.octets):
        octets += min(size, CHUNK_OCTETS)
        if index + 1 - start >= BATCH_LETTERS or octets >= BATCH_OCTETS:
            yield snapshot.keys[start : index + 1]
            start, octets = index + 1, 0
    if start < len(snapshot.keys):
        yield snapshot.keys[start:]


async def read(mailbox: Mailbox, keys: Sequence[int], damages: Damages | None = None) -> list[Given]:
    """Those letters of a batch that are still there. May raise DamagedStore if nobody hears of `damages`."""
    entries = await mailbox.describe(keys)
    pieces = await (mailbox.read(keys) if damages is None else _readable(mailbox, entries, keys, damages))
    return [
        Given(mailbox, entry, Unstuffer().feed(piece.wire), piece.more, damages)
        for entry, piece in zip(entries, pieces, strict=True)
        if entry is not None and piece is not None
    ]


async def _readable(
    mailbox: Mailbox, entries: Sequence[Entry | None], keys: Sequence[int], damages: Damages
) -> list[Piece | None]:
    """The first pieces; None also for a letter that has none any more."""
    try:
        return await mailbox.read(keys)
    except DamagedStore as error:
        if len(keys) == 1:
            if entries[0] is not None:
                damages.missing(entries[0], error)
            return [None]
    found = []
    for entry, key in zip(entries, keys, strict=True):
        found += await _readable(mailbox, [entry], [key], damages)
    return found
