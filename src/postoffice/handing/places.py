"""Folders and files of a person, which letters are written into.

Everything is done below descriptors of folders, and what is ours is made anew or not at all. Root writes into nothing
that is somebody else's: its owner could not read what root makes there, and could lead root by a link to anywhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postoffice.client.private import sync_folder
from postoffice.errors import StoreError, UsageError

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Trouble with files in one sentence: a full disk is a StoreError (75), all else a UsageError (73, 77)."""
    try:
        yield
    except OSError as error:
        sentence = f"{path}: cannot be written: {error.strerror}"
        if error.errno in _FULL:
            raise StoreError(sentence) from error
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
        raise UsageError(sentence, status) from error


def make_folder(path: str | Path, above: int | None = None) -> int:
    """A folder that is there from now on, durably; a descriptor of it. May raise OSError."""
    try:
        os.mkdir(path, 0o700, dir_fd=above)
    except FileExistsError:
        pass
    else:
        if above is not None:
            os.fsync(above)
        else:
            sync_folder(Path(path).parent)
    return os.open(path, FOLDER | (os.O_NOFOLLOW if above is not None else 0), dir_fd=above)


def must_be_ours(descriptor: int, path: Path) -> None:
    """Raises UsageError (77) if we are root and this is somebody else's."""
    owner = os.fstat(descriptor).st_uid
    if os.geteuid() == 0 and owner != 0:
        raise UsageError(f"{path}: is somebody else's: fetch as its owner, not as root", os.EX_NOPERM)
