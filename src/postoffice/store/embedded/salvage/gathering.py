"""A damaged file is read page by page, and what its rows are is noted. No other page is believed for that.

First every page that is sound: what its cells say counts, and the pages on which the rows of letters go on are
known by their checksums. Then what is left: on damaged pages rows are looked for wherever they lie, and such a page
is looked at as it was before, where the log has that. What only an explained page holds, such as the octets of a
letter, is never taken for a row: nobody can send rows by mail.
"""

from __future__ import annotations

from collections.abc import Callable

from postoffice.store.embedded.checksum import crc32
from postoffice.store.embedded.contents import INDEX_BITS
from postoffice.store.embedded.salvage.findings import Findings, Grade
from postoffice.store.embedded.salvage.pages import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    KINDS,
    TABLE_INTERIOR,
    TABLE_LEAF,
    Cell,
    Look,
    look,
    row_at,
    rows_anywhere,
)
from postoffice.store.embedded.salvage.records import NotARecord, octets_of, record, serials
from postoffice.store.embedded.salvage.views import (
    FREE_PAGE,
    OVERFLOW_PAGES,
    ROOT_PAGE,
    TREE_PAGE,
    DamagedFile,
    View,
)
from postoffice.store.model import CHUNK_OCTETS

Tick = Callable[[int], None]
"""Called with the octets that were looked at since."""


class Chunk:
    """A row of `chunks`, as far as its header tells."""

    __slots__ = ("checksum", "data_at", "octets", "sha256")

    def __init__(self, local: bytes, octets: int) -> None:
        kinds, at = serials(local)
        if len(kinds) != 4 or kinds[0] != 0 or not 1 <= kinds[1] <= 9 or kinds[2] not in (0, 76) or kinds[3] < 12:
            raise NotARecord("it is no chunk")
        if kinds[3] % 2 or kinds[1] == 7 or octets_of(kinds[3]) > CHUNK_OCTETS:
            raise NotARecord("it is no chunk")
        self.data_at = at + sum(map(octets_of, kinds[:3]))
        self.octets = octets_of(kinds[3])
        if self.data_at + self.octets != octets or len(local) < self.data_at:
            raise NotARecord("it is no chunk")
        width = octets_of(kinds[1])
        self.checksum = int.from_bytes(local[at : at + width], "big", signed=True) if width else kinds[1] - 8
        self.sha256 = local[at + width : at + width + 32] if kinds[2] else None


