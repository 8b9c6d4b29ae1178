"""What is read from a mailbox file at once, on the loop's thread: who sees what, pieces of letters, entries.

A snapshot is made by SQLite itself as three long texts and never as an object per row. Its generation is the last
letter's email id and the count: letters only ever come at the end and go from anywhere, so two moments with the
same last letter and the same count show the same letters. A letter that came back from another folder has a unique
id that is not its email id; then both of them count.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import apsw

from postoffice.database.sqlite import Connection
from postoffice.errors import DamagedStore
from postoffice.protocols.dots import Unstuffer, stuff
from postoffice.store.embedded import folders
from postoffice.store.embedded.words import LONG_CHARACTERS, words
from postoffice.store.model import SMALL_OCTETS, Changes, Entry, Flag, Folder, Head, Piece, Small, Snapshot

SHOWN_TO_ALL = "SELECT entry_id, octets, unique_id, surrogate_octets FROM entries WHERE folder_id = ? ORDER BY uid"
SHOWN_TO_ONE = (
    "SELECT entry_id, octets, unique_id, surrogate_octets FROM entries WHERE folder_id = ? AND entry_id NOT IN"
    " (SELECT entry_id FROM removed WHERE viewer_id = ?) ORDER BY uid"
)
IN_COLUMNS = (
    "SELECT group_concat(entry_id, ','), group_concat(octets, ','), group_concat(unique_id, ' '), group_concat("
    "CASE WHEN surrogate_octets != octets THEN entry_id || ',' || surrogate_octets END, ',') FROM ({})"
)
LARGE_OCTETS = SMALL_OCTETS
"""From here on a row's data is read by a handle, straight into what is handed out. A statement would copy it twice, in
memory had anew each time: 470 µs for 256 KiB, and 95 by a handle."""

PIECES = (
    "SELECT e.entry_id, e.prefix, iif(length(c.data) < ?, c.data, NULL), c.chunk_id, c.sha256 IS NULL"
    " FROM carray(?) k CROSS JOIN entries e ON e.entry_id = k.value"
    " CROSS JOIN chunks c ON c.chunk_id = (e.content_id << 20 | ?)"
)
SMALLS = (
    "SELECT e.prefix, iif(length(c.data) < ? AND c.sha256 IS NOT NULL, c.data, NULL)"
    " FROM carray(?) k CROSS JOIN entries e ON e.entry_id = k.value"
    " CROSS JOIN chunks c ON c.chunk_id = e.content_id << 20"
)
HEADS = (
    "SELECT e.entry_id, e.flags, e.internal_date, e.octets, e.prefix, e.content_id << 20 FROM carray(?) k"
    " CROSS JOIN entries e ON e.entry_id = k.value"
)
ENTRIES = (
    "SELECT e.entry_id, e.uid, e.email_id, e.unique_id, e.octets, e.surrogate_octets, e.has_dot_lines, e.flags,"
    " e.modseq, e.internal_date, e.saved, e.prefix, c.sha256 FROM {} JOIN contents c USING (content_id) "
)
BY_KEY = ENTRIES.format("carray(?) k CROSS JOIN entries e ON e.entry_id = k.value")
BY_MODSEQ = ENTRIES.format("entries e") + "WHERE e.folder_id = ? AND e.modseq > ? ORDER BY e.uid"


_PREFIX = itemgetter(0)
EVERYBODY_ID, OWNER_ID = 0, 1
"""Where a snapshot names who sees it: what is kept, whoever sees it; the viewer that is there from the first day."""


class Columns(NamedTuple):
    """What a viewer sees, in columns; `last` names the last one, empty where there is none."""

    keys: array[int]
    octets: array[int]
    unique_ids: Sequence[str]
    surrogates: dict[int, int]
    last: str
    viewer_id: int

    def snapshot(self) -> Snapshot:
        generation = (int.from_bytes(self.last.encode(), "big"), len(self.keys), self.viewer_id)
        return Snapshot(generation, self.keys, self.octets, self.unique_ids, self.surrogates)


class Seen(NamedTuple):
    """A snapshot, what `folders.shown` was, and which arrivals of which life of the office are in it."""

    snapshot: Snapshot
    viewer_id: int
    shown: int
    incarnation: int
    watermark: int


class Texts(NamedTuple):
    """What a viewer sees of a folder as SQLite gives it: columns as long texts, the name of the last letter (as in
    `Columns`), who sees it, `folders.shown`, and up to which arrival of which life of the office letters are in it."""

    keys: str | None
    octets: str | None
    unique_ids: str | None
    surrogates: str | None
    last: str
    viewer_id: int
    shown: int
    incarnation: int
    watermark: int

    def seen(self) -> Seen:
        snapshot = Columns(*split(*self[:4]), self.last, self.viewer_id).snapshot()
        return Seen(snapshot, self.viewer_id, self.shown, self.incarnation, self.watermark)


def split(
    keys: str | None, octets: str | None, unique_ids: str | None, surrogates: str | None
) -> tuple[array[int], array[int], Sequence[str], dict[int, int]]:
    """Long texts as columns; the last one names each letter that has a surrogate before its octets."""
    if keys is None or octets is None or unique_ids is None:
        return array("q"), array("q"), [], {}
    numbers = iter(_numbers(surrogates) if surrogates else ())
    pairs = dict(zip(numbers, numbers, strict=True))
    return _numbers(keys), _numbers(octets), words(unique_ids), pairs


def _numbers(text: str) -> array[int]:
    """Long ones by way of JSON, in a quarter of the time: 100,000 in 6 ms and not in 25. To import it costs 6."""
    if len(text) < LONG_CHARACTERS:
        return array("q", map(int, text.split(",")))
    import msgspec

    return array("q", msgspec.json.decode(f"[{text}]", type=list[int]))


def texts(connection: Connection, viewer: str | None, folder: str) -> Texts:
    """What a viewer sees; None: everything."""
    folder_id = folders.folder_id(connection, folder)
    viewer_id = folders.holder_id(connection, viewer) if viewer is not None else EVERYBODY_ID
    has_removed = connection.execute("SELECT EXISTS (SELECT 1 FROM removed WHERE viewer_id = ?)", (viewer_id,)).get
    if has_removed:
        row = connection.execute(IN_COLUMNS.format(SHOWN_TO_ONE), (folder_id, viewer_id)).fetchone()
    else:
        row = connection.execute(IN_COLUMNS.format(SHOWN_TO_ALL), (folder_id,)).fetchone()
    assert row is not None
    keys, octets, unique_ids, surrogates = row
    last = ""
    if keys:
        sql = "SELECT iif(email_id = unique_id, email_id, email_id || unique_id) FROM entries WHERE entry_id = ?"
        last = connection.execute(sql, (int(keys.rpartition(",")[2]),)).get
    life = connection.execute("SELECT incarnation, watermark FROM mailbox").fetchone()
    if life is None:
        raise DamagedStore("the mailbox does not know what it has taken in")
    return Texts(keys, octets, unique_ids, surrogates, last, viewer_id, shown(connection)[folder], life[0], life[1])


def shown(connection: Connection) -> dict[str, int]:
    """By folder, how often what is shown of it has changed."""
    return dict(connection.execute("SELECT name, shown FROM folders").fetchall())


def piece(prefix: bytes, data: bytes, index: int, *, more: bool) -> Piece:
    return Piece(stuff(prefix) + data if prefix and not index else data, more)


def pieces(connection: Connection, keys: Sequence[int], index: int) -> list[Piece | None]:
    """A flight of letters in one statement."""
    if not keys:
        return []
    bindings = (LARGE_OCTETS, apsw.carray(array("q", keys)), index)
    with _Handle(connection) as handle:  # while rows still come, so that it looks at the file in the same transaction
        rows = [
            (key, piece(prefix, handle.read(chunk_id) if data is None else data, index, more=more == 1))
            for key, prefix, data, chunk_id, more in connection.execute(PIECES, bindings)
        ]
    if len(rows) == len(keys):
        return [found for _, found in rows]  # they come in the order in which they were asked for
    here = dict(rows)
    _must_be_gone(connection, [key for key in keys if key not in here], index)
    return [here.get(key) for key in keys]


def smalls(connection: Connection, keys: Sequence[int]) -> list[Small]:
    """Letters in one statement, with nothing done for each of them but what SQLite does."""
    rows: list[Small] = (
        connection.execute(SMALLS, (SMALL_OCTETS, apsw.carray(array("q", keys)))).fetchall() if keys else []
    )
    if len(rows) != len(keys):
        return [(b"", None)] * len(keys)  # one of them is gone
    if any(map(_PREFIX, rows)):
        return [(stuff(prefix), data) for prefix, data in rows]
    return rows


def _must_be_gone(connection: Connection, keys: Sequence[int], index: int) -> None:
    """A letter without its octets is damage, and is not told as one that was removed."""
    for (key,) in connection.execute(
        "SELECT entry_id FROM carray(?) k CROSS JOIN entries ON entry_id = k.value",
        (apsw.carray(array("q", keys)),),
    ):
        raise DamagedStore(f"piece {index} of letter {key} is not there")


def heads(connection: Connection, keys: Sequence[int], octets: int) -> list[Head | None]:
    """The beginnings of letters, of which the file's other pages are not read. One that is not there is empty."""
    if not keys:
        return []
    rows = connection.execute(HEADS, (apsw.carray(array("q", keys)),)).fetchall()
    with _Handle(connection) as handle:
        found = {
            key: Head(key, Flag(flags), came, size, Unstuffer().feed(stuff(prefix) + handle.read(chunk_id, octets)))
            for key, flags, came, size, prefix, chunk_id in rows
        }
    return [found.get(key) for key in keys]


