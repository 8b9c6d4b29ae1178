"""Keys that were unlocked for a while: held by the user's `agent`, which is started when the first one comes.

Its socket lies in `postoffice` below `$XDG_RUNTIME_DIR`; where that is not set, as in a job of cron, or somebody
else's, as behind `su`, below `/run/user/UID`, which is the same place; where neither is there, in a folder of his own
among the temporary ones. A folder that is somebody else's, or that others may look into, is not used.
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

RUNTIMES = Path("/run/user")
"""Where systemd makes a folder for each user who is logged in."""


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
    try:
        folder = _folder(create=True)
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
    runtimes = (Path(os.environ.get("XDG_RUNTIME_DIR", "")), RUNTIMES / str(os.geteuid()))
    runtime = next((folder for folder in runtimes if _is_ones_own(folder)), None)
    if runtime is not None:
        folder = runtime / "postoffice"
    else:
        folder = Path(tempfile.gettempdir(), f"postoffice-{os.geteuid()}")
    if create:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    folder.lstat()
    if not _is_ones_own(folder):
        raise UsageError(f"{folder}: is not a folder of yours alone, so no key is held there", os.EX_NOPERM)
    return folder


def _is_ones_own(folder: Path) -> bool:
    """Whether that is a folder that nobody else may look into."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder.is_absolute() and stat.S_ISDIR(found.st_mode) and is_private
