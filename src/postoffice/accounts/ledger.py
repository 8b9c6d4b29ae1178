"""The guard's book: a mapped file of small rows that all workers read without asking and write under one lock.

    header    what the file is, and the salt of its keys; one page
    areas     each a hash table of rows, eight to a set; a full set forgets the row that matters least

Its size never changes. Reading a row costs no call of the system. Every row has a check sum, and one that is not whole,
because its writer died or the file was harmed, counts for nothing. It is no mail: nothing is ever synced, and where the
file is no book a new one is begun.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from postoffice.accounts.penalties import clean_at
from postoffice.errors import StoreUnavailable

BOOK = "guard.book"
"""Its name in the data folder."""

_MAGIC = b"postoffice guard 1\n"
_SALT_AT, _SALT_OCTETS = 64, 32
_HEADER_OCTETS = 4096
_WAYS = 8
_ROW = struct.Struct("<QddddQQQI")
_ROW_OCTETS = 224
_SUM = struct.Struct("<I")
_SUM_AT = _ROW_OCTETS - _SUM.size
_SEEN = struct.Struct("<8H")
_SEEN_AT = _ROW.size
_NAME_AT = _SEEN_AT + _SEEN.size
_NAME_OCTETS = _SUM_AT - _NAME_AT
_SET_OCTETS = _WAYS * _ROW_OCTETS
_KEYS = struct.Struct("<" + f"Q{_ROW_OCTETS - 8}x" * _WAYS)


class Area(Enum):
    """The kinds of rows, and how many sets of eight each has."""

    PLACE = 1024
    NAME = 1025
    PAIR = 2048


_OFFSETS = {
    Area.PLACE: _HEADER_OCTETS,
    Area.NAME: _HEADER_OCTETS + Area.PLACE.value * _SET_OCTETS,
    Area.PAIR: _HEADER_OCTETS + (Area.PLACE.value + Area.NAME.value) * _SET_OCTETS,
}
BOOK_OCTETS = _HEADER_OCTETS + sum(area.value for area in Area) * _SET_OCTETS
"""About 7 MiB, for 8,192 places, as many names, and 16,384 pairs of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """`points` were reckoned `at`; nothing is looked at before `until`. `seen` are the last wrong passwords, in two
    octets each: enough to know one again, too few to find it. `worked` is when a login last was right, `credential`
    which; `place` and `account` are the keys of a pair's two sides. All times are in seconds since the epoch."""

    key: int
    name: str = ""
    points: float = 0.0
    at: float = 0.0
    until: float = 0.0
    worked: float = 0.0
    credential: int = 0
    place: int = 0
    account: int = 0
    failures: int = 0
    seen: tuple[int, ...] = ()

    @property
    def matters_until(self) -> float:
        """What a full set forgets last."""
        return max(self.until, clean_at(self.points, self.at), self.worked)