class _Handle:
    """Reads the data of chunk rows, by one handle of SQLite's that goes from one to the next."""

    __slots__ = ("_blob", "_connection")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blob: Any = None

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def read(self, chunk_id: int, octets: int = -1) -> bytes:
        """So many octets from its beginning, or all; none where there is no such row."""
        try:
            if self._blob is None:
                self._blob = self._connection.blob_open("main", "chunks", "data", chunk_id, False)
            else:
                self._blob.reopen(chunk_id)
            data: bytes = self._blob.read(octets)
        except (apsw.SQLError, apsw.AbortError):
            self._close()
            return b""
        return data

    def _close(self) -> None:
        blob, self._blob = self._blob, None
        if blob is not None:
            blob.close(True)


def entries(connection: Connection, keys: Sequence[int]) -> list[Entry | None]:
    if not keys:
        return []
    rows = connection.execute(BY_KEY, (apsw.carray(array("q", keys)),))
    found = {row[0]: _entry(row) for row in rows}
    return [found.get(key) for key in keys]


def changes(connection: Connection, since: int, folder: str) -> Changes:
    folder_id = folders.folder_id(connection, folder)
    highest = connection.execute("SELECT highest_modseq FROM folders WHERE folder_id = ?", (folder_id,)).get
    rows = connection.execute(BY_MODSEQ, (folder_id, since)).fetchall()
    vanished = connection.execute(
        "SELECT uid FROM vanished WHERE folder_id = ? AND modseq > ? ORDER BY uid", (folder_id, since)
    ).fetchall()
    return Changes(int(highest), tuple(_entry(row) for row in rows), tuple(uid for (uid,) in vanished))


