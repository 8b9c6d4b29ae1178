"""A loss of power, as files see it: what was not synced is gone, some of it, or cut in the middle.

A killed process leaves the page cache behind; a machine without power does not. `PowerSupply` is a VFS of SQLite
that lets every write through, so that the program sees what it wrote, and remembers beside it what a disk would
hold: for each file the octets at its last sync and the writes since. At the chosen moment everything that writes
fails; `restore` then makes the folder what a restarted machine would find. Reading without shared memory is not
what is tested: the index of the write-ahead log is memory, and is gone too.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Literal

import apsw


class Loss(Enum):
    """What becomes of the writes that were not synced."""

    ALL = "all of them are gone"
    SOME = "a random part of them is there, in any order"
    TORN = "the last one is there in half"


@dataclass(slots=True)
class _Disk:
    """What is safe of one file, and the writes since: an offset and its octets, or a new length and None."""

    safe: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.safe = _with(self.safe, self.since)
        self.since.clear()


class PowerSupply:
    """Registers a VFS under `name`; `fails_at` is the how manyth write, sync or deletion does not happen any more.

    `moments` counts them; with `fails_at` None it never fails, which tells how many there are.
    """

    _numbers = count(1)

    def __init__(self, fails_at: int | None = None) -> None:
        self.name = f"power-{next(self._numbers)}"
        self.fails_at = fails_at
        self.moments = 0
        self.is_off = False
        self._disks: dict[str, _Disk] = {}
        self._vfs = _PoweredVFS(self)

    def __enter__(self) -> PowerSupply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._vfs.unregister()
        return False

    def disk(self, path: str) -> _Disk:
        """The disk of a file; what was in it before counts as safe."""
        if path not in self._disks:
            there = Path(path)
            self._disks[path] = _Disk(there.read_bytes() if there.exists() else b"")
        return self._disks[path]

    def moment(self) -> None:
        """Something is about to reach the disk."""
        if not self.is_off:
            self.moments += 1
            self.is_off = self.fails_at is not None and self.moments >= self.fails_at
        if self.is_off:
            raise apsw.IOError("the power is off")

    def rename(self, path: str, to: str) -> None:
        """The file has another name, and that is durable."""
        self._disks[to] = self._disks.pop(path)

    def forget(self, path: str) -> None:
        """The file is deleted."""
        self._disks.pop(path, None)

    def restore(self, loss: Loss, seed: int = 0) -> None:
        """Make every file what the disk holds. All connections are closed."""
        dice = random.Random(seed)
        for path, disk in list(self._disks.items()):
            kept = _survivors(disk.since, loss, dice)
            Path(path).write_bytes(_with(disk.safe, kept))
            Path(f"{path}-shm").unlink(missing_ok=True)


def _survivors(
    since: list[tuple[int, bytes | None]], loss: Loss, dice: random.Random
) -> list[tuple[int, bytes | None]]:
    match loss:
        case Loss.ALL:
            return []
        case Loss.SOME:
            return [write for write in since if dice.random() < 0.5]
        case Loss.TORN:
            offset, octets = since[-1] if since else (0, None)
            half = [] if octets is None else [(offset, octets[: len(octets) // 2])]
            return [*since[:-1], *half]


def _with(safe: bytes, writes: list[tuple[int, bytes | None]]) -> bytes:
    if not writes:
        return safe
    image = bytearray(safe)
    for offset, octets in writes:
        if octets is None:
            del image[offset:]
            continue
        if len(image) < offset:
            image.extend(bytes(offset - len(image)))
        image[offset : offset + len(octets)] = octets
    return bytes(image)


class _PoweredVFS(apsw.VFS):
    def __init__(self, supply: PowerSupply) -> None:
        self._supply = supply
        super().__init__(supply.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _PoweredFile(self._supply, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._supply.moment()
        super().xDelete(filename, syncdir)
        self._supply.forget(filename)


class _PoweredFile(apsw.VFSFile):
    def __init__(self, supply: PowerSupply, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._supply = supply
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self._disk = supply.disk(path) if path else _Disk()
        super().__init__("", name, flags)

    def xWrite(self, data: apsw.Buffer, offset: int) -> None:  # type: ignore[name-defined]  # noqa: N802
        self._supply.moment()
        super().xWrite(data, offset)
        self._disk.since.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._supply.moment()
        super().xTruncate(newsize)
        self._disk.since.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._supply.moment()
        super().xSync(flags)
        self._disk.sync()
