"""Letters that arrived at the office and lie in `office.db` still: shown, read, and taken into their mailbox file.

Exactly once: a mailbox file remembers up to which arrival it has taken letters in (its watermark, in the same
transaction), and arrivals up to there are not shown any more, whether their rows are gone yet or not. A crash
between the two transactions leaves rows that nobody sees and the next absorption deletes. An office restored from
a copy counts arrivals anew: it has another incarnation, and a file that knows another one begins again.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from postoffice.database.sqlite import Connection, one_number, transaction
from postoffice.errors import DamagedStore
from postoffice.message.content import Content
from postoffice.store.embedded import contents, folders, sight
from postoffice.store.embedded.spool import Spool
from postoffice.store.embedded.surrogates import growth_of
from postoffice.store.model import CHUNK_OCTETS, INBOX, Flag, Piece, Staged

BATCH_LETTERS = 256
BATCH_OCTETS = 8 * 1024 * 1024
"""What is absorbed in one transaction at most, but for a letter that is larger alone."""

GONE = -1
"""Stands for the last departure of an account that is gone itself. A file without an account and without this is lost
property, and nobody throws it away."""

COLUMNS = sight.IN_COLUMNS.format(
    "SELECT number AS entry_id, octets, email_id AS unique_id, surrogate_octets FROM arrivals"
    " WHERE account_id = ? ORDER BY number"
)
PIECES = (
    "SELECT a.number, a.prefix, c.data, a.content_id FROM carray(?) k CROSS JOIN arrivals a ON a.number = k.value"
    " LEFT JOIN chunks c ON c.chunk_id = (a.content_id << 20) WHERE a.account_id = ?"
)
NEXT = (
    "SELECT number, email_id, a.octets, surrogate_octets, arrived, prefix, content_id, sha256, c.octets, wire_octets,"
    " has_dot_lines, has_ascii_header, spool FROM arrivals a JOIN contents c USING (content_id)"
    " WHERE account_id = ? AND number > ? ORDER BY number LIMIT ?"
)


def is_gone(connection: Connection, account_id: int) -> bool:
    """Whether an account was removed for ever, or came back under another id: what is left of it may go."""
    times = connection.execute("SELECT times FROM departures WHERE account_id = ?", (account_id,)).get
    return bool(times == GONE)


@dataclass(frozen=True, slots=True)
class Spooled:
    """A large letter in the office: its spool file, how long it is, what stands above it."""

    name: str
    wire_octets: int
    prefix: bytes


def pieces(connection: Connection, account_id: int, numbers: Sequence[int]) -> dict[int, Piece | Spooled]:
    """The first piece of each arrival that is there, in one statement; for a large one where it lies."""
    found: dict[int, Piece | Spooled] = {}
    for number, prefix, data, content_id in connection.execute(PIECES, (apsw.carray(array("q", numbers)), account_id)):
        if data is not None:
            found[number] = sight.piece(prefix, data, 0, more=False)
        else:
            found[number] = spooled(connection, content_id, prefix)
    return found


def spooled(connection: Connection, content_id: int, prefix: bytes) -> Spooled:
    row = connection.execute("SELECT spool, wire_octets FROM contents WHERE content_id = ?", (content_id,)).fetchone()
    if row is None or row[0] is None:
        raise DamagedStore(f"content {content_id} of the office is not there")
    return Spooled(row[0], row[1], prefix)


# --- absorption ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """A letter to be taken into the mailbox file; a large one from before may not know its `surrogate_octets`."""

    number: int
    email_id: str
    octets: int
    surrogate_octets: int | None
    arrived: float
    prefix: bytes
    content_id: int
    content: Content
    spool: str | None


def watermark(connection: Connection, incarnation: int) -> int:
    """Up to which arrival of this life of the office the mailbox file has taken letters in."""
    row = connection.execute("SELECT incarnation, watermark FROM mailbox").fetchone()
    if row is None:
        raise DamagedStore("the mailbox does not know what it has taken in")
    return row[1] if row[0] == incarnation else 0


def next_arrivals(office: Connection, account_id: int, after: int) -> list[Arrival]:
    """The next batch."""
    batch: list[Arrival] = []
    octets = 0
    for number, email_id, size, surrogate, arrived, prefix, content_id, *facts, spool in office.execute(
        NEXT, (account_id, after, BATCH_LETTERS)
    ):
        name, plain, wire, dotted, is_ascii = facts
        octets += wire if spool is None else 0
        if batch and octets > BATCH_OCTETS:
            break
        content = Content(name, plain, wire, bool(dotted), bool(is_ascii))
        batch.append(Arrival(number, email_id, size, surrogate, arrived, prefix, content_id, content, spool))
    return batch


def stage_for(mailbox: Connection, office: Connection, arrival: Arrival, spool: Spool) -> Staged:
    """The content of an arrival, ready to be kept in the mailbox file. A large one comes in by small commits."""
    content = arrival.content
    if arrival.spool is None:
        wire, _ = contents.read_chunk(office, arrival.content_id, 0)
        return Staged(content, b"", wire, has_bare_line_ends=False)
    if contents.find(mailbox, content.sha256) is not None:
        return Staged(content, b"", b"", has_bare_line_ends=False)
    content_id = contents.begin(mailbox)
    count = -(-content.wire_octets // CHUNK_OCTETS)
    for index, chunk in enumerate(spool.chunks(arrival.spool, content.wire_octets)):
        last = content.sha256 if index == count - 1 else None
        contents.add_chunks(mailbox, content_id, index, [chunk], last)
    return Staged(content, b"", f"{contents.ROW}{content_id}", has_bare_line_ends=False)


def absorb(mailbox: Connection, batch: Sequence[tuple[Arrival, Staged]], incarnation: int) -> None:
    """Make a batch part of the mailbox, together with the watermark: one transaction, once."""
    with transaction(mailbox):
        known = known_by_name(mailbox, incarnation)
        if one_number(mailbox, "SELECT incarnation FROM mailbox") != incarnation:
            begin_anew(mailbox, incarnation)
        done = watermark(mailbox, incarnation)
        inbox = folders.folder_id(mailbox, INBOX)
        new = []
        for arrival, staged in batch:
            if arrival.number > done and arrival.email_id not in known:
                new.append((arrival, staged))
            elif isinstance(staged.place, str):
                contents.disown(mailbox, staged.place)
        if new:
            content_ids = contents.keep_all(mailbox, [staged for _, staged in new])
            filings = [
                _filing(mailbox, inbox, arrival, content_id)
                for (arrival, _), content_id in zip(new, content_ids, strict=True)
            ]
            folders.file(mailbox, filings)
        mailbox.execute("UPDATE mailbox SET watermark = max(watermark, ?)", (batch[-1][0].number,))


def known_by_name(mailbox: Connection, incarnation: int) -> frozenset[str]:
    """Email ids of letters that an office in another life may have delivered here; none if it is in that of before."""
    if one_number(mailbox, "SELECT incarnation FROM mailbox") == incarnation:
        return frozenset()
    return frozenset(email_id for (email_id,) in mailbox.execute("SELECT email_id FROM entries").fetchall())


def begin_anew(mailbox: Connection, incarnation: int) -> None:
    """The office has another life: nothing of it was taken in yet. In the caller's transaction."""
    mailbox.execute("UPDATE entries SET arrival = NULL WHERE arrival IS NOT NULL")
    mailbox.execute("UPDATE mailbox SET incarnation = ?, watermark = 0", (incarnation,))


