"""What a mailbox file remembers of letters that came from elsewhere: a row for each, kept when the letter has gone."""

from __future__ import annotations

from collections.abc import Mapping

from postoffice.database.sqlite import Connection
from postoffice.store.model import Origin, Pulled

_REMEMBER = """
INSERT INTO pulled (source, source_id, octets, header, seen, sha256, email_id, fetched) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET octets = excluded.octets, header = excluded.header, seen = coalesce(seen, excluded.seen),
    sha256 = excluded.sha256, email_id = excluded.email_id, fetched = excluded.fetched, gone = NULL, head = x''
WHERE fetched IS NULL
"""

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


def remember(connection: Connection, origin: Origin, sha256: bytes, email_id: str, now: float) -> bool:
    """That a letter is fetched now; False, and nothing is changed, if it was before."""
    row = (*(origin.source, origin.source_id, origin.octets, origin.header, origin.seen), sha256, email_id, now)
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
