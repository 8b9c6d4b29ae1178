"""A loss of power, as plain files see it: what was not synced is not there.

`PowerSupply` does this for what SQLite writes; a `Disk` does it for a folder of files. It lets everything through and
remembers beside it what a disk would hold: of each file the octets at its last sync, of each folder the names. At the
chosen sync the power fails, and `leave` makes another folder of what a restarted machine would find. Of files that
are synced through SQLite it knows nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

Listing = dict[str, tuple[int, bool]]
"""What a folder holds: the inode of each name, and whether it is a folder."""


class Names(Enum):
    """What becomes of names that were not synced, with their folder, at the moment when the power failed."""

    LOST = "a folder has the names of its last sync"
    KEPT = "all names are there, before the octets of their files"


class PowerFailed(OSError):
    """From the chosen moment on nothing is synced any more."""


class Disk:
    """Watches what is synced below `root`; `fails_at` is the how manyth sync that does not happen any more.

    `moments` counts them; with `fails_at` None it never fails, which tells how many there are.
    """

    def __init__(self, root: Path, fails_at: int | None = None) -> None:
        self.root = root
        self.fails_at = fails_at
        self.moments = 0
        self.is_off = False
        self._octets: dict[int, bytes] = {}
        self._names: dict[int, Listing] = {}
        self._names_then: dict[int, Listing] = {}
        self._sync = os.fsync
        for folder, _, files in os.walk(root):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                self._save(path)

    def __enter__(self) -> Self:
        os.fsync = self._watch  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync = self._sync
        if not self.is_off:
            self._names_then = self._all_names()

    def mend(self) -> None:
        """It was no loss of power, but an error: nothing is lost, and it goes on."""
        self.is_off, self.fails_at = False, None

    def _watch(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_relative_to(self.root):
            self._sync(descriptor)
            return
        if not self.is_off:
            self.moments += 1
            self.is_off = self.moments == self.fails_at
            self._names_then = self._all_names() if self.is_off else {}
        if self.is_off:
            raise PowerFailed(errno.EIO, "the power is off")
        self._sync(descriptor)
        self._save(path)

    def _save(self, path: Path) -> None:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            self._names[facts.st_ino] = _names_in(str(path))
        else:
            self._octets[facts.st_ino] = path.read_bytes()

    def _all_names(self) -> dict[int, Listing]:
        return {Path(folder).stat().st_ino: _names_in(folder) for folder, _, _ in os.walk(self.root)}

    def leave(self, target: Path, names: Names) -> None:
        """What the disk holds, as the folder `target`."""
        shutil.rmtree(target, ignore_errors=True)
        folders = self._names if names is Names.LOST else self._names_then
        self._leave_folder(folders, self.root.stat().st_ino, target)

    def _leave_folder(self, folders: dict[int, Listing], inode: int, target: Path) -> None:
        target.mkdir()
        for name, (below, is_folder) in folders.get(inode, {}).items():
            if is_folder:
                self._leave_folder(folders, below, target / name)
            else:
                (target / name).write_bytes(self._octets.get(below, b""))


def _names_in(folder: str) -> Listing:
    return {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(folder)}
