"""Keys that were unlocked for a while: held by the user's `agent`, which is started when the first one comes.

Its socket lies in `$XDG_RUNTIME_DIR/postoffice`, or where there is none in a folder of the user's own among the
temporary ones; a folder that is somebody else's, or that others may write to, is not used.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from postoffice.database.key import Key
from postoffice.errors import UsageError
from postoffice.home.locking.agent import (
    ANSWER,
    EVERYTHING,
    FORGET,
    GIVE,
    HOLD,
    PATIENCE_SECONDS,
    REQUEST,
    SOCKET,
    STARTING,
    YES,
    peer_of,
    received,
)


@dataclass(frozen=True, slots=True)
class Loan:
    """A key that is held, and for how many seconds still."""

    key: Key
    seconds: int


def held(salt: bytes) -> Loan | None:
    """The key of the file with this salt, if it is unlocked. Whatever is wrong with the agent, it is not."""
    try:
        answer = _ask(_folder(create=False), REQUEST.pack(GIVE, salt, b"", 0))
    except (OSError, UsageError):
        return None
    word, seconds, secret = ANSWER.unpack(answer)
    return Loan(Key(secret, salt), seconds) if word == YES else None


def hold(key: Key, seconds: int) -> None:
    """Hold a key for so long, in the place of the same for another time. Raises UsageError (75)."""
    folder = _folder(create=True)
    try:
        with _alone(folder):
            request = REQUEST.pack(HOLD, key.salt, key.secret, seconds)
            try:
                _ask(folder, request)
            except (FileNotFoundError, ConnectionError):
                _start(folder)
                _ask(folder, request)
    except OSError as error:
        raise UsageError(f"the key cannot be held: {error.strerror or error}", os.EX_TEMPFAIL) from error


def forget(salt: bytes = EVERYTHING) -> None:
    """Forget the key of the file with this salt, or all. Raises UsageError (75) where that is not sure."""
    try:
        _ask(_folder(create=False), REQUEST.pack(FORGET, salt, b"", 0))
    except (FileNotFoundError, ConnectionRefusedError):
        return  # nobody holds anything
    except OSError as error:
        raise UsageError(f"whoever holds the key does not answer: {error.strerror or error}", os.EX_TEMPFAIL) from error


def _ask(folder: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(PATIENCE_SECONDS * 3)
        connection.connect(os.fspath(folder / SOCKET))
        if peer_of(connection) != os.geteuid():
            raise PermissionError(1, "it is somebody else's")
        connection.sendall(request)
        answer = received(connection, ANSWER.size)
        if len(answer) != ANSWER.size:
            raise ConnectionAbortedError("it ended")
        return answer


def _start(folder: Path) -> None:
    """Listen, and let a process of its own go on with that. The caller is alone."""
    path = folder / SOCKET
    with suppress(FileNotFoundError):
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listening:
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(before)
        listening.listen(8)
        subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "postoffice.home.locking.agent"),
                *(str(listening.fileno()), os.fspath(folder)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=[listening.fileno()],
            start_new_session=True,
        ).returncode = 0  # nobody waits for it: it outlives us


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / STARTING).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(*, create: bool) -> Path:
    """Raises UsageError (77), and FileNotFoundError where it is not there and not to be made."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(given).is_absolute() and Path(given).is_dir():
        folder = Path(given, "postoffice")
    else:
        folder = Path(tempfile.gettempdir(), f"postoffice-{os.geteuid()}")
    if create:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UsageError(f"{folder}: is not a folder of yours alone, so no key is held there", os.EX_NOPERM)
    return folder
