"""What was found in a damaged file, sorted by what it is of: rows of the tables of a mailbox, known by their shape.

It lies in a file of SQLite's own that has no name and goes with the connection, so that it may be larger than memory.
Of the rows with one key the surest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import apsw

from postoffice.database.key import new_key
from postoffice.database.sqlite import Connection, open_draft
from postoffice.store.embedded.salvage.records import Value


class Grade(IntEnum):
    """How sure it is that a row is one of today."""

    KEPT = 0
    """On a sound page that is in a tree by the pointer map."""
    DOUBTFUL = 1
    """On a damaged page, or on one of which the pointer map does not tell."""
    OLD = 2
    """On a page as it was before."""
    FREE = 3
    """On a page that was given back."""


_TABLES = """
CREATE TABLE chunks (chunk_id INTEGER, grade INTEGER, is_right INTEGER, view INTEGER, page INTEGER, cell_at INTEGER,
    octets INTEGER, chain_view INTEGER, sha256 BLOB, PRIMARY KEY (chunk_id, grade, view, page, cell_at)) WITHOUT ROWID;
CREATE TABLE contents (content_id INTEGER, grade INTEGER, sha256 BLOB, holds INTEGER, PRIMARY KEY (content_id, grade));
CREATE INDEX contents_named ON contents (sha256) WHERE sha256 IS NOT NULL;
CREATE TABLE entries (entry_id INTEGER, grade INTEGER, folder_id INTEGER, uid INTEGER, content_id INTEGER,
    email_id TEXT, unique_id TEXT, octets INTEGER, flags INTEGER, modseq INTEGER, internal_date REAL, arrival INTEGER,
    prefix BLOB, saved REAL, PRIMARY KEY (entry_id, grade));
CREATE INDEX entries_of ON entries (content_id);
CREATE INDEX entries_called ON entries (email_id);
CREATE TABLE shown (entry_id INTEGER PRIMARY KEY, folder_id INTEGER, uid INTEGER, octets INTEGER, unique_id TEXT);
CREATE TABLE triples (first INTEGER, second INTEGER, third INTEGER, page INTEGER, is_sure INTEGER);
CREATE TABLE vanished (folder_id INTEGER, uid INTEGER, is_sure INTEGER, PRIMARY KEY (folder_id, uid));
CREATE TABLE folders (folder_id INTEGER, grade INTEGER, name TEXT, uid_validity INTEGER,
    PRIMARY KEY (folder_id, grade));
CREATE TABLE mailbox (grade INTEGER PRIMARY KEY, incarnation INTEGER, watermark INTEGER);
CREATE TABLE viewers (viewer_id INTEGER, grade INTEGER, name TEXT, holds INTEGER, PRIMARY KEY (viewer_id, grade));
CREATE TABLE removed (entry_id INTEGER, viewer_id INTEGER, PRIMARY KEY (entry_id, viewer_id));
CREATE TABLE pulled (source TEXT, source_id TEXT, grade INTEGER, octets, header, sha256, email_id, seen, fetched,
    deleting, rule, confirmed, gone, tries, words, head, PRIMARY KEY (source, source_id, grade));
CREATE TABLE scans (sha256 BLOB, grade INTEGER, verdict, scanner, at, name, signatures, allowed,
    PRIMARY KEY (sha256, grade));
