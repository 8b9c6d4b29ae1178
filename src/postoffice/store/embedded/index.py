"""The index of a mailbox file: which letters hold which words. A waist of its own beside the `Mailbox`.

It lies in the file itself, in tables that the first search makes (`schema.SEARCH`), and holds the letters of all
folders.
It can be made again from the letters, so nothing of it is synced; a loss of power takes the last batches at most, and
the watermark with them. Letters leave it in the transaction that removes their entries.

Words come in folded: this room compares what it was given, and knows no language. It also takes no letter apart; who
adds letters brings the function that does.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from postoffice.database.key import Key
from postoffice.database.sqlite import (
    Connection,
    Desk,
    one_number,
    open_reader,
    open_writer,
    unsynced_transaction,
)
from postoffice.errors import DamagedStore
from postoffice.protocols.dots import Unstuffer
from postoffice.store.embedded import sight
from postoffice.store.embedded.schema import HAS_SEARCH, NO_SEARCH, SEARCH

EDITION: Final = 2
"""Of what is put into the index. One that a program with another edition made is made anew."""

LOOK_OCTETS: Final = 8 * 1024 * 1024
"""How much of a letter is looked at."""

BATCH_LETTERS: Final = 256
BATCH_OCTETS: Final = 8 * 1024 * 1024
"""How much is added in one transaction, which keeps others from writing for as long as it takes."""

RANKED: Final = 5_000
"""So many letters are ranked, the latest ones, where more hold the words: ranking takes some microseconds for each."""

CACHE_OCTETS: Final = 8 * 1024 * 1024


class Column(StrEnum):
    """Where words are looked for, by their names in the table."""

    SENDER = "sender"
    RECIPIENTS = "recipients"
    COPIES = "copies"
    SUBJECT = "subject"
    NAMES = "names"
    TEXT = "text"


_WEIGHTS: Final = {
    Column.SENDER: 4.0,
    Column.RECIPIENTS: 2.0,
    Column.COPIES: 1.0,
    Column.SUBJECT: 6.0,
    Column.NAMES: 3.0,
    Column.TEXT: 1.0,
}
"""How much a word counts where it is."""


@dataclass(frozen=True, slots=True)
class Document:
    """What is kept of a letter, folded. `date` is in seconds since 1970; None: when the letter came."""

    sender: str
    recipients: str
    copies: str
    subject: str
    names: str
    text: str
    attachments: int
    date: float | None


@dataclass(frozen=True, slots=True)
class Words:
    """Words beside each other in one column, or in any. `begins`: the last one may go on. None is empty."""

    words: str
    column: Column | None = None
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Dated:
    """`since` belongs to it, `until` does not."""

    since: float = float("-inf")
    until: float = float("inf")


@dataclass(frozen=True, slots=True)
class Sized:
    """In octets of the whole letter; both bounds do not belong to it."""

    above: int = -1
    below: int = 2**62


@dataclass(frozen=True, slots=True)
class Attached:
    """Something is attached."""


@dataclass(frozen=True, slots=True)
class Within:
    """It lies in one of these folders. Of a letter that moves, the index hears as of a new one."""

    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Without:
    """It is not so."""

    clause: Clause


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of them is so, or several."""

    clauses: tuple[Clause, ...]


Clause = Words | Dated | Sized | Attached | Within | Without | AnyOf


@dataclass(frozen=True, slots=True)
class Hit:
    """A letter: its key in the mailbox, its folder, its number as a snapshot of that counts, its date, its octets."""

    key: int
    folder: str
    number: int
    date: float
    octets: int


@dataclass(frozen=True, slots=True)
class Found:
    """The best ones. `letters` counts all that were found; `is_cut`: at least so many."""

    hits: tuple[Hit, ...]
    letters: int
    is_cut: bool = False