def all_folders(connection: Connection) -> list[Folder]:
    rows = connection.execute("SELECT name, uid_validity, uid_next, highest_modseq FROM folders ORDER BY folder_id")
    return [Folder(*row) for row in rows]


def tallies(connection: Connection) -> list[tuple[str, int, int]]:
    """Of each folder its name, how many letters it has, and how many of them are not read; one look at every entry."""
    sql = (
        "SELECT name, count(entry_id), coalesce(sum(NOT flags & 1), 0)"
        " FROM folders LEFT JOIN entries USING (folder_id) GROUP BY folder_id ORDER BY folder_id"
    )
    return [(name, letters, unread) for name, letters, unread in connection.execute(sql)]


def unread(connection: Connection, folder: str) -> array[int]:
    """The letters of a folder that are not read, oldest first."""
    sql = "SELECT entry_id FROM entries WHERE folder_id = ? AND NOT flags & 1 ORDER BY uid"
    return array("q", (key for (key,) in connection.execute(sql, (folders.folder_id(connection, folder),))))


def _entry(row: tuple[Any, ...]) -> Entry:
    key, uid, email_id, unique_id, octets, surrogate, dotted, flags, modseq, date, saved, prefix, name = row
    return Entry(  # the columns are NOT NULL and have these types in the schema
        key,
        uid,
        email_id,
        unique_id,
        octets,
        surrogate,
        bool(dotted),
        Flag(flags),
        modseq,
        date,
        saved,
        prefix,
        name,
    )