CREATE INDEX pulled_name ON pulled (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX pulled_email ON pulled (email_id) WHERE email_id IS NOT NULL;
"""
_PULLED_DEFAULTS: tuple[Value, ...] = (None, None, None, None, None, None, None, "", None, None, 0, "", b"")

SHA256_OCTETS = 32
NONE = type(None)
_TIMES, _OR_NONE = (int, float), (int, float, NONE)
_PULLED_KINDS: tuple[type | tuple[type, ...], ...] = (
    *(str, str, (int, NONE), (bytes, NONE), (bytes, NONE), (str, NONE), _OR_NONE, _OR_NONE, _OR_NONE),
    *(str, _OR_NONE, _OR_NONE, int, str, bytes),
)
_PULLED_WIDTHS = (2, 3, 15)
"""How many columns it had over time."""


class Findings:
    """The rows. Closing it forgets them."""

    def __init__(self, hidden: Path | None = None) -> None:
        """With `hidden`, the name that it has for a moment, it is encrypted by a key that goes with it too."""
        if hidden is None:
            self.connection = cast(Connection, apsw.Connection(""))
        else:
            self.connection = open_draft(hidden, new_key())
            hidden.unlink()
        self.connection.execute("PRAGMA journal_mode = OFF").fetchall()
        self.connection.execute("PRAGMA synchronous = OFF")
        self.connection.execute(_TABLES)
        self.connection.execute("BEGIN")

    def close(self) -> None:
        self.connection.close()

    def ask(self, sql: str, bindings: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        return iter(self.connection.execute(sql, bindings))

    def first(self, sql: str, bindings: Sequence[object]) -> tuple[Any, ...] | None:
        return next(self.ask(sql, bindings), None)

    def has_any(self) -> bool:
        """Whether anything of a mailbox was found."""
        tables = ("chunks", "entries", "folders", "pulled")
        return any(True for table in tables for _ in self.ask(f"SELECT 1 FROM {table} LIMIT 1"))  # noqa: S608 ours

    def content_named(self, name: bytes) -> int | None:
        """The content of this SHA-256, as its own row says."""
        for (content_id,) in self.ask(
            "SELECT content_id FROM contents WHERE sha256 = ? ORDER BY grade LIMIT 1", (name,)
        ):
            return int(content_id)
        return None

    # --- rows of tables ----------------------------------------------------------------------------------------

    def take_row(self, rowid: int, row: tuple[Value, ...], grade: Grade, table: str | None) -> None:
        """A row of a table with numbered rows, if it is of one of ours. `table` is whose it is, None if not known."""
        match len(row):
            case 10 if _is(row[1:], (bytes, NONE), *[int] * 5):
                self._put("contents", rowid, grade, row[1], row[6])
            case 14 | 15 if _is(row[1:], int, int, int, str, str, int, (int, NONE), int, int, int, _TIMES):
                self._take_entry(rowid, row, grade)
            case 6 if _is(row[1:], str, int, int, int, int):
                self._put("folders", rowid, grade, row[1], row[2])
            case 3 if rowid == 1 and _is(row[1:], int, int) and (table == "mailbox" or _is_life(row[1], table)):
                self._put("mailbox", grade, row[1], row[2])
            case 2 | 3 if _is(row[1:], str):
                holds = row[2] if len(row) == 3 else 1
                if isinstance(holds, int):
                    self._put("viewers", rowid, grade, row[1], holds)

    def _take_entry(self, entry_id: int, row: tuple[Value, ...], grade: Grade) -> None:
        _, folder, uid, content, email_id, unique_id, octets, _, _, flags, modseq, date, arrival, prefix, *saved = row
        if not isinstance(prefix, bytes) or not isinstance(arrival, int | NONE) or not _is_unique_id(unique_id):
            return
        known = (entry_id, grade, folder, uid, content, email_id, unique_id, octets, flags, modseq, date, arrival)
        self._put("entries", *known, prefix, saved[0] if saved else date)

    # --- rows of indexes ---------------------------------------------------------------------------------------

    def take_key(self, row: tuple[Value, ...], grade: Grade, page: int, table: str | None) -> None:
        """A row of an index, or of a table without numbers. `table` is whose it is, None if that is not known."""
        if len(row) >= 2 and _is(row, str, str) and table in (None, "pulled"):
            whole = (*row, *_PULLED_DEFAULTS[len(row) - 2 :])
            if len(row) in _PULLED_WIDTHS and _is(whole, *_PULLED_KINDS):
                self._put("pulled", row[0], row[1], grade, *whole[2:])
        elif len(row) == 7 and _is(row, bytes, str, str, _TIMES, str, str, str) and table in (None, "scans"):
            if len(octets := cast(bytes, row[0])) == SHA256_OCTETS and grade < Grade.FREE:
                self._put("scans", octets, grade, *row[1:])
        elif len(row) == 6 and _is(row, int, int, int, str, (int, NONE), int) and grade is Grade.KEPT:
            self._put("shown", row[5], *row[:4])
        elif len(row) == 3 and _is(row, int, int, int) and table in (None, "vanished") and grade < Grade.OLD:
            self._put("triples", *row, page, table is not None)
        elif len(row) == 2 and _is(row, int, int) and table == "removed" and grade < Grade.OLD:
            self._put("removed", *row)

    def sort_triples(self) -> None:
        """Which numbers say what vanished: those of whose page no row is what an index of entries would say."""
        self.connection.execute(
            "INSERT OR IGNORE INTO vanished SELECT first, third, is_sure FROM triples WHERE is_sure OR page NOT IN"
            " (SELECT page FROM triples JOIN entries ON entry_id = third AND folder_id = first AND modseq = second)"
            " ORDER BY is_sure DESC"
        )

    # --- chunks ------------------------------------------------------------------------------------------------

    def put_chunk(self, *values: object) -> None:
        """In the order of the columns."""
        self._put("chunks", *values)

    def _put(self, table: str, *values: object) -> None:
        marks = ", ".join("?" * len(values))
        self.connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)  # noqa: S608 ours


def _is(row: Sequence[Value], *kinds: type | tuple[type, ...]) -> bool:
    return all(isinstance(value, kind) for value, kind in zip(row, kinds, strict=False))


def _is_life(incarnation: Value, table: str | None) -> bool:
    """Whether this is the life of an office, or 0, and not the edition of an index: a row of the same shape."""
    return table is None and isinstance(incarnation, int) and (incarnation == 0 or incarnation >= 1 << 20)


def _is_unique_id(value: Value) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= 70 and value.isascii() and value.isprintable() and " " not in value
    )
