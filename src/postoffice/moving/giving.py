"""Giving letters out: from a mailbox into files that any mail program knows.

A letter is kept as it travels, with CRLF and stuffed dots; in files its lines end with LF. Where that could not be
undone, because it has other line ends as well, `is_plain` says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postoffice.protocols.dots import Unstuffer
from postoffice.store.base import Mailbox
from postoffice.store.model import CHUNK_OCTETS, Entry, Snapshot

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

    async def octets(self) -> AsyncIterator[bytes]:
        """The letter, un-stuffed; no CR is cut from its LF."""
        held = b""
        async for plain in self._portions():
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
    """A letter was removed while it was given out."""


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


async def read(mailbox: Mailbox, keys: Sequence[int]) -> list[Given]:
    """Those letters of a batch that are still there."""
    entries = await mailbox.describe(keys)
    pieces = await mailbox.read(keys)
    return [
        Given(mailbox, entry, Unstuffer().feed(piece.wire), piece.more)
        for entry, piece in zip(entries, pieces, strict=True)
        if entry is not None and piece is not None
    ]
