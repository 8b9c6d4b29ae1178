"""The least that a program in Python can do to bring mail home: what no design of ours can be quicker than.

python -m bench.barest HOST PORT USER PASSWORD FOLDER

One blocking socket, two modules of the library, no TLS, no options, no memory of what was pulled before. Everything is
asked for at once. Each letter is searched for its end and for dot lines, hashed, and written to a file of its own,
which is synced: the three things that `fetch` owes every octet, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Iterator

PIECE_OCTETS = 256 * 1024
WINDOW = 32
END = b"\r\n.\r\n"


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


def main(host: str, port: str, user: str, password: str, folder: str) -> None:
    line = Line(host, int(port))
    line.line()
    for command in (f"USER {user}", f"PASS {password}", "STAT"):
        line.socket.sendall(f"{command}\r\n".encode())
        said = line.line()
    letters = int(said.split()[1])
    line.socket.sendall(b"".join(b"RETR %d\r\n" % number for number in range(1, min(letters, WINDOW) + 1)))
    for number in range(1, letters + 1):
        line.line()
        keep(line.letter(), os.path.join(folder, str(number)))  # noqa: PTH118 - pathlib is a module more
        if number + WINDOW <= letters:
            line.socket.sendall(b"RETR %d\r\n" % (number + WINDOW))


def keep(pieces: Iterator[bytes], path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    digest = hashlib.sha256()
    for piece in pieces:
        plain = piece.replace(b"\r\n..", b"\r\n.") if b"\r\n." in piece else piece
        digest.update(plain)
        os.write(descriptor, piece)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
