"""A word to all other processes of an office: datagrams between Unix sockets in the data folder.

Nothing is answered and nothing is promised: who is stopped, or not there, hears nothing, and whoever speaks does not
wait. So only such things are said which may also be left unsaid.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SUFFIX = ".neighbour"
WORD_OCTETS = 4096
WORDS_AT_ONCE = 64


class Neighbours:
    """The others, and our own ear among them. Made inside a running loop; `hear` takes what another says."""

    def __init__(self, folder: Path, name: str, hear: Callable[[bytes], None]) -> None:
        self._own = folder / (name + SUFFIX)
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._own.unlink(missing_ok=True)  # one of our name who died
        self._socket.bind(os.fspath(self._own))
        self._own.chmod(0o600)
        self._loop.add_reader(self._socket, self._listen)

    def tell(self, octets: bytes) -> None:
        """Say it to whoever is there now."""
        for other in self._own.parent.glob("*" + SUFFIX):
            if other != self._own:
                with suppress(OSError):  # nobody there, or too busy to hear
                    self._socket.sendto(octets, os.fspath(other))

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._own.unlink(missing_ok=True)

    def _listen(self) -> None:
        for _ in range(WORDS_AT_ONCE):
            try:
                octets = self._socket.recv(WORD_OCTETS)
            except OSError:
                return
            self._hear(octets)
