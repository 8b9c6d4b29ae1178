"""Whether anybody has written to a file since one looked last, for 0.4 µs and without a call of the system.

    index of the log    memory that all connections to a file share (`-shm`), and that SQLite has mapped for ours
    its first octets    a header, kept twice: a count of commits, how long the log is, salts and check sums

Whoever commits writes the header anew, one copy and then the other, when the log has his commit. Whoever begins to read
compares it with the one that he knew, and looks into the file only if they differ (SQLite, WAL-mode File Format). We
compare the same octets, both copies of them: so a header that somebody is just writing, or died while he wrote, is
another one too, and SQLite is asked, which knows what to do about that. Writing the log back to the file changes
nothing that anybody sees, and not the header. `PRAGMA data_version` tells the same for a lock taken and given back.
"""

from __future__ import annotations

import ctypes
from itertools import count

import apsw

from postoffice.database.sqlite import Connection

HEADER_OCTETS = 2 * 48
_REGION_OCTETS = 32 * 1024

_versions = count(1)


class Watch:
    """Of a file, by a connection to it that stays open for as long as the watch is asked."""

    __slots__ = ("_connection", "_header", "_known", "_version")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._header = _index_header(connection)
        self._known = b""
        self._version = 0

    def version(self) -> int:
        """Another number than any before, from whatever watch, if the file may have changed; else the same again."""
        if self._header is None:
            return -int(self._connection.execute("PRAGMA data_version").get)
        header = self._header.raw
        if header != self._known:
            self._known = header
            self._version = next(_versions)
        return self._version


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, as far as `xShmMap`."""


class _File(ctypes.Structure):
    """`sqlite3_file`."""

    _fields_ = (("methods", ctypes.POINTER(_Methods)),)


_BEFORE_SHARED_MEMORY = 12
_ShmMap = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(_File),
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_void_p),
)
_Methods._fields_ = (
    ("version", ctypes.c_int),
    ("others", ctypes.c_void_p * _BEFORE_SHARED_MEMORY),
    ("map_shared_memory", _ShmMap),
)


def _index_header(connection: Connection) -> ctypes.Array[ctypes.c_char] | None:
    """Where SQLite has it; None for a file without a log, such as one on a disc."""
    if connection.execute("PRAGMA journal_mode").get != "wal":
        return None
    connection.execute("PRAGMA data_version").fetchall()  # the first look maps it
    file = ctypes.POINTER(_File)()
    connection.file_control("main", apsw.SQLITE_FCNTL_FILE_POINTER, ctypes.addressof(file))
    methods = file.contents.methods.contents
    at = ctypes.c_void_p()
    if methods.version < 2 or methods.map_shared_memory(file, 0, _REGION_OCTETS, 0, ctypes.byref(at)) or not at:
        return None
    return (ctypes.c_char * HEADER_OCTETS).from_address(at.value or 0)
