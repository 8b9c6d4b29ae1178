"""What a mailbox file remembers of scans: a row for each content, kept when the letter has gone.

Every function here works inside a transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from postoffice.database.sqlite import Connection
from postoffice.store.model import QUARANTINE, Letter, Scan, Verdict

_ONE = "SELECT verdict, scanner, at, name, signatures, allowed FROM scans WHERE sha256 = ?"
_ALL = "SELECT sha256, verdict, scanner, at, name, signatures, allowed FROM scans"
_PUT = (
    "INSERT OR REPLACE INTO scans (sha256, verdict, scanner, at, name, signatures, allowed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_IN_FOLDER = (
    "SELECT entry_id FROM entries JOIN folders f USING (folder_id) JOIN contents c USING (content_id)"
    " LEFT JOIN scans s ON s.sha256 = c.sha256 WHERE f.name = ?"
    " AND (?2 IS NULL OR s.sha256 IS NULL OR s.verdict = ?3 OR s.signatures != ?2) ORDER BY uid"
)
_DANGEROUS = (
    "SELECT entry_id, sha256 FROM entries JOIN folders f USING (folder_id) JOIN contents USING (content_id)"
    " JOIN scans s USING (sha256) WHERE f.name != ? AND s.verdict = ?"
)


def said(connection: Connection, sha256: bytes) -> Scan | None:
    """What was said last of a content. A verdict that is none of ours counts for nothing said."""
    row = connection.execute(_ONE, (sha256,)).fetchone()
    return scan_of(*row) if row is not None else None


def everything(connection: Connection) -> Iterator[tuple[bytes, Scan]]:
    for sha256, *row in connection.execute(_ALL).fetchall():
        if (scan := scan_of(*row)) is not None:
            yield sha256, scan


def note(connection: Connection, sha256: bytes, scan: Scan) -> Scan:
    """Behind what was said before; gives what holds now."""
    return _put(connection, sha256, scan.after(said(connection, sha256)))


def _put(connection: Connection, sha256: bytes, scan: Scan) -> Scan:
    allowed = "\n".join(sorted(scan.allowed))
    row = (sha256, scan.verdict.value, scan.scanner, scan.at, scan.name, scan.signatures, allowed)
    connection.execute(_PUT, row)
    return scan


def folder_of(connection: Connection, letter: Letter) -> str:
    """Where a letter that comes in belongs; its scan is remembered."""
    if letter.scan is None:
        return letter.folder
    return note(connection, letter.staged.content.sha256, letter.scan).folder(letter.folder)


def to_scan(connection: Connection, folder: str, signatures: str | None) -> list[int]:
    rows = connection.execute(_IN_FOLDER, (folder, signatures, Verdict.UNSCANNED.value)).fetchall()
    return [entry_id for (entry_id,) in rows]


def dangerous(connection: Connection) -> list[int]:
    """Entries outside of quarantine of contents in which something was found that nobody allowed."""
    rows = connection.execute(_DANGEROUS, (QUARANTINE, Verdict.INFECTED.value)).fetchall()
    found = ((entry_id, said(connection, sha256)) for entry_id, sha256 in rows)
    return [entry_id for entry_id, scan in found if scan is not None and scan.is_dangerous]


def merge(connection: Connection, theirs: Mapping[bytes, Scan]) -> None:
    """What another file knows, as if all had been said here."""
    for sha256, scan in theirs.items():
        ours = said(connection, sha256)
        _put(connection, sha256, scan.after(ours) if ours is None or scan.at > ours.at else ours.after(scan))


def scan_of(verdict: str, scanner: str, at: float, name: str, signatures: str, allowed: str) -> Scan | None:
    """The columns of a row; None where the verdict is none of ours."""
    try:
        kind = Verdict(verdict)
    except ValueError:
        return None
    return Scan(kind, scanner, at, name, signatures, frozenset(filter(None, allowed.split("\n"))))
