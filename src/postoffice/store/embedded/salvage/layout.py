"""How a damaged file is laid out: how large its pages are, and how much of each SQLite uses.

Its header may be gone, or lie, so it is decided by looking: in which layout do more pages add up? Only places count
where a page begins in every layout. The octets of a letter never lie there, so nobody has a voice in it who can do no
more than send mail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from postoffice.database.key import LOCKED_PAGE_OCTETS, PLAIN, RESERVED_OCTETS
from postoffice.store.embedded.salvage.pages import look

_HEADER_OCTETS, _PAGE_OCTETS_AT, _RESERVED_AT = 100, 16, 20  # https://www.sqlite.org/fileformat.html §1.3
_LOCK_AT: Final = 1 << 30

Read = Callable[[int, int], bytes]
"""Gives so many octets from a place in a file, fewer at its end."""
PagesOfLog = Callable[[int], Iterable[tuple[int, bytes]]]
"""Gives the pages of a log, and their numbers, if they have so many octets."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A page has so many octets in the file; those behind the usable ones are not SQLite's."""

    page_octets: int
    usable: int

    @property
    def lock_page(self) -> int:
        """The page that locks lie on, which is never used."""
        return _LOCK_AT // self.page_octets + 1

    def map_page_of(self, number: int) -> int:
        """The page of the pointer map that tells of a page; one tells of as many as there is room for (§1.8)."""
        group = self.usable // 5 + 1
        found = (number - 2) // group * group + 2
        return found + 1 if found == self.lock_page else found

    def map_entry(self, page: bytes, number: int) -> tuple[int, int]:
        """What the page of the pointer map says of a page: its type and its parent (§1.8)."""
        at = 5 * (number - self.map_page_of(number) - 1)
        if not 0 <= at <= len(page) - 5:
            return 0, 0
        return page[at], int.from_bytes(page[at + 1 : at + 5], "big")


LOCKED: Final = Layout(LOCKED_PAGE_OCTETS, LOCKED_PAGE_OCTETS - RESERVED_OCTETS)
LAYOUTS: Final = (Layout(8192, 8192), Layout(4096, 4096), LOCKED)
"""Of files that are made today, of those that were made before, and of what is made of an encrypted one."""
PAGE_SIZES: Final = frozenset(layout.page_octets for layout in LAYOUTS)

_STRIDE: Final = max(PAGE_SIZES)
"""At each multiple of it a page begins, whatever the layout."""
_LOOKS: Final = 2000
LOOK_OCTETS: Final = 256 * _STRIDE


def layout_of_plain(read: Read, octets: int, pages_of_log: PagesOfLog) -> Layout:
    """Of a file of so many octets that is not encrypted. Where none of its pages tells, those of its log do, and where
    these do not either, its header."""
    step = max(1, octets // _STRIDE // _LOOKS) * _STRIDE
    votes = Counter(layout for at in range(0, octets, step) for layout in _layouts_of(read(at, _STRIDE), at))
    if not votes:
        votes = Counter(
            layout
            for layout in LAYOUTS
            for number, page in pages_of_log(layout.page_octets)
            if look(page[: layout.usable], number).is_sound
        )
    header = _layout_of_header(read(0, _HEADER_OCTETS))
    return max(LAYOUTS, key=lambda layout: (votes[layout], layout == header))


def _layouts_of(octets: bytes, at: int) -> list[Layout]:
    """In which layouts there is a page that adds up."""
    return [
        layout
        for layout in LAYOUTS
        if len(octets) >= layout.page_octets and look(octets[: layout.usable], at // layout.page_octets + 1).is_sound
    ]


def _layout_of_header(header: bytes) -> Layout | None:
    if not header.startswith(PLAIN) or len(header) < _HEADER_OCTETS:
        return None
    page_octets = int.from_bytes(header[_PAGE_OCTETS_AT : _PAGE_OCTETS_AT + 2], "big")
    return Layout(page_octets, page_octets - header[_RESERVED_AT])


def has_plain_pages(octets: bytes) -> bool:
    """Whether pages of a file, of which this is the beginning, are sound as they lie; those of an encrypted one are
    noise, and of a hundred thousand pages of noise none is."""
    return any(_layouts_of(octets[at : at + _STRIDE], at) for at in range(0, len(octets), min(PAGE_SIZES)))
