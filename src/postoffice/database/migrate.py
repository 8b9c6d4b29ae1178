"""Files with the tables of today: made anew, or led there from older ones by numbered steps; and the refusal of files
that are not ours.

A file's kind and version stand in its own header (`application_id`, `user_version`), so a look at them needs no
table. Each step is one transaction together with the version it leads to: a loss of power leaves a file at one
step or at the next. Steps are only ever added; a file that knows more steps than this program is of a newer one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import apsw

from postoffice.database.key import Key
from postoffice.database.sqlite import (
    Connection,
    Kind,
    one_number,
    open_in_memory,
    open_reader,
    open_writer,
    shut,
    store_error,
    sync_directory,
    unsynced_transaction,
    with_log,
)
from postoffice.errors import DamagedStore, StoreUnavailable


def prepare(path: Path, kind: Kind, *, create: bool, vfs: str | None = None, key: Key | None = None) -> None:
    """Bring a file to the version of today; `create` makes it if it is not there.

    A file of another kind, a damaged one, or one from a newer program is a `DamagedStore`; nothing in it is changed.
    """
    if path.exists() and path.stat().st_size > 0:
        shut(open_prepared(path, kind, vfs, key=key))
    elif create:
        if vfs is not None or key is not None or not _put_new(path, kind):
            _climb_from_below(path, kind, vfs, key)
    else:
        found = "it is empty" if path.exists() else "it is not there"
        raise DamagedStore(f"{path} is not {kind.name}: {found}")


def open_prepared(
    path: Path, kind: Kind, vfs: str | None = None, cache_octets: int = 1 << 20, key: Key | None = None
) -> Connection:
    """A connection that only asks, to a file of this kind and of the version of today."""
    connection = open_reader(path, vfs, cache_octets, key)
    try:
        version = version_of(connection, path, kind)
    except BaseException:
        shut(connection)
        raise
    if version == kind.version:
        return connection
    shut(connection)
    _climb_from_below(path, kind, vfs, key)
    return open_reader(path, vfs, cache_octets, key)


def version_of(connection: Connection, path: Path, kind: Kind) -> int:
    """How many steps a file has gone through, if it is of this kind."""
    try:
        identity = one_number(connection, "PRAGMA application_id")
        version = one_number(connection, "PRAGMA user_version")
        if identity != kind.application_id and (
            identity or version or one_number(connection, "SELECT count(*) FROM sqlite_schema")
        ):
            raise DamagedStore(f"{path} is not {kind.name}: it belongs to another program")
    except apsw.Error as error:
        raise store_error(error, path) from error
    if version > kind.version:
        raise DamagedStore(f"{path} is from a newer version of postoffice than this one")
    return version


def _climb_from_below(path: Path, kind: Kind, vfs: str | None, key: Key | None) -> None:
    connection = open_writer(path, vfs, key=key)
    try:
        _go_all_steps(connection, kind)
    except apsw.Error as error:
        raise store_error(error, path) from error
    finally:
        shut(connection)


def _go_all_steps(connection: Connection, kind: Kind) -> None:
    """Each missing step; another process may be doing the same, so the version is read under the lock.

    None of them is synced: whoever loses one goes it again.
    """
    for name, function in kind.functions:
        connection.create_scalar_function(name, function)
    while True:
        with unsynced_transaction(connection):
            version = one_number(connection, "PRAGMA user_version")
            if version >= kind.version:
                return
            connection.execute(kind.steps[version - 1] if version else kind.tables)
            connection.execute(f"PRAGMA application_id = {kind.application_id}")
            connection.execute(f"PRAGMA user_version = {version + 1 if version else kind.version}")


def _put_new(path: Path, kind: Kind) -> bool:
    """A new file, made in memory and written once: without a name until it is durable, so that it is there whole or
    not at all. False: something is there, or this file system cannot do that.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        nameless = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        with os.fdopen(nameless, "wb") as file:
            file.write(with_log(blank(kind)))
            file.flush()
            os.fsync(nameless)
            os.link(f"/proc/self/fd/{nameless}", path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def blank(kind: Kind) -> bytes:
    """An empty file of a kind, without a log."""
    connection = open_in_memory()
    try:
        _go_all_steps(connection, kind)
        return connection.serialize("main")
    finally:
        shut(connection)


class Blank:
    """An empty file of a kind, made once and copied ever after: making one anew costs forty times as much."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._octets = b""

    def copy_to(self, path: Path) -> None:
        """Durable; a file that is there already stays as it is."""
        self._octets = self._octets or with_log(blank(self._kind))
        fresh = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._octets)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(fresh)
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be written: {error.strerror}") from error
        finally:
            fresh.unlink()
        sync_directory(path.parent)
