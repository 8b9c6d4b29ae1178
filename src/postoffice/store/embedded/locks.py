"""The exclusive lock on a maildrop (RFC 1939 §4), over all processes of the office.

One lock file for the whole office and one octet of it for each account and viewer, so no account costs a
descriptor. The locks belong to the open file description and end with the process, however it ends; a set excludes
the sessions inside this process, because one description never stands in its own way.

What the file holds is a mark for each account: set while its mailbox file takes arrivals in, so that whoever comes
next knows of one who died in the middle. A loss of power may lose the mark, and needs none.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from zlib import crc32

VIEWER_BITS = 20
MOVING = "\0moving"
"""The viewer in whose name letters are moved from the office's file to the mailbox file."""

_SET = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)


class MaildropLocks:
    """All locks that this process holds."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[int] = set()

    def take(self, account_id: int, viewer: str) -> HeldLock | None:
        """The lock, or None if somebody has it."""
        octet = account_id << VIEWER_BITS
        if viewer == MOVING:
            octet |= 1  # a session that waits for it must never be the one that has it
        elif viewer:
            octet |= 2 + crc32(viewer.encode()) % ((1 << VIEWER_BITS) - 2)
        if octet in self._held or not self._set(octet, fcntl.F_WRLCK):
            return None
        self._held.add(octet)
        return HeldLock(self, octet)

    def give(self, octet: int) -> None:
        if octet in self._held:
            self._held.discard(octet)
            self._set(octet, fcntl.F_UNLCK)

    def _set(self, octet: int, kind: int) -> bool:
        try:
            # struct flock: l_type, l_whence, l_start, l_len, l_pid
            fcntl.fcntl(self._descriptor, _SET, struct.pack("hhqqi4x", kind, os.SEEK_SET, octet, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def mark(self, account_id: int) -> None:
        os.pwrite(self._descriptor, b"\1", account_id)

    def unmark(self, account_id: int) -> None:
        os.pwrite(self._descriptor, b"\0", account_id)

    def is_marked(self, account_id: int) -> bool:
        return os.pread(self._descriptor, 1, account_id) == b"\1"

    def close(self) -> None:
        """Everything held ends with it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._held.clear()


class HeldLock:
    """A `MaildropLock`."""

    __slots__ = ("_locks", "_octet")

    def __init__(self, locks: MaildropLocks, octet: int) -> None:
        self._locks = locks
        self._octet = octet

    async def release(self) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Also a second time; only the first counts."""
        if self._octet >= 0:
            self._locks.give(self._octet)
            self._octet = -1
