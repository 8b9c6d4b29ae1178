"""Contents and their chunk rows, the same in a mailbox file and in `office.db`: how they are kept, shared and swept.

A content is kept once in a file, however many letters show it; `holds` counts them. A small one comes and goes in
the transaction of its letter. A large one comes in by small transactions that nothing refers to yet, and is swept
away by small transactions after nothing refers to it any more, so no transaction holds the right to write for
long, and the log stays small. A content on either way has no SHA-256 in its row: nobody finds it by name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import count

import apsw

from postoffice.database.rows import next_id, put
from postoffice.database.sqlite import Connection, give_space_back, one_number, transaction, unsynced_transaction
from postoffice.errors import DamagedStore, StoreError
from postoffice.message.content import Content
from postoffice.store.embedded.checksum import crc32
from postoffice.store.model import CHUNK_OCTETS, Staged

INDEX_BITS = 20
SWEEP_CHUNKS = 16
SPARE_PAGES = 32
"""256 KiB, and half of that in a file with pages of 4."""
ABANDONED_SECONDS = 86400.0
"""After how long a letter still coming in is taken for one whose writer is gone, whatever its process id says."""

ROW = "row:"
"""What stands before a content id in `Staged.place`."""

_HERE = "SELECT sha256 FROM carray(?) k CROSS JOIN contents ON sha256 = k.value"

NEW = (
    "INSERT INTO contents (content_id, sha256, octets, wire_octets, has_dot_lines, has_ascii_header, holds, spool)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

CHUNK = "INSERT INTO chunks (chunk_id, checksum, sha256, data) VALUES (?, ?, ?, ?)"


def find(connection: Connection, name: bytes) -> int | None:
    """The content of this SHA-256, if it is here."""
    found = connection.execute("SELECT content_id FROM contents WHERE sha256 = ?", (name,)).get
    return found if isinstance(found, int) else None


def keep_all(connection: Connection, staged: Sequence[Staged]) -> list[int]:
    """Hold each content once more, or for the first time; gives their ids. Small ones that are new go in together.
    Inside the caller's transaction."""
    ids = _put_new(connection, staged)
    return [ids.pop(one.content.sha256, 0) or _keep(connection, one) for one in staged]


def _put_new(connection: Connection, staged: Sequence[Staged]) -> dict[bytes, int]:
    """The id of each content that was put in, by its SHA-256."""
    new: dict[bytes, tuple[Content, bytes]] = {}
    for content, _, place, _ in staged:
        if isinstance(place, bytes) and len(place) == content.wire_octets:
            new.setdefault(content.sha256, (content, place))
    for (known,) in connection.execute(_HERE, (apsw.carray(tuple(new)),)).fetchall() if new else ():
        del new[known]
    if not new:
        return {}
    ids = dict(zip(new, count(next_id(connection, "contents")), strict=False))
    put(connection, NEW, [(ids[name], *content, 1, None) for name, (content, _) in new.items()])
    put(connection, CHUNK, [(ids[name] << INDEX_BITS, crc32(wire), name, wire) for name, (_, wire) in new.items()])
    return ids


def _keep(connection: Connection, staged: Staged) -> int:
    """One that is here already, or came in as rows."""
    content, place = staged.content, staged.place
    found = find(connection, content.sha256)
    if found is not None:
        connection.execute("UPDATE contents SET holds = holds + 1 WHERE content_id = ?", (found,))
        if isinstance(place, str):
            disown(connection, place)
        return found
    if isinstance(place, bytes):
        raise StoreError(f"content {content.sha256.hex()[:16]} is not here any more")
    content_id = staged_id(place)
    connection.execute(
        "UPDATE contents SET sha256 = ?, octets = ?, wire_octets = ?, has_dot_lines = ?, has_ascii_header = ?,"
        " holds = 1, writer = NULL, since = NULL WHERE content_id = ? AND holds = 0 AND writer = ?",
        (*content, content_id, os.getpid()),
    )
    if connection.changes() != 1:
        raise StoreError(f"the letter staged as {place} is not there any more")
    return content_id


def release(connection: Connection, leaving: Mapping[int, int]) -> list[str]:
    """Hold contents less often; gives the spool files that nothing refers to any more. In the caller's transaction.

    Small contents go at once. The chunk rows of large ones are left for `sweep`.
    """
    connection.executemany(
        "UPDATE contents SET holds = holds - ? WHERE content_id = ?",
        [(times, content_id) for content_id, times in leaving.items()],
    )
    spooled: list[str] = []
    small: list[tuple[int]] = []
    for content_id in leaving:
        row = connection.execute(
            "SELECT wire_octets, spool FROM contents WHERE content_id = ? AND holds <= 0", (content_id,)
        ).fetchone()
        if row is None:
            continue
        if row[1] is not None:
            spooled.append(row[1])
        if row[1] is not None or row[0] <= CHUNK_OCTETS:
            small.append((content_id,))
        else:
            connection.execute("UPDATE contents SET sha256 = NULL, holds = 0 WHERE content_id = ?", (content_id,))
    connection.executemany("DELETE FROM chunks WHERE chunk_id = ? << 20", small)
    connection.executemany("DELETE FROM contents WHERE content_id = ?", small)
    return spooled


