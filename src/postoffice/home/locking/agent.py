"""The process that holds unlocked keys in memory until their time is over: one for each user, on a socket of his own.

    H salt secret seconds   hold this key for so long           +
    G salt                  give it: the seconds that are left   + seconds secret     - there is none
    F salt                  forget it; zeros: forget all         +

Requests have 53 octets and answers 37, whatever is in them. Nobody else is answered: the kernel says who asks (unix(7),
SO_PEERCRED). Time is that of CLOCK_BOOTTIME, which goes on while the machine sleeps, and is looked at before a key is
given. Without a key left the process ends. It leaves no core and nobody may look into it (prctl(2), PR_SET_DUMPABLE).

Started by `holding`, which gives it the socket that it listens on already. Imports little: it lies in memory for hours.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

REQUEST = struct.Struct(">c16s32sI")
ANSWER = struct.Struct(">cI32s")
HOLD, GIVE, FORGET, YES, NO = b"H", b"G", b"F", b"+", b"-"
EVERYTHING = bytes(16)
SOCKET, STARTING = "keys", "starting"
"""Names in the folder: the socket, and the lock that whoever starts or ends the process holds."""

PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 20.0
_PR_SET_DUMPABLE = 4
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Seconds, with those during which the machine slept."""
    return time.clock_gettime(_CLOCK)


def peer_of(connection: socket.socket) -> int:
    """The user at the other end."""
    octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", octets)[1])


class Held:
    """Keys by salt, each until its time."""

    def __init__(self, clock: Callable[[], float] = boot_time) -> None:
        self._clock = clock
        self._keys: dict[bytes, tuple[float, bytearray]] = {}

    def __len__(self) -> int:
        self._forget_late()
        return len(self._keys)

    def seconds_left(self) -> float:
        """Until the next one goes."""
        return min((until for until, _ in self._keys.values()), default=self._clock()) - self._clock()

    def answer(self, request: bytes) -> bytes:
        """To one request of the right size."""
        self._forget_late()
        verb, salt, secret, seconds = REQUEST.unpack(request)
        if verb == HOLD:
            self._forget(salt)
            self._keys[salt] = self._clock() + seconds, bytearray(secret)
        elif verb == FORGET:
            for one in list(self._keys) if salt == EVERYTHING else [salt]:
                self._forget(one)
        elif verb != GIVE or salt not in self._keys:
            return ANSWER.pack(NO, 0, b"")
        else:
            until, key = self._keys[salt]
            return ANSWER.pack(YES, max(0, int(until - self._clock())), key)
        return ANSWER.pack(YES, 0, b"")

    def _forget_late(self) -> None:
        now = self._clock()
        for salt in [salt for salt, (until, _) in self._keys.items() if until <= now]:
            self._forget(salt)

    def _forget(self, salt: bytes) -> None:
        _, key = self._keys.pop(salt, (0.0, bytearray()))
        key[:] = bytes(len(key))


def serve(listening: socket.socket, folder: Path) -> None:
    """Answer until nothing is held any more, or the socket's name is gone."""
    held = Held()
    while True:
        left = held.seconds_left() if len(held) else PATIENCE_SECONDS
        ready, _, _ = select.select([listening], [], [], max(0.0, min(left, _LOOK_SECONDS)))
        if ready:
            _answer_one(listening, held)
        elif not (folder / SOCKET).exists() or (not len(held) and _may_end(folder, listening)):
            return


def _answer_one(listening: socket.socket, held: Held) -> None:
    try:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(PATIENCE_SECONDS)
            if peer_of(connection) != os.geteuid():
                return
            request = received(connection, REQUEST.size)
            if len(request) == REQUEST.size:
                connection.sendall(held.answer(request))
    except OSError:
        return  # whoever asked is gone


def received(connection: socket.socket, octets: int) -> bytes:
    """So many, or fewer if the other side ends."""
    found = b""
    while len(found) < octets and (portion := connection.recv(octets - len(found))):
        found += portion
    return found


def _may_end(folder: Path, listening: socket.socket) -> bool:
    """Take the name of the socket away, unless somebody comes just now."""
    with (folder / STARTING).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if select.select([listening], [], [], 0)[0]:
            return False
        (folder / SOCKET).unlink(missing_ok=True)
        return True


def main() -> None:
    """`agent DESCRIPTOR FOLDER`"""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    listening = socket.socket(fileno=int(sys.argv[1]))
    listening.setblocking(False)
    serve(listening, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
