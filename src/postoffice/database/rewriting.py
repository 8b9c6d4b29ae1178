"""A database file is written anew with another key, or without one, while nobody else can open it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, cast

import apsw

from postoffice.database.key import LOCKED_PAGE_OCTETS, Key
from postoffice.database.sqlite import Connection, made_ready, shut, store_error
from postoffice.errors import StoreUnavailable

_PATIENCE_MILLISECONDS: Final = 1000


@contextmanager
def alone(path: Path, key: Key | None) -> Iterator[Connection]:
    """A connection to a file that nobody else has open, or reads until it is left, and that has no log any more.

    Raises StoreUnavailable where somebody has it.
    """
    identity = path.stat()
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    try:
        connection = made_ready(apsw.Connection(path.absolute().as_uri(), flags), path, key)
    except apsw.Error as error:
        raise store_error(error, path) from error
    try:
        cast(apsw.Connection, connection).set_busy_timeout(_PATIENCE_MILLISECONDS)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
            if connection.execute("PRAGMA journal_mode = DELETE").get != "delete":
                raise apsw.BusyError("it has a log")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except apsw.BusyError as error:
            raise StoreUnavailable(f"{path} is in use: stop what uses it first") from error
        try:
            yield connection
        except BaseException:
            _have_a_log_again(connection, path, identity)
            raise
    except apsw.Error as error:
        raise store_error(error, path) from error
    finally:
        shut(connection)


def _have_a_log_again(connection: Connection, path: Path, identity: os.stat_result) -> None:
    """Unless the name leads to another file by now, beside which no log of this one may lie."""
    with suppress(apsw.Error, OSError):
        if os.path.samestat(path.stat(), identity):
            connection.execute("PRAGMA locking_mode = NORMAL").fetchall()
            connection.execute("PRAGMA journal_mode = WAL").fetchall()


def write_anew(source: Connection, fresh: Path, key: Key | None) -> None:
    """Write all that a connection of `alone` sees into a new file, readable by its owner only. Not durable.

    The pages of a file that was encrypted keep their size and the room that HMACs had, also where there is no key any
    more.
    """
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    parameters = "key=" if key is None else key.parameters()
    try:
        if key is not None:
            source.execute(f"PRAGMA page_size = {LOCKED_PAGE_OCTETS}")
        source.execute("VACUUM INTO ?", (f"{fresh.absolute().as_uri()}?{parameters}",)).fetchall()
    except apsw.Error as error:
        # SQLite's own words may repeat the address, and the key with it.
        because = "the disk is full" if isinstance(error, apsw.FullError) else "it cannot be written anew"
        raise store_error(type(error)(because), fresh) from None