# --- large ones: in and out by small steps ---------------------------------------------------------------------


def staged_id(place: str) -> int:
    """The content id in the place of a `Staged` that came in as rows."""
    if not place.startswith(ROW):
        raise StoreError(f"{place} was not staged here")
    return int(place.removeprefix(ROW))


def begin(connection: Connection) -> int:
    """Make room for a content that comes in chunk by chunk. It is durable with the first letter that refers to it."""
    with unsynced_transaction(connection):
        connection.execute("INSERT INTO contents (writer, since) VALUES (?, ?)", (os.getpid(), time.time()))
        return connection.last_insert_rowid()


def add_chunks(
    connection: Connection,
    content_id: int,
    index: int,
    chunks: Sequence[bytes | memoryview],
    sha256: bytes | None = None,
) -> None:
    """Keep some more of a content; its `sha256` is given with its last chunks, the very last of which carries it."""
    names = [*[None] * (len(chunks) - 1), sha256]
    with unsynced_transaction(connection):
        connection.executemany(
            CHUNK,
            [
                (content_id << INDEX_BITS | number, crc32(data), name, data)
                for number, (data, name) in enumerate(zip(chunks, names, strict=True), index)
            ],
        )


def disown(connection: Connection, place: str) -> None:
    """Nobody wants this staged content any more: the next `sweep` takes it away."""
    connection.execute(
        "UPDATE contents SET writer = NULL, since = NULL WHERE content_id = ? AND holds = 0", (staged_id(place),)
    )


def sweep(connection: Connection) -> None:
    """Take away what nothing refers to, and what a process that is gone left behind; give the room back."""
    rows = connection.execute(
        "SELECT content_id, writer, since FROM contents WHERE sha256 IS NULL AND holds = 0"
    ).fetchall()
    for content_id, writer, since in rows:
        if writer is not None and time.time() - since < ABANDONED_SECONDS and _is_alive(writer):
            continue
        low, high = content_id << INDEX_BITS, (content_id + 1) << INDEX_BITS
        while True:
            with transaction(connection):
                connection.execute(
                    "DELETE FROM chunks WHERE chunk_id IN"
                    " (SELECT chunk_id FROM chunks WHERE chunk_id >= ? AND chunk_id < ? LIMIT ?)",
                    (low, high, SWEEP_CHUNKS),
                )
                if connection.changes() < SWEEP_CHUNKS:
                    connection.execute("DELETE FROM contents WHERE content_id = ? AND holds = 0", (content_id,))
                    break
    give_space_back(connection, spare_pages=SPARE_PAGES)


def needs_sweep(connection: Connection) -> bool:
    """Whether `sweep` would find something; costs two look-ups."""
    if one_number(connection, "SELECT EXISTS (SELECT 1 FROM contents WHERE sha256 IS NULL)"):
        return True
    return one_number(connection, "PRAGMA freelist_count") > SPARE_PAGES


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# --- reading them ------------------------------------------------------------------------------------


def read_chunk(connection: Connection, content_id: int, index: int) -> tuple[bytes, bool]:
    """One chunk, and whether more follows."""
    row = connection.execute(
        "SELECT data, sha256 IS NULL FROM chunks WHERE chunk_id = ?", (content_id << INDEX_BITS | index,)
    ).fetchone()
    if row is None:
        raise DamagedStore(f"chunk {index} of content {content_id} is not there")
    return row[0], bool(row[1])


def plain_of(wires: Iterable[bytes]) -> Iterator[bytes]:
    """The content itself from its wire form, cut anywhere: one dot less at the start of each line.

    It begins as if a line had ended right before it.
    """
    held = b"\r\n"
    skip = 2
    for wire in wires:
        data = held + wire
        keep_back = 2 if data.endswith(b"\r\n") else 1 if data.endswith(b"\r") else 0
        held = data[len(data) - keep_back :]
        plain = data[: len(data) - keep_back].replace(b"\r\n.", b"\r\n")
        yield plain[skip:]
        skip = 0 if plain else skip
    yield held[skip:]


def digest_of(wires: Iterable[bytes]) -> tuple[int, bytes]:
    """How many octets a content has, and its SHA-256, from its wire form."""
    reckoner = sha256()
    octets = 0
    for plain in plain_of(wires):
        octets += len(plain)
        reckoner.update(plain)
    return octets, reckoner.digest()