class Gathering:
    """One look at a damaged file; what it finds is in `findings`."""

    def __init__(self, file: DamagedFile, findings: Findings, tick: Tick) -> None:
        self._file = file
        self._findings = findings
        self._tick = tick
        self._views = [file.today, *file.older, file.tail]
        self._explained = bytearray(file.today.count // 8 + 1)
        self.damaged_pages = 0
        self.blank_pages = 0
        self._nameless = 0
        self._tables = self._schema()
        self.knows_what_vanished = self._walks("vanished")

    def all(self) -> None:
        left = [number for number in self._file.numbers() if not self._take_sound(number)]
        for number in left:
            if not self._is_explained(number):
                self._take_damaged(number)
        for number in self._file.doubtful():
            self._take_older(number)
        for number in self._file.tail_pages:
            self._take_old(self._file.tail, number)
        self._findings.sort_triples()

    # --- pages -------------------------------------------------------------------------------------------------

    def _take_sound(self, number: int) -> bool:
        page = self._file.today.page(number)
        self._tick(len(page))
        seen = look(page, number)
        if not seen.is_sound:
            return False
        self.damaged_pages += number in self._file.today.wrong
        if seen.kind != TABLE_INTERIOR:
            self._take_cells(number, seen, self._grade_of(number), 0)
        return True

    def _grade_of(self, number: int) -> Grade:
        if number == 1:
            return Grade.KEPT
        kind, _ = self._file.today.map_entry(number)
        if kind == FREE_PAGE or (number > self._file.size and number not in self._file.today.over):
            return Grade.FREE
        is_sure = kind in (ROOT_PAGE, TREE_PAGE) and not self._file.is_doubtful(number)
        return Grade.KEPT if is_sure else Grade.DOUBTFUL

    def _take_damaged(self, number: int) -> None:
        page = self._file.today.page(number)
        grade = self._grade_of(number)
        kind, _ = self._file.today.map_entry(number)
        if grade is Grade.FREE:
            return
        if not page.strip(b"\0"):
            self.blank_pages += 1
        elif kind not in OVERFLOW_PAGES or page[0] in KINDS:
            self.damaged_pages += 1
            self._take_what_lies(page, number, Grade.DOUBTFUL, 0)
        self._take_older(number)

    def _take_older(self, number: int) -> None:
        """A page as it was before, wherever that differs from today."""
        seen = {self._file.today.over.get(number)}
        for view in self._file.older:
            at = view.over.get(number)
            if at not in seen:
                seen.add(at)
                self._take_old(view, number)

    def _take_old(self, view: View, number: int) -> None:
        index = next(index for index, one in enumerate(self._views) if one is view)
        page = view.page(number)
        found = look(page, number)
        if found.is_sound:
            self._take_cells(number, found, Grade.OLD, index)
        elif page[0] in KINDS:
            self._take_what_lies(page, number, Grade.OLD, index)

    def _take_what_lies(self, page: bytes, number: int, grade: Grade, view: int) -> None:
        self._take_cells(number, look(page, number), grade, view)
        cells = tuple(rows_anywhere(page))
        numbered = tuple(cell for cell in cells if cell.rowid is not None)
        self._take_cells(number, Look(TABLE_LEAF, numbered, is_sound=False), grade, view)
        for cell in cells:
            if cell.rowid is None:
                self._take_nameless(number, cell, grade, view)

    # --- cells -------------------------------------------------------------------------------------------------

    def _take_cells(self, number: int, seen: Look, grade: Grade, view: int) -> None:
        table = self._table_of(number) if grade < Grade.OLD else None
        for cell in seen.cells:
            try:
                if seen.kind == TABLE_LEAF and cell.rowid is not None:
                    if not self._take_chunk(number, cell, grade, view, cell.rowid):
                        self._findings.take_row(cell.rowid, record(self._views[view].payload(cell)[0]), grade, table)
                elif seen.kind in (INDEX_LEAF, INDEX_INTERIOR):
                    self._findings.take_key(record(self._views[view].payload(cell)[0]), grade, number, table)
            except NotARecord:
                continue

    def _table_of(self, number: int) -> str | None:
        return self._tables.get(number) or self._tables.get(self._file.today.root_of(number))

    def _take_nameless(self, number: int, cell: Cell, grade: Grade, view: int) -> None:
        """A row whose number cannot be read: a key, or a letter that lies in one row and is known by its name."""
        try:
            row = record(self._views[view].payload(cell)[0])
            if len(row) == 15:
                self._findings.take_key(row, grade, number, None)
                return
            name = Chunk(cell.local, cell.octets).sha256
        except NotARecord:
            return
        if name is not None:
            content_id = self._findings.content_named(name)
            if content_id is None:
                self._nameless -= 1
                content_id = self._nameless
            self._take_chunk(number, cell, grade, view, content_id << INDEX_BITS)

    def _take_chunk(self, number: int, cell: Cell, grade: Grade, view: int, chunk_id: int) -> bool:
        """Whether a cell is a chunk. It is read, so that it is known whether its checksum is right."""
        try:
            chunk = Chunk(cell.local, cell.octets)
        except NotARecord:
            return False
        right = self._right_view(cell, chunk, view)
        where = (view, number, cell.at, cell.octets, view if right is None else right)
        self._findings.put_chunk(chunk_id, int(grade), int(right is not None), *where, chunk.sha256)
        return True

    def chunk_data(self, view: int, page: int, at: int, octets: int, chain_view: int) -> bytes:
        """The octets of a chunk that was found there. Raises NotARecord."""
        cell = row_at(self._views[view].page(page), at, octets)
        payload, _ = self._views[chain_view].payload(cell)
        return payload[Chunk(cell.local, cell.octets).data_at :]

    def _right_view(self, cell: Cell, chunk: Chunk, view: int) -> int | None:
        """Through which view its octets are those of its checksum."""
        for index in (view, *(other for other in range(len(self._views)) if other != view and cell.overflow)):
            try:
                payload, followed = self._views[index].payload(cell)
            except NotARecord:
                continue
            if crc32(memoryview(payload)[chunk.data_at :]) == chunk.checksum:
                if index == 0:
                    for page in followed:
                        self._explained[page >> 3] |= 1 << (page & 7)
                return index
        return None

    def _is_explained(self, number: int) -> bool:
        return bool(self._explained[number >> 3] & 1 << (number & 7))

    # --- the schema, as far as it can be read -------------------------------------------------------------------

    def _schema(self) -> dict[int, str]:
        """The names of tables and indexes by the roots of their trees."""
        found: dict[int, str] = {}
        for seen in self._pages_of(1):
            for cell in seen.cells:
                try:
                    row = record(self._file.today.payload(cell)[0])
                except NotARecord:
                    continue
                if len(row) != 5 or not isinstance(row[1], str) or not isinstance(row[3], int):
                    continue
                kind, _ = self._file.today.map_entry(row[3])
                if kind == ROOT_PAGE or (not kind and seen.is_sound):
                    found[row[3]] = row[1]
        return found

    def _walks(self, table: str) -> bool:
        """Whether a whole tree can be read, from its root on."""
        roots = [root for root, name in self._tables.items() if name == table]
        return len(roots) == 1 and all(seen.is_sound for seen in self._pages_of(roots[0]))

    def _pages_of(self, root: int) -> list[Look]:
        """Every page of a tree that is one; an unsound one stands for what cannot be read."""
        found, left, met = [], [root], {root}
        while left:
            number = left.pop()
            page = look(self._file.today.page(number), number)
            is_doubtful = self._file.is_doubtful(number) or page.kind == 0
            found.append(Look(page.kind, page.cells, page.is_sound and not is_doubtful))
            fresh = [child for child in page.children if 2 <= child <= self._file.today.count and child not in met]
            met.update(fresh)
            left += fresh
        return found
