"""A folder of files that may belong to somebody else.

An office started by root is nobody special while it works, but the files of another server are its users' own. So as
root a deputy stays behind that does nothing but open files below one folder, for reading. Whoever owns the letters
wrote the links in there, so none is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.moving.deputy import Deputy
from postoffice.moving.letters import READ_OCTETS, Complaint, Unfit

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Tree:
    """Reads below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"{root}: cannot be read: {error.strerror}", os.EX_NOINPUT) from error
        self._deputy: Deputy | None = None

    def stay_root(self) -> None:
        """As root, before it is given up and before there is any thread: go on reading what root may."""
        if os.geteuid() == 0:
            self._deputy = Deputy(lambda names: _walk(self._root, names))

    def names(self, *folder: str) -> list[str]:
        """What lies in a folder, in no order."""
        descriptor = self._descriptor(*folder)
        try:
            return os.listdir(descriptor)  # noqa: PTH208 a path knows no descriptor
        finally:
            os.close(descriptor)

    def names_or_complaint(self, *folder: str) -> tuple[list[str], Complaint | None]:
        """The same; of what cannot be listed none, and why letters may be missing. What is no folder has none."""
        try:
            return self.names(*folder), None
        except NotADirectoryError:
            return [], None
        except OSError as error:
            where = str(self.root.joinpath(*folder))
            return [], Complaint(where, f"cannot be read: {error.strerror}", loses=True)

    def open(self, *names: str) -> tuple[os.stat_result, Iterator[bytes]]:
        """A file's facts and its octets. What is no file is `Unfit`. The file is closed with the iterator."""
        descriptor = self._descriptor(*names)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise Unfit("this is no file")
        return facts, _octets(descriptor, facts.st_size)

    def descriptor(self, *names: str) -> int:
        """One of a file or a folder, for reading; it is the caller's."""
        return self._descriptor(*names)

    def close(self) -> None:
        os.close(self._root)
        if self._deputy is not None:
            self._deputy.close()
            self._deputy = None

    def _descriptor(self, *names: str) -> int:
        return _walk(self._root, names) if self._deputy is None else self._deputy.ask(names)


def _walk(root: int, names: Sequence[str]) -> int:
    descriptor = os.dup(root)
    for name in names:
        above = descriptor
        try:
            descriptor = os.open(name, _OPEN, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def _octets(descriptor: int, octets: int) -> Iterator[bytes]:
    """Most files are read in one go, and then nothing is left open."""
    try:
        portion = os.read(descriptor, READ_OCTETS)
    except OSError:
        os.close(descriptor)
        raise
    if len(portion) < octets:
        return _rest(descriptor, portion)
    os.close(descriptor)
    return iter((portion,))


def _rest(descriptor: int, portion: bytes) -> Iterator[bytes]:
    try:
        while portion:
            yield portion
            portion = os.read(descriptor, READ_OCTETS)
    finally:
        os.close(descriptor)
