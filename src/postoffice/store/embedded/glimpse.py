"""A look into a mailbox file at rest, for a sixth of what opening it costs.

Whoever opens a file of SQLite's in WAL mode makes two more beside it, its log and the log's index, and the last one
who closes it takes them away: 700 µs, most of a login to a maildrop that nobody has open. Where there is no log, all
there is lies in the file itself, and it can be read as if it were on a disc (`immutable`), without locks and without
those two.

That is right only while nobody writes. Who writes has the log; what he wrote gets into the file before the log goes,
and that changes the file's time. So a look counts if there was no log before and behind it and the file is by its
inode, size and times the same, and if those times are so old that a change would have to show in them, on whatever file
system. The same tells whether what was seen then is what would be seen now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

import apsw

from postoffice.database.sqlite import Connection, Kind, shut
from postoffice.errors import StoreError

T = TypeVar("T")

SETTLED_SECONDS: Final = 3.0
"""How long a file must have been left alone: more than the coarsest clock of a file system, that of FAT, goes by."""


class Stillness(NamedTuple):
    """What a file at rest is known by."""

    inode: int
    octets: int
    modified: int
    changed: int


ABSENT: Final = Stillness(0, 0, 0, 0)
"""What no file is known by: it shows nothing for as long as there is none."""


def stillness(name: str) -> Stillness | None:
    """None: somebody has the file open, or it was written a moment ago, or cannot be looked at."""
    try:
        found = os.stat(name)  # noqa: PTH116 as quick as it can be: this is asked at every login
    except FileNotFoundError:
        return ABSENT
    except OSError:
        return None
    if os.access(f"{name}-wal", os.F_OK):  # the same: what is not there is no exception here
        return None
    if time.time() - max(found.st_mtime, found.st_ctime) < SETTLED_SECONDS:
        return None
    return Stillness(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def glimpse(path: Path, kind: Kind, still: Stillness, question: Callable[[Connection], T]) -> T | None:
    """What the file says, if it is of the version of today and was `still` from beginning to end.

    None: open it, and what is wrong with it will be told then.
    """
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = cast(Connection, apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags))
    except apsw.Error:
        return None
    try:
        # In no transaction, which would cost a sixth of it all: that nobody wrote meanwhile is seen at the end.
        if connection.execute("PRAGMA user_version").get != kind.version:
            return None
        answer = question(connection)
    except (apsw.Error, StoreError):
        return None
    finally:
        shut(connection)
    return answer if stillness(str(path)) == still else None
