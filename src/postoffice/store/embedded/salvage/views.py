"""A damaged file as it can be looked at: its pages as they are today, and as they were before.

    today    the file, and over it the frames of the log up to the last end of a transaction, also damaged ones
    whole    the same without the damaged ones
    tail     with the frames behind the last end of a transaction
    base     the file alone
    stale    the file, and over it what was in the log before it was begun anew

A row that is lost on a page of today may still stand on an older one. The files are opened for reading only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from postoffice.database.key import Key
from postoffice.store.embedded.salvage.layout import layout_of_plain
from postoffice.store.embedded.salvage.pages import Cell
from postoffice.store.embedded.salvage.records import NotARecord, octets_of, serials
from postoffice.store.embedded.salvage.sealed import Opener, Unsealer
from postoffice.store.embedded.salvage.wal import Frame, frames

FREE_PAGE, ROOT_PAGE, TREE_PAGE = 2, 1, 5
OVERFLOW_PAGES = {3, 4}


class View:
    """Pages by their number, 1 the first. One that is cut off is filled up with zeros."""

    def __init__(self, file: int, log: int | None, over: Mapping[int, int], count: int, opener: Opener) -> None:
        self._file = file
        self._log = log
        self._opener = opener
        self.over = over
        self.count = count
        self.wrong: set[int] = set()
        """Pages that were looked at and are not what was written, where pages can tell."""

    def page(self, number: int) -> bytes:
        at = self.over.get(number)
        size = self._opener.layout.page_octets
        if at is not None and self._log is not None:
            octets = os.pread(self._log, size, at)
        else:
            octets = os.pread(self._file, size, (number - 1) * size)
        page, is_right = self._opener.page(octets.ljust(size, b"\0"), number)
        if not is_right:
            self.wrong.add(number)
        return page

    def payload(self, cell: Cell) -> tuple[bytes, list[int]]:
        """All octets of a row, and the pages on which it goes on."""
        kinds, header = serials(cell.local)
        if header + sum(map(octets_of, kinds)) != cell.octets:
            raise NotARecord("a row has another size than its values")
        parts, left, number = [cell.local], cell.octets - len(cell.local), cell.overflow
        followed: list[int] = []
        while left > 0:
            if not 2 <= number <= self.count:
                raise NotARecord(f"it goes on on page {number}, which is not there")
            page = self.page(number)
            followed.append(number)
            parts.append(page[4 : 4 + left])
            left -= len(parts[-1])
            number = int.from_bytes(page[:4], "big")
        return b"".join(parts), followed

    def map_entry(self, number: int) -> tuple[int, int]:
        """Type and parent of a page by the pointer map, (0, 0) if that cannot be believed."""
        layout = self._opener.layout
        place = layout.map_page_of(number)
        if number < 2 or place == number:
            return 0, 0
        kind, parent = layout.map_entry(self.page(place), number)
        is_alone = kind in (ROOT_PAGE, FREE_PAGE)
        if kind > TREE_PAGE or (is_alone and parent) or (not is_alone and not 1 <= parent <= self.count):
            return 0, 0
        return kind, parent

    def root_of(self, number: int) -> int:
        """The root of the tree that a page is in, by the pointer map; 0 if that cannot be told."""
        for _ in range(20):
            kind, parent = self.map_entry(number)
            if kind != TREE_PAGE:
                return number if kind == ROOT_PAGE else 0
            number = parent
        return 0


class DamagedFile:
    """A file, the log beside it if there is one, and the views of them."""

    def __init__(self, path: Path, key: Key | None = None) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._log: int | None = None
        self.octets = os.fstat(self._file).st_size
        try:
            self._log = os.open(path.with_name(f"{path.name}-wal"), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            pass
        except OSError:
            os.close(self._file)
            raise
        self._opener = self._plain() if key is None else Unsealer(key)
        self.layout = self._opener.layout
        self._read_log()

    def _plain(self) -> Opener:
        def read(at: int, octets: int) -> bytes:
            return os.pread(self._file, octets, at)

        return Opener(layout_of_plain(read, self.octets, self._pages_of_log))

    def _pages_of_log(self, page_octets: int) -> Iterator[tuple[int, bytes]]:
        for frame in self._frames(page_octets):
            if self._log is not None and frame.is_of_today:
                yield frame.page, os.pread(self._log, page_octets, frame.at)

    def _frames(self, page_octets: int) -> list[Frame]:
        log = self._log
        if log is None:
            return []
        return frames(lambda at, octets: os.pread(log, octets, at), os.fstat(log).st_size, page_octets)

    def _read_log(self) -> None:
        found = self._frames(self.layout.page_octets)
        self.wrong_frames = sum(not frame.is_whole for frame in found if frame.is_of_today)
        ours = [frame for frame in found if frame.is_of_today]
        last = max((index for index, frame in enumerate(ours) if frame.size), default=-1)
        kept, tail = ours[: last + 1], ours[last + 1 :]
        whole = [frame for frame in kept if frame.is_whole]
        sizes = [frame.size for frame in whole if frame.size]
        self.base = -(-self.octets // self.layout.page_octets)
        self.size = sizes[-1] if sizes else self.base
        """How many pages the file has by its last transaction; what lies behind them was given back."""
        self.count = max(self.base, *(frame.page for frame in whole), 1) + len(found)
        """No page has a higher number."""
        self.today = self._view(kept)
        doubtful = {frame.at for frame in kept if not frame.is_whole}
        self._from_damaged_frames = {page for page, at in self.today.over.items() if at in doubtful}
        self.tail = self._view(ours)
        self.tail_pages = {page for page, at in self.tail.over.items() if at in {frame.at for frame in tail}}
        stale = [frame for frame in found if not frame.is_of_today]
        self.older = [self._view(whole), self._view([]), self._view(stale)]

    def _view(self, over: Sequence[Frame]) -> View:
        return View(
            self._file,
            self._log,
            {frame.page: frame.at for frame in over if 0 < frame.page <= self.count},
            self.count,
            self._opener,
        )

    def is_doubtful(self, number: int) -> bool:
        """Whether a page of today that was looked at comes from a damaged frame, or is not what was written."""
        return number in self._from_damaged_frames or number in self.today.wrong

    def doubtful(self) -> list[int]:
        """Those that are so far."""
        return sorted(self._from_damaged_frames | self.today.wrong)

    def numbers(self) -> Iterator[int]:
        """Of the pages of today, but that of the locks and those of the pointer map."""
        beyond = sorted(number for number in self.today.over if number > self.base)
        for number in chain(range(1, self.base + 1), beyond):
            if number != self.layout.lock_page and self.layout.map_page_of(max(number, 2)) != number:
                yield number

    def close(self) -> None:
        os.close(self._file)
        if self._log is not None:
            os.close(self._log)
