"""A pack: a mailbox on its way to another machine, in one file that says whether it came whole.

    0      `postoffice pack 1`, a line feed, zeros
    64     how many octets the database has, 8 octets, the highest first
    72     zeros; in a locked pack the record of its key slots (`home.locking.slots`), then zeros
    4064   SHA-256 of the 4064 octets before it
    4096   the database, as SQLite lays it out
    then   SHA-256 of the database, and nothing behind it

Every octet is under one of the two digests. The first 4096 end in their digest in every version to come, so a newer one
is told from a damaged one. Knows no SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from postoffice.database.key import MARK, PLAIN
from postoffice.errors import DamagedStore
from postoffice.home.locking.slots import RECORD_OCTETS, is_record

FRONT_OCTETS: Final = 4096
DIGEST_OCTETS: Final = 32
PORTION_OCTETS: Final = 1 << 20
_MAGIC: Final = b"postoffice pack "
_SIZE_AT, _SIZE_OCTETS = 64, 8
_RECORD_AT: Final = _SIZE_AT + _SIZE_OCTETS

Tick = Callable[[int], None]
"""Called with the octets that were moved since."""


class Source(Protocol):
    """A file that is read from its beginning on, or a pipe."""

    def read(self, octets: int, /) -> bytes: ...


class Sink(Protocol):
    def write(self, octets: bytes, /) -> object: ...


def is_pack(beginning: bytes) -> bool:
    return beginning.startswith(_MAGIC)


@dataclass(frozen=True, slots=True)
class Front:
    """What a pack says of itself: the octets of its database, and the record of its key slots, empty if it has none."""

    octets: int
    record: bytes = b""

    def written(self) -> bytes:
        line = _MAGIC + b"1\n"
        before = line.ljust(_SIZE_AT, b"\0") + self.octets.to_bytes(_SIZE_OCTETS, "big") + self.record
        assert len(before) <= FRONT_OCTETS - DIGEST_OCTETS
        before = before.ljust(FRONT_OCTETS - DIGEST_OCTETS, b"\0")
        return before + sha256(before).digest()


def enclose(database: Source, octets: int, sink: Sink, tick: Tick, record: bytes = b"") -> bytes:
    """Write a pack of the `octets` that `database` has; gives its digest."""
    sink.write(Front(octets, record).written())
    digest = _copy(database, octets, sink, "the copy", tick)
    sink.write(digest)
    return digest


def disclose(pack: Source, sink: Sink, where: str, tick: Tick) -> tuple[bytes, bytes]:
    """Write the database of a pack; gives its digest, and the record of its key slots, empty if it is not locked.

    One that is damaged, cut, or of a newer version is a `DamagedStore`, and what was written then is nothing.
    """
    front = read_front(pack, where)
    digest = _copy(pack, front.octets, sink, where, tick)
    named = _exactly(pack, DIGEST_OCTETS)
    if len(named) < DIGEST_OCTETS:
        raise DamagedStore(f"{where} is damaged: it ends too early")
    if named != digest:
        raise DamagedStore(f"{where} is damaged: its octets are not those of its SHA-256")
    if pack.read(1):
        raise DamagedStore(f"{where} is damaged: something follows its end")
    return digest, front.record


def read_front(pack: Source, where: str) -> Front:
    """The front of a pack, which is read up to its database. Raises DamagedStore."""
    front = _exactly(pack, FRONT_OCTETS)
    if front.startswith(PLAIN):
        raise DamagedStore(f"{where} is no pack: it is a database, and a mailbox file needs no opening")
    if front.startswith(MARK):
        raise DamagedStore(f"{where} is no pack: it is a locked mailbox file, which needs no opening")
    if not is_pack(front):
        raise DamagedStore(f"{where} is not a pack of postoffice")
    if len(front) < FRONT_OCTETS:
        raise DamagedStore(f"{where} is damaged: it ends too early")
    before, named = front[:-DIGEST_OCTETS], front[-DIGEST_OCTETS:]
    if sha256(before).digest() != named:
        raise DamagedStore(f"{where} is damaged: its front is not what it was")
    octets = int.from_bytes(front[_SIZE_AT : _SIZE_AT + _SIZE_OCTETS], "big")
    record = front[_RECORD_AT : _RECORD_AT + RECORD_OCTETS]
    found = Front(octets, record if is_record(record) else b"")
    if front != found.written():
        raise DamagedStore(f"{where} is from a newer version of postoffice than this one")
    return found


def _copy(source: Source, octets: int, sink: Sink, where: str, tick: Tick) -> bytes:
    digest = sha256()
    while octets:
        portion = source.read(min(octets, PORTION_OCTETS))
        if not portion:
            raise DamagedStore(f"{where} is damaged: it ends too early")
        digest.update(portion)
        sink.write(portion)
        octets -= len(portion)
        tick(len(portion))
    return digest.digest()


def _exactly(source: Source, octets: int) -> bytes:
    """So many, or all that there are."""
    found = b""
    while len(found) < octets and (portion := source.read(octets - len(found))):
        found += portion
    return found
