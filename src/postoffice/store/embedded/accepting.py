"""Signature 1 in `office.db`: contents, arrivals and queue items of many letters by few statements.

Letters that came at the same moment are kept together, so each table is written once for the group. A content that
is here already, or comes twice in the group, is kept once and counted.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import apsw

from postoffice.database.rows import next_id
from postoffice.database.sqlite import Connection
from postoffice.errors import StoreError
from postoffice.store.embedded import contents
from postoffice.store.embedded.checksum import crc32
from postoffice.store.embedded.jobs import Accept

ARRIVE = (
    "INSERT INTO arrivals (account_id, content_id, email_id, octets, surrogate_octets, arrived, prefix)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
ENQUEUE = (
    "INSERT INTO queue (item_id, content_id, letter_id, domain, reverse_path, prefix, accepted, due, expires,"
    " needs_smtputf8) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def accept_all(connection: Connection, accepts: Sequence[Accept], spool: Path) -> list[bool]:
    """Keep a group of letters, in the caller's transaction; gives for each whether its spool file is in use now.

    The file of a writer that died after it asked may have been taken for a leftover: then there is no letter.
    """
    _must_live_here(connection, {to.account_id for accept in accepts for to in accept.local})
    ids, used = _keep_contents(connection, accepts)
    for accept, is_used in zip(accepts, used, strict=True):
        if is_used and accept.spool is not None and not (spool / accept.spool).exists():
            raise StoreError(f"the octets of the letter {accept.letter_id} are gone with their writer")
    arrivals = [
        (
            *(to.account_id, ids[accept.content.sha256], to.email_id),
            *(len(to.prefix) + accept.content.octets, to.surrogate_octets, accept.accepted, to.prefix),
        )
        for accept in accepts
        for to in accept.local
    ]
    connection.executemany(ARRIVE, arrivals)
    if any(accept.remote for accept in accepts):
        _enqueue(connection, accepts, ids)
    return used


def _must_live_here(connection: Connection, accounts: set[int]) -> None:
    if not accounts:
        return
    there = connection.execute(
        "SELECT account_id FROM accounts WHERE account_id IN carray(?)", (apsw.carray(array("q", accounts)),)
    ).fetchall()
    if len(there) < len(accounts):
        missing = min(accounts - {account_id for (account_id,) in there})
        raise StoreError(f"there is no account {missing}")


def _keep_contents(connection: Connection, accepts: Sequence[Accept]) -> tuple[dict[bytes, int], list[bool]]:
    holds: Counter[bytes] = Counter()
    for accept in accepts:
        holds[accept.content.sha256] += len(accept.local) + len(accept.remote)
    ids: dict[bytes, int] = dict(
        connection.execute(
            "SELECT sha256, content_id FROM contents WHERE sha256 IN carray(?)", (apsw.carray(tuple(holds)),)
        ).fetchall()
    )
    if ids:
        connection.executemany(
            "UPDATE contents SET holds = holds + ? WHERE content_id = ?",
            [(holds[name], content_id) for name, content_id in ids.items()],
        )
    rows, chunks, used = [], [], []
    content_id = next_id(connection, "contents") - 1
    for accept in accepts:
        content, wire = accept.content, accept.wire
        is_new = content.sha256 not in ids and holds[content.sha256] > 0
        used.append(is_new)
        if not is_new:
            continue
        content_id += 1
        ids[content.sha256] = content_id
        rows.append((content_id, *content, holds[content.sha256], accept.spool))
        if wire is not None:
            chunks.append((content_id << contents.INDEX_BITS, crc32(wire), content.sha256, wire))
    connection.executemany(contents.NEW, rows)
    connection.executemany(contents.CHUNK, chunks)
    return ids, used


def _enqueue(connection: Connection, accepts: Sequence[Accept], ids: dict[bytes, int]) -> None:
    items, recipients = [], []
    item_id = next_id(connection, "queue") - 1
    for accept in accepts:
        for domain, addresses in accept.remote:
            item_id += 1
            items.append(
                (
                    *(item_id, ids[accept.content.sha256], accept.letter_id, domain, accept.reverse_path),
                    *(accept.relay_prefix, accept.accepted, accept.accepted, accept.expires),
                    accept.needs_smtputf8,
                )
            )
            recipients += [(item_id, position, address) for position, address in enumerate(addresses)]
    connection.executemany(ENQUEUE, items)
    connection.executemany("INSERT INTO recipients VALUES (?, ?, ?)", recipients)
