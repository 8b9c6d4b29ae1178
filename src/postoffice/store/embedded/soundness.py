"""What must be true inside one file, of either kind, and the letters of whoever it is not true for.

Most of it is a table of rules (`rules`): each is one statement, so it sees one moment, and what others write meanwhile
is no damage. Contents are read in short looks, so that a large file holds no log back;
what seems wrong with one that lies in many rows is looked at once more, in a single moment, before it is told.
Nothing is written, and no more is in memory than one chunk and what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten

import apsw

from postoffice.database.sqlite import Connection
from postoffice.store.embedded.chain import Commit
from postoffice.store.embedded.checksum import crc32
from postoffice.store.embedded.contents import INDEX_BITS, digest_of
from postoffice.store.embedded.following import Noted, chain_findings
from postoffice.store.embedded.rules import MAILBOX_RULES, REBUILD, RESTORE, Rule
from postoffice.store.model import Damage

LOOK_CONTENTS = 64
_MOST_CHARACTERS = 300
"""Of what SQLite says about one thing: of a file that is encrypted it says it of every page."""

Whose = Callable[[Connection, int], str]
"""Which letters a content is in, in words; empty if none."""


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Tally:
    """What was looked at so far. `tick` is called at every step, by the thread that looks.

    `commit` is the last one in the chain of the mailbox that was looked at last, None if it has no chain.
    """

    accounts: int = 0
    mailboxes: int = 0
    letters: int = 0
    octets: int = 0
    commit: Commit | None = None
    tick: Callable[[], None] = _nothing

    def count(self, octets: int) -> None:
        self.octets += octets
        self.tick()


def wrong_in_mailbox(connection: Connection, where: str, tally: Tally | None = None) -> Iterator[Damage]:
    """Everything that is damaged in a mailbox file."""
    return (one for one in mailbox_findings(connection, where, tally or Tally()) if not one.is_harmless)


def mailbox_findings(connection: Connection, where: str, tally: Tally, noted: Noted | None = None) -> Iterator[Damage]:
    """Everything that is to be said about a mailbox file; also whether it goes on from a `noted` commit."""
    yield from integrity(connection, where)
    tally.letters += how_many(connection, "entries")
    yield from broken(connection, where, MAILBOX_RULES)
    tally.commit = yield from chain_findings(connection, where, noted)
    yield from wrong_contents(connection, where, _entries_of, tally)


def how_many(connection: Connection, table: str) -> int:
    """0 where that cannot be told; why not is told elsewhere."""
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608 our own text
    except apsw.Error:
        return 0


def integrity(connection: Connection, where: str) -> Iterator[Damage]:
    """What SQLite itself says: every page and every index."""
    try:
        for (text,) in connection.execute("PRAGMA integrity_check"):
            if text != "ok":
                yield _of_sqlite(where, text)
    except apsw.Error as error:
        yield _of_sqlite(where, str(error))


def broken(connection: Connection, where: str, rules: Sequence[Rule]) -> Iterator[Damage]:
    """What breaks the rules. One that cannot be asked keeps no other from it; the same reason for that is told once."""
    told = set()
    for rule in rules:
        try:
            for row in connection.execute(rule.rows):
                at, what, means, remedy = (
                    text.format(*row) for text in (rule.where, rule.what, rule.means, rule.remedy)
                )
                yield Damage(f"{where}, {at}", what, means, remedy, rule.is_harmless)
        except apsw.Error as error:
            found = _of_sqlite(where, str(error))
            if found not in told:
                told.add(found)
                yield found


def _of_sqlite(where: str, text: str) -> Damage:
    said = shorten(text, _MOST_CHARACTERS, placeholder=" ...")
    return Damage(where, said, "letters in it may not be found, or not be read", REBUILD)


def _entries_of(connection: Connection, content_id: int) -> str:
    rows = connection.execute(
        "SELECT name, uid, unique_id FROM entries JOIN folders USING (folder_id) WHERE content_id = ?", (content_id,)
    )
    return ", ".join(f"{name} {uid} ({unique_id})" for name, uid, unique_id in rows)


# --- contents --------------------------------------------------------------------------------------------------


def wrong_contents(connection: Connection, where: str, whose: Whose, tally: Tally) -> Iterator[Damage]:
    """Every content whose rows are not what they say, by reading all of them."""
    content_id = 0
    while True:
        try:
            looked = _look_at_some(connection, content_id, tally)
        except apsw.Error:
            looked = _one_by_one(connection, content_id, tally)
        if not looked:
            return
        for content_id, wrong in looked:
            if wrong:
                yield unreadable(connection, f"{where}, content {content_id}", wrong, whose, content_id)


def unreadable(connection: Connection, where: str, wrong: str, whose: Whose, content_id: int) -> Damage:
    """What a content that is not whole means for the letters that it is in."""
    try:
        letters = whose(connection, content_id)
    except apsw.Error:
        letters = ""
    means = f"cannot be read whole: {letters}" if letters else "letters of it cannot be read whole"
    return Damage(where, wrong, means, RESTORE)


_SOME = (
    "SELECT c.content_id, c.sha256, c.octets, c.wire_octets, k.data, k.checksum, k.sha256 FROM contents c"
    " LEFT JOIN chunks k ON k.chunk_id = c.content_id << 20"
    " WHERE c.content_id > ? AND c.sha256 IS NOT NULL AND c.spool IS NULL ORDER BY c.content_id LIMIT ?"
)
_THESE = (
    "SELECT content_id FROM contents WHERE content_id > ? AND sha256 IS NOT NULL AND spool IS NULL"
    " ORDER BY content_id LIMIT ?"
)


def _look_at_some(connection: Connection, after: int, tally: Tally) -> list[tuple[int, str]]:
    """What is wrong with the next contents, empty for one that is sound; small ones in a single moment."""
    looked: list[tuple[int, str]] = []
    in_many_rows: list[int] = []
    for content_id, name, octets, wire_octets, data, checksum, last in connection.execute(
        _SOME, (after, LOOK_CONTENTS)
    ):
        if data is None or last is None:
            in_many_rows.append(len(looked))
            looked.append((content_id, ""))
            continue
        wrong = "chunk 0 has another checksum" if crc32(data) != checksum else ""
        looked.append((content_id, wrong or _other_than([data], name, octets, wire_octets)))
        tally.count(len(data))
    for index in in_many_rows:
        content_id, _ = looked[index]
        looked[index] = content_id, _twice(connection, content_id, tally)
    return looked


def _one_by_one(connection: Connection, after: int, tally: Tally) -> list[tuple[int, str]]:
    """The same where reading several at once fails: so those that can be read are told from those that cannot."""
    try:
        ids = [content_id for (content_id,) in connection.execute(_THESE, (after, LOOK_CONTENTS))]
    except apsw.Error:
        return []  # the table itself cannot be read, which its integrity says
    looked = []
    for content_id in ids:
        try:
            looked.append((content_id, _wrong_with(connection, content_id, tally)))
        except apsw.Error as error:
            looked.append((content_id, str(error)))
    return looked


def _twice(connection: Connection, content_id: int, tally: Tally) -> str:
    """What is wrong with a content, after another look in a single moment if something seems to be."""
    if not _wrong_with(connection, content_id, tally):
        return ""
    with connection:
        return _wrong_with(connection, content_id, Tally(tick=tally.tick))


def _wrong_with(connection: Connection, content_id: int, tally: Tally) -> str:
    row = connection.execute(
        "SELECT sha256, octets, wire_octets FROM contents WHERE content_id = ? AND sha256 IS NOT NULL", (content_id,)
    ).fetchone()
    if row is None:
        return ""  # it was removed meanwhile
    troubles: list[str] = []

    def chunks() -> Iterator[bytes]:
        for index in range(1 << INDEX_BITS):
            chunk = connection.execute(
                "SELECT data, checksum, sha256 FROM chunks WHERE chunk_id = ?", (content_id << INDEX_BITS | index,)
            ).fetchone()
            if chunk is None:
                troubles.append(f"chunk {index} is not there")
                return
            data, checksum, name = chunk
            tally.count(len(data))
            if crc32(data) != checksum:
                troubles.append(f"chunk {index} has another checksum")
            yield data
            if name is not None:
                return

    other = _other_than(chunks(), *row)
    return troubles[0] if troubles else other


def _other_than(wires: Iterable[bytes], name: bytes, octets: int, wire_octets: int) -> str:
    """Whether octets in wire form are not those of this name and these sizes."""
    seen = 0

    def counted() -> Iterator[bytes]:
        nonlocal seen
        for wire in wires:
            seen += len(wire)
            yield wire

    there = digest_of(counted())
    return "" if (*there, seen) == (octets, name, wire_octets) else "its octets are not those it is named by"
