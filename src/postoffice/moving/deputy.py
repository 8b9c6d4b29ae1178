"""A process of our own that stays somebody who may do what we may not, when we have given root up.

It does one thing that it was made for, with words for it, and hands over a descriptor; nothing else can be asked of it.
It ends when we do, and not before: what tells us to end is told to all of a terminal, and then there is still something
to take away.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Final

_REQUEST_OCTETS: Final = 16 * 1024
NOTHING: Final = -1

Deed = Callable[[Sequence[str]], int]
"""What is done for whom; gives a descriptor, or `NOTHING` where there is none to give. May raise OSError."""


class Deputy:
    """Made as root, before it is given up and before there is any thread. `user`: whom it becomes; None stays root."""

    def __init__(self, deed: Deed, user: tuple[int, int] | None = None) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = os.fork()
        if not self._process:
            self._ours.close()
            try:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                _become(user)
                _serve(theirs, deed)
            finally:
                os._exit(0)
        theirs.close()

    def ask(self, words: Sequence[str]) -> int:
        """A descriptor, or `NOTHING`. Raises OSError as if it had happened here."""
        self._ours.send(b"\0".join(map(os.fsencode, words)) or b"\0")
        said, descriptors, _, _ = socket.recv_fds(self._ours, 16, 1)
        if descriptors:
            return descriptors[0]
        number = int(said or errno.EIO)
        if number:
            raise OSError(number, os.strerror(number))
        return NOTHING

    def close(self) -> None:
        self._ours.close()
        os.waitpid(self._process, 0)


def _become(user: tuple[int, int] | None) -> None:
    if user is not None:
        uid, gid = user
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def _serve(requests: socket.socket, deed: Deed) -> None:
    while request := requests.recv(_REQUEST_OCTETS):
        try:
            descriptor = deed([os.fsdecode(word) for word in request.split(b"\0") if word])
        except OSError as error:
            requests.send(str(error.errno).encode())
            continue
        if descriptor == NOTHING:
            requests.send(b"0")
            continue
        socket.send_fds(requests, [b"0"], [descriptor])
        os.close(descriptor)