def taken_in(mailbox: Connection, office: Connection, account_id: int, incarnation: int) -> list[tuple[int, int]]:
    """Number and content of each arrival in the office that the mailbox has taken in, or had."""
    done = watermark(mailbox, incarnation)
    known = known_by_name(mailbox, incarnation)
    rows = office.execute("SELECT number, content_id, email_id FROM arrivals WHERE account_id = ?", (account_id,))
    return [(number, content_id) for number, content_id, email_id in rows if number <= done or email_id in known]


def _filing(mailbox: Connection, inbox: int, arrival: Arrival, content_id: int) -> folders.Filing:
    surrogate_octets = arrival.surrogate_octets
    if surrogate_octets is None:
        wire, _ = contents.read_chunk(mailbox, content_id, 0)
        surrogate_octets = arrival.octets + (growth_of(arrival.prefix, wire, arrival.content.has_ascii_header) or 0)
    return folders.Filing(
        folder_id=inbox,
        content_id=content_id,
        email_id=arrival.email_id,
        unique_id=arrival.email_id,
        octets=arrival.octets,
        surrogate_octets=surrogate_octets,
        has_dot_lines=arrival.content.has_dot_lines,
        flags=Flag(0),
        internal_date=arrival.arrived,
        saved=arrival.arrived,
        prefix=arrival.prefix,
        arrival=arrival.number,
    )


def where_they_went(mailbox: Connection, numbers: Sequence[int], incarnation: int) -> dict[int, int]:
    """The key in the mailbox file of each arrival that it has taken in."""
    if not numbers or not watermark(mailbox, incarnation):
        return {}
    rows = mailbox.execute(
        "SELECT arrival, entry_id FROM carray(?) k CROSS JOIN entries ON arrival = k.value",
        (apsw.carray(array("q", numbers)),),
    )
    return dict(rows.fetchall())
