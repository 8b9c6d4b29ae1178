"""A place where files are made that may become somebody else's.

As root, whoever owns the place makes them: its owner if it is there, else that of the folder around it. So letters
that root hands out to a user are the user's, and no link that he left there leads root anywhere. Names are paths
below the folder around.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.moving.deputy import NOTHING, Deputy

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Outlet:
    """Makes `path`, a file or a folder. `facts` are of what was there before, None if nothing was.

    Every verb may raise OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        around = self.path.parent
        try:
            self._around = os.open(around, _FOLDER)
        except OSError as error:
            raise UsageError(f"{around}: cannot be opened: {error.strerror}", os.EX_CANTCREAT) from error
        try:
            self.facts: os.stat_result | None = os.stat(self.path.name, dir_fd=self._around)
        except FileNotFoundError:
            self.facts = None
        self._deputy: Deputy | None = None
        if os.geteuid() == 0:
            owner = self.facts or os.fstat(self._around)
            self._deputy = Deputy(lambda words: _do(self._around, words), (owner.st_uid, owner.st_gid))

    def make_folder(self, name: str) -> int:
        """A folder that is there from now on, durably; a descriptor of it."""
        return self._do("folder", name)

    def make(self, name: str) -> int:
        """A new file, for writing."""
        return self._do("make", name)

    def make_alone(self, name: str) -> int:
        """A new file in place of one that somebody left, unless he is still writing: then a `UsageError`."""
        try:
            return self._do("take", name)
        except BlockingIOError as error:
            raise UsageError(f"{self.path}: another export is under way there", os.EX_TEMPFAIL) from error

    @contextmanager
    def new_file(self, *, replaces: bool) -> Iterator[int]:
        """A descriptor of `path`, a file that gets its name when the `with` ends and all of it is durable.

        If that raises, nothing has changed. A file that is there and not empty is a UsageError (73), unless this one
        `replaces` it; so is what is no file.
        """
        if self.facts is not None and not stat.S_ISREG(self.facts.st_mode):
            raise UsageError(f"{self.path}: is there already and no file", os.EX_CANTCREAT)
        if self.facts is not None and self.facts.st_size and not replaces:
            raise UsageError(f"{self.path}: is there already; --replace puts this in its place", os.EX_CANTCREAT)
        part = f".{self.path.name}.part"
        descriptor = self.make_alone(part)
        try:
            yield descriptor
            os.fsync(descriptor)
            self.rename(part, self.path.name)
            self.sync()
        except BaseException:
            with suppress(OSError):
                self.remove(part)
            raise
        finally:
            os.close(descriptor)

    def date(self, name: str, seconds: float) -> None:
        """A file was last changed then."""
        self._do("date", name, str(int(seconds)))

    def rename(self, name: str, to: str) -> None:
        self._do("rename", name, to)

    def remove(self, name: str) -> None:
        self._do("remove", name)

    def remove_folder(self, name: str) -> None:
        """One that is empty."""
        self._do("remove folder", name)

    def sync(self, name: str = ".") -> None:
        """What was made or renamed in a folder is durable."""
        folder = self._do("folder", name)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._around)
        if self._deputy is not None:
            self._deputy.close()
            self._deputy = None

    def _do(self, *words: str) -> int:
        return _do(self._around, words) if self._deputy is None else self._deputy.ask(words)


def hold_alone(descriptor: int, path: Path) -> None:
    """Nobody else of us writes there until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{path}: another export is under way there", os.EX_TEMPFAIL) from error


def _do(around: int, words: Sequence[str]) -> int:
    match words:
        case "folder", name:
            return _folder(around, name)
        case "make", name:
            return os.open(name, _NEW | os.O_EXCL, 0o600, dir_fd=around)
        case "take", name:
            return _taken(around, name)
        case "date", name, seconds:
            os.utime(name, (int(seconds), int(seconds)), dir_fd=around, follow_symlinks=False)
        case "rename", name, to:
            os.rename(name, to, src_dir_fd=around, dst_dir_fd=around)
        case "remove", name:
            os.unlink(name, dir_fd=around)
        case "remove folder", name:
            os.rmdir(name, dir_fd=around)
        case _:
            raise ValueError(words)
    return NOTHING


def _taken(around: int, name: str) -> int:
    """An empty file, locked. One that got another name before it was locked is whole, and not touched."""
    while True:
        file = os.open(name, _NEW, 0o600, dir_fd=around)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), os.stat(name, dir_fd=around)):
                os.ftruncate(file, 0)
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _folder(around: int, name: str) -> int:
    try:
        os.mkdir(name, 0o700, dir_fd=around)
    except FileExistsError:
        return os.open(name, _FOLDER, dir_fd=around)
    above = os.open(os.path.dirname(name) or ".", _FOLDER, dir_fd=around)  # noqa: PTH120 a name below a descriptor
    try:
        os.fsync(above)
    finally:
        os.close(above)
    return os.open(name, _FOLDER, dir_fd=around)
