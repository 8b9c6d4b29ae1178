"""What the transactions of a mailbox file do to its folders: letters put in, taken out, marked.

Every function here works inside a transaction of its caller. A letter put in takes the folder's next uid; each
change gives the folder its next modseq (RFC 7162 §3.1), and one that alters who sees what lets `shown` grow, which
is what a cached snapshot is compared with.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, groupby
from operator import attrgetter
from typing import NamedTuple

import apsw

from postoffice.database.rows import next_id, put
from postoffice.database.sqlite import Connection, one_number
from postoffice.errors import NotLooking, StoreError
from postoffice.protocols.dots import has_dot_lines
from postoffice.store.embedded import chain, contents, pulls, scans
from postoffice.store.identity import new_email_id
from postoffice.store.model import OWNER, WITHHELD, Flag, Letter, Sight

ADD = (
    "INSERT INTO entries (entry_id, folder_id, uid, content_id, email_id, unique_id, octets, surrogate_octets,"
    " has_dot_lines, flags, modseq, internal_date, arrival, prefix, saved)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
AGAIN = (
    "INSERT INTO entries (folder_id, uid, content_id, email_id, unique_id, octets, surrogate_octets, has_dot_lines,"
    " flags, modseq, internal_date, prefix, saved) SELECT ?, ?, content_id, email_id, ?, octets, surrogate_octets,"
    " has_dot_lines, flags, ?, internal_date, prefix, ? FROM entries WHERE entry_id = ?"
)
HOLD_AGAIN = (
    "UPDATE contents SET holds = holds + 1 WHERE content_id = (SELECT content_id FROM entries WHERE entry_id = ?)"
)
UNSEEN = (
    "SELECT entry_id FROM removed JOIN viewers USING (viewer_id) WHERE holds"
    " GROUP BY entry_id HAVING count(*) >= (SELECT count(*) FROM viewers WHERE holds)"
)

Leave = Callable[[Connection, Sequence[int]], object]
"""How entries leave that nobody holds back any more: for good, or into another folder."""


class Filing(NamedTuple):
    """A letter whose content is kept already, about to become an entry."""

    folder_id: int
    content_id: int
    email_id: str
    unique_id: str
    octets: int
    surrogate_octets: int
    has_dot_lines: bool
    flags: Flag
    internal_date: float
    saved: float
    prefix: bytes
    arrival: int | None = None


def folder_id(connection: Connection, name: str) -> int:
    found = connection.execute("SELECT folder_id FROM folders WHERE name = ?", (name,)).get
    if not isinstance(found, int):
        raise StoreError(f"there is no folder {name}")
    return found


def folder_made(connection: Connection, name: str) -> int:
    """The folder of this name, which is made if it is not there."""
    connection.execute(
        "INSERT INTO folders (name) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM folders WHERE name = ?1)", (name,)
    )
    return folder_id(connection, name)


def holder_id(connection: Connection, name: str) -> int:
    found = connection.execute("SELECT viewer_id FROM viewers WHERE name = ? AND holds", (name,)).get
    if not isinstance(found, int):
        raise NotLooking(name)
    return found


def next_modseq(connection: Connection, folder: int, *, shown: bool) -> int:
    """A modseq of its own for what happens next."""
    connection.execute(
        "UPDATE folders SET highest_modseq = highest_modseq + 1, shown = shown + ? WHERE folder_id = ?",
        (shown, folder),
    )
    return one_number(connection, "SELECT highest_modseq FROM folders WHERE folder_id = ?", (folder,))


def file(connection: Connection, filings: Sequence[Filing]) -> list[int]:
    """New entries at the ends of their folders; gives their keys. All of them are one commit of the chain."""
    keys: list[int] = []
    for folder, ones in groupby(filings, attrgetter("folder_id")):
        keys += _file_in(connection, folder, ones)
    chain.go_on(connection, filed=keys)
    return keys


def _file_in(connection: Connection, folder: int, filings: Iterable[Filing]) -> Iterable[int]:
    modseq = next_modseq(connection, folder, shown=True)
    uid = one_number(connection, "SELECT uid_next FROM folders WHERE folder_id = ?", (folder,))
    key = next_id(connection, "entries")
    rows = [
        (
            *(key + number, folder, uid + number, one.content_id, one.email_id, one.unique_id, one.octets),
            *(one.surrogate_octets, one.has_dot_lines or has_dot_lines(one.prefix), int(one.flags), modseq),
            *(one.internal_date, one.arrival, one.prefix, one.saved),
        )
        for number, one in enumerate(filings)
    ]
    put(connection, ADD, rows)
    connection.execute("UPDATE folders SET uid_next = ? WHERE folder_id = ?", (uid + len(rows), folder))
    return range(key, key + len(rows))


def append(connection: Connection, letters: Sequence[Letter], email_ids: Sequence[str], now: float) -> list[int]:
    """Letters that are new here; one pulled before is passed over and has the key 0."""
    names = [scans.folder_of(connection, letter) for letter in letters]
    ids = {
        name: folder_made(connection, name) if name in WITHHELD else folder_id(connection, name) for name in set(names)
    }
    are_new = _are_new(connection, letters, email_ids, now)
    new = list(compress(zip(letters, names, email_ids, strict=True), are_new))
    content_ids = contents.keep_all(connection, [letter.staged for letter, _, _ in new])
    filings = [
        Filing(
            folder_id=ids[name],
            content_id=content_id,
            email_id=email_id,
            unique_id=letter.unique_id or email_id,
            octets=len(letter.prefix) + letter.staged.content.octets,
            surrogate_octets=letter.staged.surrogate_octets(letter.prefix),
            has_dot_lines=letter.staged.content.has_dot_lines,
            flags=letter.flags,
            internal_date=letter.internal_date,
            saved=now,
            prefix=letter.prefix,
        )
        for (letter, name, email_id), content_id in zip(new, content_ids, strict=True)
    ]
    keys = iter(file(connection, filings))
    return [next(keys) if is_new else 0 for is_new in are_new]


def _are_new(connection: Connection, letters: Sequence[Letter], email_ids: Sequence[str], now: float) -> list[bool]:
    """Which were not pulled before; that they are now is remembered."""
    pulled = [
        (letter.origin, letter.staged.content.sha256, email_id)
        for letter, email_id in zip(letters, email_ids, strict=True)
        if letter.origin
    ]
    news = iter(pulls.remember(connection, pulled, now))
    return [not letter.origin or next(news) for letter in letters]


def remove(connection: Connection, keys: Sequence[int], viewer: str | None, leave: Leave) -> None:
    """Out of a viewer's sight, None: of everybody's; entries that nobody sees any more leave."""
    this = holder_id(connection, viewer) if viewer is not None else 0
    others = one_number(connection, "SELECT count(*) - 1 FROM viewers WHERE holds") if this else 0
    wanted = connection.execute(
        "SELECT entry_id, folder_id FROM carray(?) k CROSS JOIN entries ON entry_id = k.value",
        (apsw.carray(array("q", keys)),),
    ).fetchall()
    if not others:
        leave(connection, [entry for entry, _ in wanted])
        return
    connection.executemany("INSERT OR IGNORE INTO removed VALUES (?, ?)", [(entry, this) for entry, _ in wanted])
    for folder in {folder for _, folder in wanted}:
        connection.execute("UPDATE folders SET shown = shown + 1 WHERE folder_id = ?", (folder,))
    unseen = [entry for entry, _ in wanted if _times_removed(connection, entry) > others]
    leave(connection, unseen)


def _times_removed(connection: Connection, entry: int) -> int:
    """By how many of those who hold."""
    sql = "SELECT count(*) FROM removed JOIN viewers USING (viewer_id) WHERE entry_id = ? AND holds"
    return one_number(connection, sql, (entry,))


def forget(connection: Connection, entries: Sequence[int]) -> None:
    """Entries and what only they hold; the folder remembers their uids as vanished."""
    if entries:
        chain.go_on(connection, removed=entries)
        _take_out(connection, entries)


def _take_out(connection: Connection, entries: Sequence[int]) -> None:
    rows = connection.execute(
        "SELECT entry_id, folder_id, uid, content_id FROM carray(?) k CROSS JOIN entries ON entry_id = k.value",
        (apsw.carray(array("q", entries)),),
    ).fetchall()
    modseqs = {folder: next_modseq(connection, folder, shown=True) for folder in {row[1] for row in rows}}
    connection.executemany(
        "INSERT INTO vanished VALUES (?, ?, ?)", [(folder, modseqs[folder], uid) for _, folder, uid, _ in rows]
    )
    gone = [(row[0],) for row in rows]
    connection.executemany("DELETE FROM removed WHERE entry_id = ?", gone)
    connection.executemany("DELETE FROM entries WHERE entry_id = ?", gone)
    contents.release(connection, Counter(row[3] for row in rows))


def move(connection: Connection, entries: Sequence[int], name: str, now: float) -> list[int]:
    """Entries again at the end of a folder, and gone where they were; gives their new keys, 0 for those not there."""
    if not entries:
        return []
    folder = folder_made(connection, name)
    modseq = next_modseq(connection, folder, shown=True)
    uid = one_number(connection, "SELECT uid_next FROM folders WHERE folder_id = ?", (folder,))
    keys = []
    for entry in entries:
        connection.execute(AGAIN, (folder, uid, new_email_id(now), modseq, now, entry))
        is_there = bool(connection.changes())
        keys.append(connection.last_insert_rowid() if is_there else 0)
        uid += is_there
        connection.execute(HOLD_AGAIN, (entry,))
    connection.execute("UPDATE folders SET uid_next = ? WHERE folder_id = ?", (uid, folder))
    chain.go_on(connection, filed=keys, removed=entries)
    _take_out(connection, entries)
    return keys


def flag(connection: Connection, keys: Iterable[int], flags: Flag) -> None:
    for key in keys:
        folder = connection.execute("SELECT folder_id FROM entries WHERE entry_id = ?", (key,)).get
        if isinstance(folder, int):
            modseq = next_modseq(connection, folder, shown=False)
            connection.execute("UPDATE entries SET flags = ?, modseq = ? WHERE entry_id = ?", (int(flags), modseq, key))


def set_viewer(connection: Connection, name: str, sight: Sight, leave: Leave) -> None:
    """How somebody looks from now on; where nobody would hold, the owner does. What nobody holds leaves."""
    if name == OWNER and sight is not Sight.HOLDS:
        others = one_number(connection, "SELECT count(*) FROM viewers WHERE holds AND name != ?", (OWNER,))
        if sight is Sight.GONE or not others:
            raise StoreError("a mailbox that nobody looks at would keep nothing")
    if sight is Sight.GONE:
        connection.execute(
            "DELETE FROM removed WHERE viewer_id = (SELECT viewer_id FROM viewers WHERE name = ?)", (name,)
        )
        connection.execute("DELETE FROM viewers WHERE name = ?", (name,))
    else:
        connection.execute("UPDATE viewers SET holds = ? WHERE name = ?", (sight is Sight.HOLDS, name))
        if not connection.changes():
            connection.execute("INSERT INTO viewers (name, holds) VALUES (?, ?)", (name, sight is Sight.HOLDS))
    connection.execute(
        "UPDATE viewers SET holds = 1 WHERE name = ? AND NOT EXISTS (SELECT 1 FROM viewers WHERE holds)", (OWNER,)
    )
    connection.execute("UPDATE folders SET shown = shown + 1")
    leave(connection, [entry for (entry,) in connection.execute(UNSEEN).fetchall()])
