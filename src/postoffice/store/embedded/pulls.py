"""What a mailbox file remembers of letters that came from elsewhere: a row for each, kept when the letter has gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from postoffice.database.rows import put
from postoffice.database.sqlite import Connection
from postoffice.store.model import Origin, Pulled

_PUT = (
    "INSERT INTO pulled (source, source_id, octets, header, seen, sha256, email_id, fetched)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

_REMEMBER = f"""{_PUT}
ON CONFLICT DO UPDATE SET octets = excluded.octets, header = excluded.header, seen = coalesce(seen, excluded.seen),
    sha256 = excluded.sha256, email_id = excluded.email_id, fetched = excluded.fetched, gone = NULL, head = x''
WHERE fetched IS NULL
"""

_HERE = "SELECT source_id FROM carray(?) k CROSS JOIN pulled ON source = ? AND source_id = CAST(k.value AS TEXT)"
"""By octets, which may have any."""

_ALL = """
SELECT source_id, octets, header, sha256, email_id, email_id IN (SELECT email_id FROM entries), seen, fetched, deleting,
    rule, confirmed, gone, tries, words, head
FROM pulled WHERE source = ?
"""

_NOTE = """
INSERT OR REPLACE INTO pulled (source, source_id, octets, header, sha256, email_id, seen, fetched, deleting, rule,
    confirmed, gone, tries, words, head)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


Fetched = tuple[Origin, bytes, str]
"""Where a letter comes from, its SHA-256 and its email id."""


def remember(connection: Connection, letters: Sequence[Fetched], now: float) -> list[bool]:
    """That letters are fetched now; False, and nothing is changed, for one that was before. Most are new, and go in
    together."""
    rows = [
        (origin.source, origin.source_id, origin.octets, origin.header, origin.seen, sha256, email_id, now)
        for origin, sha256, email_id in letters
    ]
    new: dict[tuple[str, str], tuple[object, ...]] = {}
    for row in rows:
        new.setdefault(row[:2], row)
    for source in {source for source, _ in new}:
        ids = apsw.carray(tuple(source_id.encode() for of, source_id in new if of == source))
        for (known,) in connection.execute(_HERE, (ids, source)).fetchall():
            del new[source, known]
    put(connection, _PUT, list(new.values()))
    return [new.get(row[:2]) is row or _remember(connection, row) for row in rows]


def _remember(connection: Connection, row: Sequence[object]) -> bool:
    connection.execute(_REMEMBER, row)
    return connection.changes() > 0


def sources(connection: Connection) -> list[str]:
    return [source for (source,) in connection.execute("SELECT DISTINCT source FROM pulled ORDER BY source").fetchall()]


def pulled(connection: Connection, source: str) -> dict[str, Pulled]:
    return {
        source_id: Pulled(octets, header, sha256, email_id, bool(is_here), *life)
        for source_id, octets, header, sha256, email_id, is_here, *life in connection.execute(
            _ALL, (source,)
        ).fetchall()
    }


def note(connection: Connection, source: str, notes: Mapping[str, Pulled]) -> None:
    connection.executemany(
        _NOTE,
        [
            (
                *(source, source_id, one.octets, one.header, one.sha256, one.email_id, one.seen, one.fetched),
                *(one.deleting, one.rule, one.confirmed, one.gone, one.tries, one.words, one.head),
            )
            for source_id, one in notes.items()
        ],
    )
