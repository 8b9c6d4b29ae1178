"""A chain of hashes over the commits of a mailbox file at home: what was done to its letters by other means is told.

    leaf   SHA-256 of what never changes of a letter: folder, uid, content, ids, octets, date, and the prefix
    sum    of the leaves of all letters, modulo 2^256: one is added when a letter is filed, taken off when it is removed
    link   SHA-256 of the link before, the number of the commit, how many letters there are, and the sum

What files letters or removes them writes a row in the same transaction, so no crash can part the two. Commit 0 is over
the letters that were there when the chain began. A chain holds no secret: whoever may write the file can go on with it
as our programs do, or reckon it anew; but then it does not go on from a commit that somebody noted elsewhere.
"""

from array import array
from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import Struct, error
from typing import Any, Final, NamedTuple

import apsw

from postoffice.database.sqlite import Connection, unsynced_transaction
from postoffice.errors import DamagedStore
from postoffice.store.embedded.schema import CHAIN, HAS_CHAIN

SHOWN_DIGITS: Final = 16
"""Of a link, where a person is to note it."""

NO_LINK: Final = bytes(32)
"""What stands before commit 0."""

_MODULUS: Final = 1 << 256
_LEAF: Final = Struct(">BqqqdIII")
_LINK: Final = Struct(">qq")

_COLUMNS: Final = (
    "CAST(folder_id AS INTEGER), CAST(uid AS INTEGER), CAST(e.octets AS INTEGER), CAST(internal_date AS REAL),"
    " CAST(c.sha256 AS BLOB), CAST(email_id AS BLOB), CAST(unique_id AS BLOB), CAST(prefix AS BLOB)"
)
"""Cast, for anything may stand in a damaged row, also text that is none."""
_ALL: Final = f"SELECT {_COLUMNS} FROM entries e LEFT JOIN contents c USING (content_id)"  # noqa: S608 our own text
_THESE: Final = (
    f"SELECT {_COLUMNS} FROM carray(?) k CROSS JOIN entries e ON e.entry_id = k.value"  # noqa: S608 our own text
    " LEFT JOIN contents c USING (content_id)"
)
COMMITS: Final = (
    "SELECT number, ifnull(CAST(letters AS INTEGER), -1), ifnull(CAST(sum AS BLOB), x''),"
    " ifnull(CAST(link AS BLOB), x'') FROM chain ORDER BY number"
)
_LAST: Final = f"{COMMITS} DESC LIMIT 1"
_PUT: Final = "INSERT INTO chain (number, letters, sum, link) VALUES (?, ?, ?, ?)"


class Commit(NamedTuple):
    """A row of the chain. `letters` are there after it; `sum` and `link` have 32 octets."""

    number: int
    letters: int
    sum: bytes
    link: bytes

    def __str__(self) -> str:
        return f"{self.number}-{self.link.hex()[:SHOWN_DIGITS]}"


_BEFORE_ALL: Final = Commit(-1, 0, NO_LINK, NO_LINK)


def has_chain(connection: Connection) -> bool:
    """2 to 4 µs, so that what is written at an office, which has none, costs no more than it did."""
    return bool(connection.execute(HAS_CHAIN).get)


def begin(connection: Connection) -> None:
    """Commit 0 over all letters, unless there is a chain: 6 µs a letter, once. Durable with what is written next."""
    if has_chain(connection):
        return
    with unsynced_transaction(connection):
        if not has_chain(connection):  # somebody may have been quicker
            connection.execute(CHAIN)
            letters, total = _added_up(connection.execute(_ALL))
            _put(connection, _BEFORE_ALL, letters, total)


def go_on(connection: Connection, filed: Sequence[int] = (), removed: Sequence[int] = ()) -> None:
    """The next commit, if there is a chain: in the caller's transaction, letters are filed before, and removed behind.

    A chain that has no end to go on from is a `DamagedStore`.
    """
    if not (filed or removed) or not has_chain(connection):
        return
    came, added = _added_up(_rows(connection, filed))
    went, taken = _added_up(_rows(connection, removed))
    if came or went:
        last = _last(connection)
        _put(connection, last, last.letters + came - went, int.from_bytes(last.sum, "big") + added - taken)


def _rows(connection: Connection, entries: Sequence[int]) -> Iterable[Sequence[Any]]:
    return connection.execute(_THESE, (apsw.carray(array("q", entries)),)) if entries else ()


def _last(connection: Connection) -> Commit:
    row = connection.execute(_LAST).fetchone()
    last = Commit(*row) if row is not None else _BEFORE_ALL
    if last.number < 0 or not len(last.sum) == len(last.link) == len(NO_LINK):
        raise DamagedStore("the chain of its commits has no end to go on from; postoffice repair saves its letters")
    return last


def _put(connection: Connection, before: Commit, letters: int, total: int) -> None:
    row = (before.number + 1, letters, (total % _MODULUS).to_bytes(32, "big"))
    connection.execute(_PUT, (*row, link_of(before.link, *row)))


def link_of(before: bytes, number: int, letters: int, total: bytes) -> bytes:
    return sha256(b"".join((before, _LINK.pack(number, letters), total))).digest()


def everything(connection: Connection) -> tuple[int, bytes]:
    """How many letters there are now, and their sum."""
    letters, total = _added_up(connection.execute(_ALL))
    return letters, (total % _MODULUS).to_bytes(32, "big")


def _added_up(rows: Iterable[Sequence[Any]]) -> tuple[int, int]:
    """How many letters these are, and the sum of their leaves."""
    letters = total = 0
    for row in rows:
        letters += 1
        total += _leaf(*row)
    return letters, total


def _leaf(
    folder: int, uid: int, octets: int, date: float, name: bytes, email_id: bytes, unique_id: bytes, prefix: bytes
) -> int:
    """Where nothing stands that should, as no program of ours leaves it, it is one of another form."""
    try:
        fixed = _LEAF.pack(1, folder, uid, octets, date, len(name), len(email_id), len(unique_id))
        packed = b"".join((fixed, name, email_id, unique_id, prefix))
    except (error, TypeError):
        packed = b"\0" + repr((folder, uid, octets, date, name, email_id, unique_id, prefix)).encode()
    return int.from_bytes(sha256(packed).digest(), "big")
