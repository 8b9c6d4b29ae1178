"""The least that a program in Python can do to bring mail home: what no design of ours can be quicker than.

python -m bench.barest HOST PORT USER PASSWORD FOLDER each
python -m bench.barest HOST PORT USER PASSWORD FOLDER once

One blocking socket, no TLS, no options, no memory of what was pulled before. Each letter is searched for its end and
for dot lines, hashed, and written. With `each` that is to a file of its own, which is synced, as Maildirs want it, by
a program that needs two modules of the library. With `once` all of them go to one file, synced at the end, by a
program that imports what one with TLS, options and a database begins with: that is how quick ours could be if it did
nothing else.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import sys
from collections.abc import Iterator

PIECE_OCTETS = 256 * 1024
WINDOW = 32
WINDOW_AT_ONCE = 1000
BEGINS_WITH = ("asyncio", "ssl", "click", "apsw")
DOT_LINE = b".\r\n"
END = b"\r\n" + DOT_LINE


class Line:
    """Octets from the server, as many as it gives at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.octets = b""

    def line(self) -> bytes:
        while b"\r\n" not in self.octets:
            self._more()
        line, _, self.octets = self.octets.partition(b"\r\n")
        return line

    def letter(self) -> Iterator[bytes]:
        """In wire form, without the dot line."""
        held = b""
        while True:
            if not self.octets:
                self._more()
            data, self.octets = held + self.octets, b""
            end = data.find(END)
            if end >= 0:
                self.octets = data[end + len(END) :]
                yield data[: end + 2]
                return
            held = data[-4:]
            yield data[:-4]

    def _more(self) -> None:
        octets = self.socket.recv(PIECE_OCTETS)
        if not octets:
            raise EOFError
        self.octets += octets


def main(host: str, port: str, user: str, password: str, folder: str, manner: str) -> None:
    is_at_once = manner == "once"
    window = WINDOW_AT_ONCE if is_at_once else WINDOW
    for name in BEGINS_WITH if is_at_once else ():
        importlib.import_module(name)
    line = Line(host, int(port))
    line.line()
    for command in (f"USER {user}", f"PASS {password}", "STAT"):
        line.socket.sendall(f"{command}\r\n".encode())
        said = line.line()
    letters = int(said.split()[1])
    line.socket.sendall(b"".join(b"RETR %d\r\n" % number for number in range(1, min(letters, window) + 1)))
    file = -1
    for number in range(1, letters + 1):
        line.line()
        if file < 0:
            path = os.path.join(folder, str(number))  # noqa: PTH118 - pathlib is a module more
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        keep(line.letter(), file)
        if is_at_once:
            os.write(file, DOT_LINE)
        if not is_at_once or number == letters:
            os.fsync(file)
            os.close(file)
            file = -1
        if number + window <= letters:
            line.socket.sendall(b"RETR %d\r\n" % (number + window))


def keep(pieces: Iterator[bytes], file: int) -> None:
    digest = hashlib.sha256()
    for piece in pieces:
        plain = piece.replace(b"\r\n..", b"\r\n.") if b"\r\n." in piece else piece
        digest.update(plain)
        os.write(file, piece)


if __name__ == "__main__":
    main(*sys.argv[1:])
