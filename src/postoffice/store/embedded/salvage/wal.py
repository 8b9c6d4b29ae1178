"""The frames of a write-ahead log (https://www.sqlite.org/fileformat.html §4), also behind one that is damaged.

Each frame's checksum goes on from the one before it. SQLite stops at the first that is wrong; here the next one is
reckoned from what the wrong one says of itself, so that a single damaged frame hides no other.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

from postoffice.store.embedded.salvage.layout import Read

HEAD_OCTETS, FRAME_HEAD_OCTETS = 32, 24
_MAGIC = 0x377F0682


@dataclass(frozen=True, slots=True)
class Frame:
    """A page as it was written. `at` is where its octets begin in the log, `size` the pages of the file for the last
    frame of a transaction and 0 for others. `is_of_today`: written since the log was last begun anew."""

    page: int
    size: int
    at: int
    is_whole: bool
    is_of_today: bool


def frames(read: Read, octets: int, page_octets: int) -> list[Frame]:
    """Every frame that lies in the log, in order, by the size that the file's pages have."""
    head = read(0, HEAD_OCTETS)
    frame_octets = FRAME_HEAD_OCTETS + page_octets
    places = range(HEAD_OCTETS, octets - frame_octets + 1, frame_octets)
    if len(head) < HEAD_OCTETS or not places:
        return []
    magic, _, _, _, *ours = struct.unpack(">8I", head)
    order = ">" if magic == _MAGIC | 1 else "<"
    before = (ours[2], ours[3])
    salts = (ours[0], ours[1])
    if magic & ~1 != _MAGIC or checksum(head[:24], (0, 0), order) != before:
        salts = _salts_of(read, places)
    found = []
    for place in places:
        octets_of_frame = read(place, frame_octets)
        page, size, *rest = struct.unpack(">6I", octets_of_frame[:FRAME_HEAD_OCTETS])
        mine, says = (rest[0], rest[1]), (rest[2], rest[3])
        is_ours = mine[0] == salts[0] or mine[1] == salts[1]
        is_whole = False
        if is_ours:
            part = checksum(octets_of_frame[:8], before, order)
            is_whole = mine == salts and checksum(octets_of_frame[FRAME_HEAD_OCTETS:], part, order) == says
        found.append(Frame(page, size, place + FRAME_HEAD_OCTETS, is_whole, is_ours))
        before = says
    return found


def _salts_of(read: Read, places: range) -> tuple[int, int]:
    """Those of the first frames: a log is written from its beginning on."""
    first = [struct.unpack(">2I", read(place + 8, 8)) for place in places[:3]]
    (salts, _), *_ = Counter(first).most_common(1)
    return salts[0], salts[1]


def checksum(octets: bytes, before: tuple[int, int], order: str) -> tuple[int, int]:
    """Of octets behind others (§4.2). `order` is that of `struct`, as the log's first word says it."""
    first, second = before
    for low, high in struct.iter_unpack(f"{order}2I", octets):
        first = (first + low + second) & 0xFFFFFFFF
        second = (second + high + first) & 0xFFFFFFFF
    return first, second
