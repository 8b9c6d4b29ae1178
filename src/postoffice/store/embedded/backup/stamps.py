"""Whether a file of SQLite is what it was, by a look at it from outside.

With an empty log everything is in the file itself, and then it has the same inode, size and times only if nobody
wrote it. So the log is written back first; where it is not empty nobody can tell, and neither for times that are
younger than the grain of the clock they are from. Counters of SQLite tell less: with a log, the one in the file does
not move with each commit, and what a process knows of commits ends with it. A commit whose process died before it
told the others is in the log too, and so is never taken for nothing.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from postoffice.database.sqlite import Connection

GRAIN_SECONDS: Final = 0.1
"""A file that was changed no longer ago may be changed again without another time."""

PATIENCE_MILLISECONDS: Final = 50
"""How long to wait for a log to be free to be written back."""


def stamp_of(path: Path) -> str:
    """The same as long as the file says the same; empty where that cannot be told. Ask before reading the file."""
    with suppress(FileNotFoundError):
        if path.with_name(f"{path.name}-wal").stat().st_size:
            return ""
    facts = path.stat()
    if time.time() - max(facts.st_ctime, facts.st_mtime) < GRAIN_SECONDS:
        return ""
    return f"{facts.st_dev}.{facts.st_ino}.{facts.st_size}.{facts.st_mtime_ns}.{facts.st_ctime_ns}"


def write_log_back(connection: Connection) -> None:
    """So that everything is in the file itself; if somebody is in the way, the file has no stamp this time."""
    with suppress(apsw.BusyError):
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MILLISECONDS}").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
