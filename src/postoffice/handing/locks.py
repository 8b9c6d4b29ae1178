"""The lock on an mbox, both kinds of it: fcntl's, and a file beside it whose name ends with `.lock`.

Both are taken without waiting, the first one given back if the second cannot be had, and tried again for a while: so
no order of other programs can lock us and them out. A lock file that names a process which is gone, is older than what
anybody holds one for, or than this start of the machine, was forgotten. In a folder where we may not make it, as
/var/mail, fcntl's alone must do.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from postoffice.errors import Refused
from postoffice.moving.mbox import STALE_SECONDS

PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2
_NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_SET: Final = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
"""A lock of the open file, so that it also stands between two accounts of one process."""


@asynccontextmanager
async def locked(file: int, path: Path, seconds: float = PATIENCE_SECONDS) -> AsyncIterator[None]:
    """Nobody else who keeps to locks writes there. Raises Refused (75) if somebody does for too long, OSError."""
    beside = path.with_name(f"{path.name}.lock")
    deadline = time.monotonic() + seconds
    while (is_made := _take(file, beside)) is None:
        if time.monotonic() >= deadline:
            raise Refused(f"{path}: another program has it locked", os.EX_TEMPFAIL)
        await asyncio.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        if is_made:
            with suppress(FileNotFoundError):
                beside.unlink()
        _set(file, fcntl.F_UNLCK)


def _take(file: int, beside: Path) -> bool | None:
    """Whether a lock file was made; None if somebody else has one of the locks."""
    if not _set(file, fcntl.F_WRLCK):
        return None
    is_made = None
    try:
        is_made = _make(beside)
    finally:
        if is_made is None:
            _set(file, fcntl.F_UNLCK)
    return is_made


def _make(beside: Path) -> bool | None:
    try:
        _make_whole(beside)
    except FileExistsError:
        if not _is_forgotten(beside):
            return None
        with suppress(FileNotFoundError):
            beside.unlink()
        return _make(beside)
    except PermissionError:
        return False
    return True


def _make_whole(beside: Path) -> None:
    """With our number in it from its first moment, where the file system can do that: a lock file without one, of a
    process that died then, would stand there for minutes."""
    told = b"%d\n" % os.getpid()
    folder = os.open(beside.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        file = _unnamed(folder)
        try:
            if file is None:
                file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                os.write(file, told)
            else:
                os.write(file, told)
                os.link(f"/proc/self/fd/{file}", beside.name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            if file is not None:
                os.close(file)
    finally:
        os.close(folder)


def _unnamed(folder: int) -> int | None:
    try:
        return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o644, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_TMPFILE:
            return None
        raise


def _is_forgotten(beside: Path) -> bool:
    try:
        text, made = beside.read_bytes()[:32].strip(), beside.stat().st_mtime
    except OSError:
        return False
    age = time.time() - made
    if age > STALE_SECONDS or age > time.clock_gettime(time.CLOCK_BOOTTIME):
        return True
    if not text.isdigit() or not 0 < int(text) < 1 << 31:
        return False
    try:
        os.kill(int(text), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _set(file: int, kind: int) -> bool:
    try:
        # struct flock: l_type, l_whence, l_start, l_len, l_pid
        fcntl.fcntl(file, _SET, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True
