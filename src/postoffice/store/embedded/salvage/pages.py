"""One page of a b-tree, by itself (https://www.sqlite.org/fileformat.html §1.6): its cells, and whether it is sound.

A page has as many octets as SQLite may use of it: fewer than are in the file where each is encrypted (`layout`).
A page is sound if its cells, its free blocks and its fragments fill it exactly: then its list of cells is believed.
Else `rows_anywhere` looks for rows by what their record headers look like, wherever in the page they lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from postoffice.store.embedded.salvage.records import NotARecord, octets_of, serials, varint

INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF = 2, 5, 10, 13
KINDS = {INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF}

PAYLOAD_OCTETS = 1 << 22
"""The most that a row of ours has, and some: what says it has more is not one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A row as far as it lies in the page, from `at` on. `overflow` is the page on which it goes on, 0 if it does not.

    `rowid` is None in an index, and where a row was found whose number cannot be read.
    """

    rowid: int | None
    octets: int
    at: int
    local: bytes
    overflow: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a page shows. `kind` is 0 for one that is no page of a b-tree."""

    kind: int
    cells: tuple[Cell, ...]
    is_sound: bool
    children: tuple[int, ...] = ()


def look(page: bytes, number: int) -> Look:
    """The cells of a page, those that can be read."""
    start = 100 if number == 1 else 0
    kind = page[start]
    if kind not in KINDS:
        return Look(0, (), is_sound=False)
    header = start + (12 if kind in (INDEX_INTERIOR, TABLE_INTERIOR) else 8)
    count, content = _two(page, start + 3), _two(page, start + 5)
    pointers_end = header + 2 * count
    if pointers_end > len(page):
        return Look(kind, (), is_sound=False)
    cells: list[Cell] = []
    children = [_four(page, header - 4)] if header - start == 12 else []
    used, is_sound = 0, pointers_end <= content
    for pointer in range(header, pointers_end, 2):
        at = _two(page, pointer)
        try:
            cell, child, size = _cell(page, at, kind)
        except NotARecord:
            is_sound = False
            continue
        is_sound = is_sound and at >= content
        used += max(size, 4)
        if child:
            children.append(child)
        if cell is not None:
            cells.append(cell)
    free = _free_octets(page, _two(page, start + 1))
    fills = free is not None and content + used + free + page[start + 7] == len(page)
    return Look(kind, tuple(cells), is_sound and fills, tuple(children))


def _cell(page: bytes, at: int, kind: int) -> tuple[Cell | None, int, int]:
    """A cell, the page on its left, and how many octets it takes."""
    begin, child = at, 0
    if kind in (INDEX_INTERIOR, TABLE_INTERIOR):
        if at + 4 > len(page):
            raise NotARecord("a cell goes beyond its page")
        child = _four(page, at)
        at += 4
    if kind == TABLE_INTERIOR:
        _, end = varint(page, at)
        return None, child, end - begin
    octets, at = varint(page, at)
    rowid = None
    if kind == TABLE_LEAF:
        rowid, at = varint(page, at)
    cell, end = _payload(page, at, octets, rowid, TABLE_LEAF if kind == TABLE_LEAF else INDEX_LEAF)
    return cell, child, end - begin


def _payload(page: bytes, at: int, octets: int, rowid: int | None, kind: int) -> tuple[Cell, int]:
    if not 2 <= octets <= PAYLOAD_OCTETS:
        raise NotARecord("a row of such a size is none of ours")
    local = local_octets(octets, kind, len(page))
    end = at + local + (4 if local < octets else 0)
    if end > len(page):
        raise NotARecord("a cell goes beyond its page")
    overflow = _four(page, at + local) if local < octets else 0
    if local < octets and overflow < 2:
        raise NotARecord("a row goes on nowhere")
    return Cell(rowid, octets, at, page[at : at + local], overflow), end


def local_octets(octets: int, kind: int, usable: int) -> int:
    """How much of a row lies in the page of its cell, of which so many octets are used."""
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if octets <= most:
        return octets
    least = (usable - 12) * 32 // 255 - 23
    fits = least + (octets - least) % (usable - 4)
    return fits if fits <= most else least


def _free_octets(page: bytes, at: int) -> int | None:
    """What the free blocks take; None if their chain is broken."""
    total = 0
    while at:
        if at + 4 > len(page):
            return None
        following, size = _two(page, at), _two(page, at + 2)
        if size < 4 or at + size > len(page) or 0 < following < at + size:
            return None
        total += size
        at = following
    return total


def _two(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 2], "big")


def _four(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 4], "big")


def row_at(page: bytes, at: int, octets: int) -> Cell:
    """The row of a table that was found there before."""
    return _payload(page, at, octets, None, TABLE_LEAF)[0]


# --- rows wherever they lie ------------------------------------------------------------------------------------

_NUMBER = rb"[\x01-\x06\x08\x09]"
_TEXT = rb"(?:[\x0d-\x7f]|[\x81-\xff][\x00-\x7f]|[\x81-\xff][\x80-\xff][\x00-\x7f])"
_TIME = rb"[\x00-\x09]"
_BLOB = rb"(?:[\x00\x0c-\x7f]|[\x81-\xff][\x00-\x7f]|[\x81-\xff][\x80-\xff][\x00-\x7f])"
_HEADERS = re.compile(
    rb"(?=(?P<table>"
    rb"[\x05-\x07]\x00" + _NUMBER + rb"[\x00\x4c]" + _BLOB + rb"|"  # chunks
    rb"\x0b\x00[\x00\x4c]" + _NUMBER * 5 + rb"|"  # contents
    rb"[\x0f-\x18]\x00" + _NUMBER * 3 + _TEXT * 2 + _NUMBER + rb"[\x00-\x06\x08\x09]" + _NUMBER * 3 + _TIME + rb"|"
    rb"[\x07\x08]\x00" + _TEXT + _NUMBER * 4 + rb")|"  # entries, folders
    rb"(?P<index>[\x10-\x20]"
    + _TEXT * 2
    + rb"[\x00-\x06\x08\x09]"
    + _BLOB
    + rb"[\x00\x4c]"
    + _BLOB
    + _TIME * 3
    + rb"))",
    re.DOTALL,
)


def rows_anywhere(page: bytes) -> Iterator[Cell]:
    """Whatever has the header of a row of ours, also where the row's number in front of it is damaged."""
    for match in _HEADERS.finditer(page):
        at = match.start()
        try:
            kinds, header = serials(page, at)
            octets = header + sum(map(octets_of, kinds))
            kind = TABLE_LEAF if match["table"] else INDEX_LEAF
            rowid = _number_before(page, at, octets) if kind == TABLE_LEAF else None
            yield _payload(page, at, octets, rowid, kind)[0]
        except NotARecord:
            continue


def _number_before(page: bytes, at: int, octets: int) -> int | None:
    """The rowid that stands between the size of a row and its record."""
    for width in range(1, 10):
        for size_width in range(1, 4):
            start = at - width - size_width
            if start < 0:
                continue
            try:
                if varint(page, start) != (octets, start + size_width):
                    continue
                rowid, end = varint(page, start + size_width)
            except NotARecord:
                continue
            if end == at:
                return rowid
    return None
