"""Where a program is tried: a folder for what it keeps of letters, one for what it remembers, and how much fits in.

A small disk is a tmpfs in a mount namespace of its own. A process holds it; programs are let in by `nsenter`, and who
judges looks through `/proc`. With the process it is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_HOLD = 'mount -t tmpfs -o size=4m,mode=777 tmpfs "$1" && echo ready && exec sleep infinity'
_FILLER = "filler"


@dataclass(frozen=True, slots=True)
class Place:
    """`letters` and `memory` are below `folder`, which holds the settings. `holder` is who holds a small disk."""

    folder: Path
    holder: int = 0

    @property
    def letters(self) -> Path:
        return self.folder / "letters"

    @property
    def memory(self) -> Path:
        return self.folder / "memory"

    def words(self, words: Sequence[str]) -> list[str]:
        """The command line that runs these words here."""
        return [*self._entrance(), *words]

    def seen(self, path: Path) -> Path:
        """How it is called from outside."""
        return Path(f"/proc/{self.holder}/root{path}") if self.holder else path

    def fill(self, path: Path, kib: int) -> None:
        """No more than so many KiB fit into a small disk now."""
        seen = self.seen(path)
        facts = os.statvfs(seen)
        (seen / _FILLER).write_bytes(bytes(facts.f_bavail * facts.f_frsize - kib * 1024))

    def make_room(self, path: Path) -> None:
        """Somebody took away what filled it."""
        (self.seen(path) / _FILLER).unlink()

    def octets(self) -> int:
        """What lies here in all."""
        found = 0
        for root in {self.folder, self.seen(self.folder)}:
            for folder, _, names in os.walk(root):
                for name in names:
                    with suppress(FileNotFoundError):  # it has another name by now, or is gone
                        found += Path(folder, name).lstat().st_size
        return found

    def _entrance(self) -> list[str]:
        return ["nsenter", "--mount", f"--target={self.holder}", "--"] if self.holder else []


def disk_absence() -> str | None:
    """Why there can be no small disks here."""
    if os.geteuid() != 0:
        return "a small disk needs root"
    missing = [name for name in ("unshare", "nsenter", "mount") if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else None


def make_place(folder: Path) -> Place:
    place = Place(folder)
    for one in (place.folder, place.letters, place.memory):
        one.mkdir(exist_ok=True)
        one.chmod(0o777)
    return place


@contextmanager
def small_disk(place: Place, path: Path) -> Iterator[Place]:
    """The same place, where `path` is a disk of 4 MiB."""
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, "hold", str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"ready\n":
                raise OSError(f"{path} cannot be made a small disk")
            yield Place(place.folder, holder.pid)
        finally:
            holder.kill()