class Index:
    """Opens the file, which is a mailbox of today's version, by connections of its own when they are needed."""

    def __init__(self, path: Path, key: Key | None = None) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._reading = Desk(path, self._pool, partial(open_reader, cache_octets=CACHE_OCTETS, key=key))
        self._writing = Desk(path, self._pool, partial(open_writer, cache_octets=CACHE_OCTETS, key=key))

    async def is_there(self) -> bool:
        """Whether there is an index, of this edition."""
        return await self._reading.run(_is_there)

    async def folders(self) -> list[str]:
        """The names of all folders."""

        def work(connection: Connection) -> list[str]:
            return [name for (name,) in connection.execute("SELECT name FROM folders ORDER BY folder_id")]

        return await self._reading.run(work)

    async def missing(self) -> int:
        """How many letters are not in it yet."""
        return await self._reading.run(_missing)

    async def add(self, take: Callable[[bytes], Document]) -> int:
        """Put the next letters into it, those that are longest here first; it is made if it is not there.

        `take` is called in a thread with the beginning of each letter and must not raise. A letter whose octets are
        not there is empty. Gives how many letters this was; 0: all are in it.
        """
        return await self._writing.run(lambda connection: _add(connection, take))

    async def forget(self) -> None:
        """Take the index away."""

        def work(connection: Connection) -> None:
            with unsynced_transaction(connection):
                connection.execute(NO_SEARCH)

        await self._writing.run(work)

    async def find(self, clauses: Sequence[Clause], limit: int) -> Found:
        """Letters for which all clauses hold: the best first where there are words to rank them by, else the latest."""
        return await self._reading.run(lambda connection: _find(connection, clauses, limit))

    async def letters(self, keys: Sequence[int], octets: int) -> list[bytes]:
        """About so many octets of the beginning of each letter; empty for one that is gone."""
        return await self._reading.run(lambda connection: [_beginning(connection, key, octets) for key in keys])

    async def close(self) -> None:
        """Waits for what goes on."""
        self._pool.shutdown(wait=True)
        self._writing.close()
        self._reading.close()


# --- adding -------------------------------------------------------------------------------------------------------

_STATE = "SELECT watermark FROM search_state WHERE edition = ?"
_NEXT = "SELECT entry_id, octets, internal_date FROM entries WHERE entry_id > ? ORDER BY entry_id LIMIT ?"
_PUT = (
    "INSERT INTO search (rowid, sender, recipients, copies, subject, names, text)"
    " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM entries WHERE entry_id = ?1)"
)
_PUT_FACTS = "INSERT INTO searchable SELECT entry_id, folder_id, ?2, ?3, ?4 FROM entries WHERE entry_id = ?1"


def _is_there(connection: Connection) -> bool:
    return _watermark(connection) is not None


def _watermark(connection: Connection) -> int | None:
    """The last entry that was looked at; None if there is no index, or one of another edition."""
    if not connection.execute(HAS_SEARCH).get:
        return None
    row = connection.execute(_STATE, (EDITION,)).fetchone()
    return row[0] if row else None


def _missing(connection: Connection) -> int:
    sql = "SELECT count(*) FROM entries WHERE entry_id > ?"
    return one_number(connection, sql, (_watermark(connection) or 0,))


def _add(connection: Connection, take: Callable[[bytes], Document]) -> int:
    """Letters are read before the transaction. Two may do this at once: the watermark is looked at again within it."""
    watermark = _watermark(connection)
    if watermark is None:
        with unsynced_transaction(connection):
            if _watermark(connection) is None:
                connection.execute(NO_SEARCH)
                connection.execute(SEARCH)
                connection.execute("INSERT INTO search_state (only, edition) VALUES (1, ?)", (EDITION,))
        watermark = 0
    batch: list[tuple[int, int, float, Document]] = []
    room = BATCH_OCTETS
    for key, octets, came in connection.execute(_NEXT, (watermark, BATCH_LETTERS)).fetchall():
        batch.append((key, octets, came, take(_beginning(connection, key, LOOK_OCTETS))))
        room -= min(octets, LOOK_OCTETS)
        if room <= 0:
            break
    if batch:
        with unsynced_transaction(connection):
            if _watermark(connection) == watermark:
                _put(connection, batch)
    return len(batch)


def _put(connection: Connection, batch: Sequence[tuple[int, int, float, Document]]) -> None:
    connection.executemany(
        _PUT,
        ((key, one.sender, one.recipients, one.copies, one.subject, one.names, one.text) for key, _, _, one in batch),
    )
    facts = ((key, came if one.date is None else one.date, octets, one.attachments) for key, octets, came, one in batch)
    connection.executemany(_PUT_FACTS, facts)
    connection.execute("UPDATE search_state SET watermark = ?", (batch[-1][0],))


def _beginning(connection: Connection, key: int, octets: int) -> bytes:
    """Pieces of a letter, un-stuffed, until they are so many octets."""
    unstuffer, letter, index = Unstuffer(), bytearray(), 0
    while len(letter) < octets:
        try:
            [piece] = sight.pieces(connection, [key], index)
        except DamagedStore:
            break
        if piece is None:
            break
        letter += unstuffer.feed(piece.wire)
        index += 1
        if not piece.more:
            break
    return bytes(letter[:octets])


# --- finding ------------------------------------------------------------------------------------------------------