class Ledger:
    """Rows by key. Without an open file it is this process's and its children's alone, and is gone with them.

    A file has its salt; `salt` is for tests that want to meet no chance.
    """

    def __init__(self, descriptor: int = -1, salt: bytes = b"") -> None:
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, BOOK_OCTETS)
        if descriptor < 0:
            self._map[:_HEADER_OCTETS] = _header(salt)
        salt = bytes(self._map[_SALT_AT : _SALT_AT + _SALT_OCTETS])
        self.key_of = lru_cache(maxsize=16_384)(lambda text: _number(text, salt))
        """The key of a text; never 0. The salt keeps others from choosing whose rows share a set."""

    def get(self, area: Area, key: int) -> Row | None:
        """A row, if it is there and whole."""
        at = self._set_at(area, key)
        keys = _KEYS.unpack_from(self._map, at)
        return self._read(at + keys.index(key) * _ROW_OCTETS) if key in keys else None

    def rows(self, area: Area) -> Iterator[Row]:
        """All of them, in no order."""
        for at in range(_OFFSETS[area], _OFFSETS[area] + area.value * _SET_OCTETS, _SET_OCTETS):
            for way, key in enumerate(_KEYS.unpack_from(self._map, at)):
                row = self._read(at + way * _ROW_OCTETS) if key else None
                if row is not None:
                    yield row

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else writes meanwhile: some microseconds."""
        if self._descriptor < 0:
            yield  # only children share it, and at worst they forget a point
            return
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def put(self, area: Area, row: Row) -> None:
        """Write a row, in the place of its last version or of one that matters less. Only inside of `writing`."""
        at = self._set_at(area, row.key)
        keys = _KEYS.unpack_from(self._map, at)
        if row.key in keys:
            way = keys.index(row.key)
        elif 0 in keys:
            way = keys.index(0)
        else:
            rows = [self._read(at + way * _ROW_OCTETS) for way in range(_WAYS)]
            matters = [0.0 if kept is None else kept.matters_until for kept in rows]
            way = matters.index(min(matters))
        at += way * _ROW_OCTETS
        self._map[at : at + _ROW_OCTETS] = _written(row)

    def drop(self, area: Area, key: int) -> bool:
        """Forget a row; whether there was one. Only inside of `writing`."""
        at = self._set_at(area, key)
        keys = _KEYS.unpack_from(self._map, at)
        if key not in keys:
            return False
        at += keys.index(key) * _ROW_OCTETS
        self._map[at : at + _ROW_OCTETS] = bytes(_ROW_OCTETS)
        return True

    def close(self) -> None:
        self._map.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _set_at(self, area: Area, key: int) -> int:
        return _OFFSETS[area] + key % area.value * _SET_OCTETS

    def _read(self, at: int) -> Row | None:
        octets = self._map[at : at + _ROW_OCTETS]
        if crc32(octets[:_SUM_AT]) != _SUM.unpack_from(octets, _SUM_AT)[0]:
            return None
        key, points, since, until, worked, credential, place, account, failures = _ROW.unpack_from(octets)
        seen = tuple(one for one in _SEEN.unpack_from(octets, _SEEN_AT) if one)
        name = octets[_NAME_AT:_SUM_AT].rstrip(b"\0").decode("utf-8", "replace")
        return Row(key, name, points, since, until, worked, credential, place, account, failures, seen)


def _written(row: Row) -> bytes:
    numbers = _ROW.pack(
        *(row.key, row.points, row.at, row.until, row.worked),
        *(row.credential, row.place, row.account, min(row.failures, 0xFFFFFFFF)),
    )
    seen = _SEEN.pack(*(row.seen + (0,) * 8)[:8])
    name = row.name.encode("utf-8", "replace")[:_NAME_OCTETS].ljust(_NAME_OCTETS, b"\0")
    octets = numbers + seen + name
    return octets + _SUM.pack(crc32(octets))


def begin_book(path: Path) -> tuple[Ledger, str]:
    """The book of an office that opens, and what is to be said about it. Where none can be kept it is in memory."""
    said = ""
    try:
        descriptor = _opened(path)
        if descriptor is None:
            said = f"{path} is no book of failed logins, and is begun anew" if path.exists() else ""
            _make(path)
            descriptor = _opened(path)
    except OSError as error:
        return Ledger(), f"{path} cannot be kept ({error.strerror}): failed logins are forgotten when the office closes"
    return Ledger(-1 if descriptor is None else descriptor), said


def open_book(path: Path) -> Ledger | None:
    """The book that an office has, if it has one."""
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}") from error
    return None if descriptor is None else Ledger(descriptor)


def _opened(path: Path) -> int | None:
    """A file that is a book."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if os.fstat(descriptor).st_size == BOOK_OCTETS and os.pread(descriptor, len(_MAGIC), 0) == _MAGIC:
        return descriptor
    os.close(descriptor)
    return None


def _make(path: Path) -> None:
    """A new book. Its room is taken at once: a page that the disk has no room for later would end the process."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, BOOK_OCTETS)
        os.pwrite(descriptor, _header(), 0)
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _number(text: str, salt: bytes) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), key=salt, digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _header(salt: bytes = b"") -> bytes:
    salt = salt or secrets.token_bytes(_SALT_OCTETS)
    return (_MAGIC.ljust(_SALT_AT, b"\0") + salt.ljust(_SALT_OCTETS, b"\0")).ljust(_HEADER_OCTETS, b"\0")
