"""Numbered steps from an empty file to the tables of today, and the refusal of files that are not ours.

A file's kind and version stand in its own header (`application_id`, `user_version`), so a look at them needs no
table. Each step is one transaction together with the version it leads to: a loss of power leaves a file at one
step or at the next. Steps are only ever added; a file that knows more steps than this program is of a newer one.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from postoffice.database.sqlite import (
    Connection,
    Kind,
    one_number,
    open_reader,
    open_writer,
    shut,
    store_error,
    transaction,
)
from postoffice.errors import DamagedStore, StoreError


def prepare(path: Path, kind: Kind, *, create: bool, vfs: str | None = None) -> None:
    """Bring a file to the version of today; `create` makes it if it is not there.

    A file of another kind, a damaged one, or one from a newer program is a `DamagedStore`; nothing in it is changed.
    """
    fresh = not path.exists() or path.stat().st_size == 0
    if fresh and not create:
        raise DamagedStore(f"{path} is not {kind.name}: " + ("it is empty" if path.exists() else "it is not there"))
    if not fresh and _version(path, kind, vfs) == len(kind.steps):
        return
    connection = open_writer(path, vfs)
    try:
        _climb(connection, kind)
    except apsw.Error as error:
        raise store_error(error, path) from error
    finally:
        shut(connection)


def _version(path: Path, kind: Kind, vfs: str | None) -> int:
    """How many steps a file has gone through, if it is of this kind."""
    try:
        with path.open("rb") as file:
            magic = file.read(16)
        if magic != b"SQLite format 3\0":
            raise DamagedStore(f"{path} is not {kind.name}: it does not begin like one")
        connection = open_reader(path, vfs)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    try:
        identity = one_number(connection, "PRAGMA application_id")
        version = one_number(connection, "PRAGMA user_version")
        tables = one_number(connection, "SELECT count(*) FROM sqlite_schema")
    except apsw.Error as error:
        raise store_error(error, path) from error
    finally:
        shut(connection)
    if identity != kind.application_id and (identity or version or tables):
        raise DamagedStore(f"{path} is not {kind.name}: it belongs to another program")
    if version > len(kind.steps):
        raise DamagedStore(f"{path} is from a newer version of postoffice than this one")
    return version


def _climb(connection: Connection, kind: Kind) -> None:
    """Each missing step; another process may be doing the same, so the version is read under the lock."""
    while True:
        with transaction(connection):
            version = one_number(connection, "PRAGMA user_version")
            if version >= len(kind.steps):
                return
            connection.execute(kind.steps[version])
            connection.execute(f"PRAGMA application_id = {kind.application_id}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