_BY_RANK = f"""
WITH ranked AS (
    SELECT s.rowid AS key, bm25(search, {", ".join(str(_WEIGHTS[column]) for column in Column)}) AS rank
    FROM search s {{join}} WHERE s.search MATCH ? {{where}} ORDER BY s.rowid DESC LIMIT {RANKED}
)
SELECT key, count(*) OVER () FROM ranked ORDER BY rank, key DESC LIMIT ?
"""  # noqa: S608 our own text
_BY_DATE = "SELECT f.entry_id, count(*) OVER () FROM searchable f WHERE {where} ORDER BY f.date DESC, 1 DESC LIMIT ?"
_FACTS = (
    "SELECT e.entry_id, e.folder_id, n.name, e.uid, f.date, f.octets FROM carray(?) k"
    " CROSS JOIN entries e ON e.entry_id = k.value CROSS JOIN searchable f ON f.entry_id = k.value"
    " CROSS JOIN folders n ON n.folder_id = e.folder_id"
)
_BETWEEN = "SELECT count(*) FROM entries WHERE folder_id = ? AND uid > ? AND uid <= ?"


def _find(connection: Connection, clauses: Sequence[Clause], limit: int) -> Found:
    """All of it as of one moment."""
    with connection:
        if _watermark(connection) is None:
            return Found((), 0)
        match, where, bindings = _compiled(clauses)
        if match:
            join = "CROSS JOIN searchable f ON f.entry_id = s.rowid" if where else ""
            also = "".join(f" AND {one}" for one in where)
            rows = connection.execute(_BY_RANK.format(join=join, where=also), (match, *bindings, limit)).fetchall()
        else:
            sql = _BY_DATE.format(where=" AND ".join(where) or "1")
            rows = connection.execute(sql, (*bindings, limit)).fetchall()
        letters = rows[0][1] if rows else 0
        hits = _hits(connection, [key for key, _ in rows])
        return Found(hits, letters, is_cut=bool(match) and letters >= RANKED)


def _hits(connection: Connection, keys: Sequence[int]) -> tuple[Hit, ...]:
    facts = {key: facts for key, *facts in connection.execute(_FACTS, (apsw.carray(array("q", keys)),))} if keys else {}
    numbers: dict[tuple[int, int], int] = {}
    last = (0, -1)
    for folder, uid in sorted((folder, uid) for folder, _, uid, _, _ in facts.values()):
        before = last[1] if last[0] == folder else -1
        here = one_number(connection, _BETWEEN, (folder, before, uid))
        numbers[folder, uid] = here + (numbers[last] if last[0] == folder else 0)
        last = (folder, uid)
    return tuple(
        Hit(key, name, numbers[folder, uid], date, octets)
        for key in keys
        if key in facts
        for folder, name, uid, date, octets in [facts[key]]
    )


def _compiled(clauses: Sequence[Clause]) -> tuple[str, list[str], list[object]]:
    """A full-text expression, empty if there is nothing to rank by, and conditions with their bindings."""
    match = " AND ".join(text for clause in clauses if (text := _full_text(clause)))
    unwanted: list[str] = []
    where: list[str] = []
    bindings: list[object] = []
    for clause in clauses:
        if _full_text(clause):
            continue
        if match and isinstance(clause, Without) and (text := _full_text(clause.clause)):
            unwanted.append(text)
            continue
        condition, bound = _condition(clause)
        where.append(condition)
        bindings += bound
    if unwanted:
        match = f"({match}) NOT ({' OR '.join(unwanted)})"
    return match, where, bindings


def _full_text(clause: Clause) -> str:
    """A clause in the language of FTS5, empty if that cannot say it."""
    match clause:
        case Words(words, column, begins):
            where = f"{column} : " if column else ""
            quoted = words.replace('"', " ")
            return f'({where}"{quoted}"{" *" if begins else ""})'
        case AnyOf(clauses):
            texts = [_full_text(one) for one in clauses]
            return f"({' OR '.join(texts)})" if all(texts) else ""
        case _:
            return ""


def _condition(clause: Clause) -> tuple[str, list[object]]:
    """A clause as a condition of SQL about the row `f` of `searchable`."""
    match clause:
        case Words():
            return "f.entry_id IN (SELECT rowid FROM search WHERE search MATCH ?)", [_full_text(clause)]
        case Dated(since, until):
            return "f.date >= ? AND f.date < ?", [since, until]
        case Sized(above, below):
            return "f.octets > ? AND f.octets < ?", [above, below]
        case Attached():
            return "f.attachments > 0", []
        case Within(names):
            named = "SELECT folder_id FROM folders WHERE name IN (SELECT value FROM json_each(?))"
            return f"f.folder_id IN ({named})", [json.dumps(names)]
        case Without(inner):
            condition, bindings = _condition(inner)
            return f"NOT ({condition})", bindings
        case AnyOf(clauses):
            parts = [_condition(one) for one in clauses]
            return "(" + " OR ".join(f"({one})" for one, _ in parts) + ")", [b for _, some in parts for b in some]
