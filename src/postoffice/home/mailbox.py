"""The mailbox file of a person: opened with a sentence for whatever stands in the way, and held by one pull at a time.

Who pulls holds a lock of the kernel on an octet of the file that SQLite never looks at. It belongs to the open file and
ends with the process, however that ends (fcntl(2), open file description locks); nobody has to take it away.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

PULLING_OCTET: Final = 2**63 - 2
"""Of a mailbox file; whoever has it locked may pull into the file."""
SESSION_OCTET: Final = 2**63 - 3
"""Whoever has it locked has the file as a maildrop (`maildrops`)."""
_SET: Final = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)


def opening(file: Path, *, create: bool = False, sweeps: bool = True) -> Callable[[], MailboxFile]:
    """Opens `file`; whether that can be is looked at now. Unless it `sweeps`, that changes nothing in it."""
    from postoffice.store.embedded import MailboxFile

    try:
        is_there = bool(file.stat())
    except FileNotFoundError:
        is_there = False
    except OSError as error:
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_NOINPUT
        raise UsageError(f"{file}: cannot be read: {error.strerror}", status) from error
    if file.is_dir():
        raise UsageError(f"{file}: is a folder, not a mailbox file", os.EX_NOINPUT)
    if is_there and not os.access(file, os.R_OK):
        raise UsageError(f"{file}: cannot be read: you may not", os.EX_NOPERM)
    if not is_there and not create:
        raise UsageError(f"{file}: there is no such file", os.EX_NOINPUT)
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}", os.EX_CANTCREAT)

    def opened() -> MailboxFile:
        try:
            return MailboxFile.open(file, create=create, sweeps=sweeps)
        except OSError as error:
            status = os.EX_CANTCREAT if create else os.EX_NOINPUT
            raise UsageError(f"{file}: cannot be opened: {error.strerror}", status) from error

    return opened


@asynccontextmanager
async def pulling_into(file: Path) -> AsyncIterator[MailboxFile]:
    """The mailbox in `file`, which is made if it is not there, while nobody else pulls into it.

    Raises UsageError; its status is 75 where somebody else does. The lock is taken before the mailbox is opened and
    given back after it is closed: when a process closes any descriptor of a file, SQLite's locks there are lost.
    """
    opened = opening(file, create=True)
    if not file.exists():
        await opened().close()
    descriptor = _lock(file)
    try:
        mailbox = opened()
        try:
            yield mailbox
        finally:
            await mailbox.close()
    finally:
        os.close(descriptor)


def _lock(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error
    try:
        is_ours = lock_octet(descriptor, PULLING_OCTET)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(f"{file}: cannot be locked: {error.strerror}", os.EX_TEMPFAIL) from error
    if not is_ours:
        os.close(descriptor)
        raise UsageError(f"{file}: somebody else pulls into it now", os.EX_TEMPFAIL)
    return descriptor


def lock_octet(descriptor: int, octet: int) -> bool:
    """Lock an octet for this open file, which may be written; False if somebody else has it."""
    try:
        _set(descriptor, octet, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):
        return False
    return True


def free_octet(descriptor: int, octet: int) -> None:
    _set(descriptor, octet, fcntl.F_UNLCK)


def _set(descriptor: int, octet: int, kind: int) -> None:
    # struct flock: l_type, l_whence, l_start, l_len, l_pid
    fcntl.fcntl(descriptor, _SET, struct.pack("hhqqi4x", kind, os.SEEK_SET, octet, 1, 0))
