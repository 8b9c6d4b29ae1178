"""Plain files that survive a loss of power: many at once, whole folders, and a name that is given last.

A file is safe when it was synced and the folder that has its name was too. What is given its final name after that is
there as a whole or not at all.
"""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from postoffice.database.sqlite import store_error, sync_directory
from postoffice.errors import StoreUnavailable, UsageError

TOGETHER = 128
"""How many files are synced together: each costs a descriptor meanwhile."""


def sync_files(paths: Sequence[Path]) -> None:
    """What was written to these files is durable; their names are not yet.

    All are set going first and then waited for, which takes half of one after the other (docs/spikes.md).
    """
    for start in range(0, len(paths), TOGETHER):
        descriptors: list[int] = []
        try:
            descriptors += [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths[start : start + TOGETHER]]
            for descriptor in descriptors:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            for descriptor in descriptors:
                os.fsync(descriptor)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def sync_folders(root: Path) -> None:
    """All names in a folder, and in those in it, are durable; its own is not yet."""
    for folder, _, _ in os.walk(root, topdown=False):
        sync_directory(Path(folder))


def write_file(path: Path, octets: bytes) -> None:
    """A new file with these octets, readable by its owner only, under its name at once and durable."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    sync_files([fresh])
    fresh.rename(path)
    sync_directory(path.parent)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """What a disk refuses, as errors of ours: what is not allowed is a person's business, all else is for later."""
    try:
        yield
    except OSError as error:
        path = error.filename or where
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UsageError(f"{path}: {error.strerror}, for the user {_own_name()}", os.EX_NOPERM) from error
        raise StoreUnavailable(f"{path} cannot be used now: {error.strerror}") from error
    except apsw.Error as error:
        raise store_error(error, where) from error


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
