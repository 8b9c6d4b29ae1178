"""What a run is about to do, durable before it does it, so that the next one knows where this one died.

A journal lies beside its spool and holds one line: the letters that are being handed over now, and how long the mbox
was before them. A line that is not whole is none: what it was to tell of has not begun. A line about letters that have
left the spool is none either: they were handed over. It is locked while it is open; the lock dies with its process.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from postoffice.client.private import sync_folder
from postoffice.errors import UsageError
from postoffice.handing.places import explained

_LINE_OCTETS: Final = 1024 * 1024


class Note(NamedTuple):
    """`letters` are email ids in their order; `length` is in octets, 0 where it means nothing."""

    letters: tuple[str, ...] = ()
    length: int = 0


class Journal:
    """`died` is what a run before this one was doing when it ended. Raises UsageError, StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                _hold_alone(self._file, path)
                sync_folder(path.parent)
                self.died = _read(os.pread(self._file, _LINE_OCTETS, 0))
            except BaseException:
                os.close(self._file)
                raise

    def begin(self, letters: Sequence[str], length: int = 0) -> None:
        """These are handed over now. Durable. Raises UsageError, StoreError."""
        payload = json.dumps([*letters, length]).encode()
        with explained(self._path):
            self._write(b"%08x %b\n" % (crc32(payload), payload))
            os.fsync(self._file)

    def end(self) -> None:
        """It is known what became of them. Not durable: to be in doubt without need harms nobody."""
        with explained(self._path):
            self._write(b"\n")

    def _write(self, line: bytes) -> None:
        if os.pwrite(self._file, line, 0) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        os.close(self._file)


def _hold_alone(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{path}: another run is handing these letters over", os.EX_TEMPFAIL) from error


def _read(octets: bytes) -> Note:
    line, end, _ = octets.partition(b"\n")
    told, _, payload = line.partition(b" ")
    if not end or not payload or told != b"%08x" % crc32(payload):
        return Note()
    *letters, length = json.loads(payload)
    return Note(tuple(letters), length)
