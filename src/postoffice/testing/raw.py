"""Clients that are nothing but a socket: they say what a test wants, also what no client should.

Every wait ends after a while with a TimeoutError; a connection that the server ended is a ConnectionError.
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from postoffice.protocols.dots import stuff, unstuff

PATIENCE_SECONDS = 20.0
LOOPBACK = "127.0.0.1"


class RawClient:
    """Octets to a port, of this machine or of `host`, and lines back. A `host` that is a path is a Unix socket.

    TLS asks for `name`, without one for the host."""

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None = None,
        seconds: float = PATIENCE_SECONDS,
        *,
        host: str = LOOPBACK,
        name: str = "",
    ) -> None:
        self._name = name or ("localhost" if host == LOOPBACK else host)
        if host.startswith("/"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(seconds)
            self._socket.connect(host)
        else:
            self._socket = socket.create_connection((host, port), timeout=seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        if tls is not None:
            with self._or_close():
                self.begin_tls(tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _or_close(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def begin_tls(self, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(self._socket, server_hostname=self._name)

    @property
    def tls(self) -> ssl.SSLSocket | None:
        """The encrypted connection, None where it is not."""
        return self._socket if isinstance(self._socket, ssl.SSLSocket) else None

    def say(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def line(self) -> bytes:
        """The next line, without its CRLF."""
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def block(self) -> bytes:
        """The lines up to a line that is only a dot, in wire form."""
        data, searched = bytearray(b"\r\n" + self._buffer), 0
        try:
            while (end := data.find(b"\r\n.\r\n", searched)) < 0:
                searched = max(0, len(data) - 4)
                data += self._receive()
        except BaseException:
            self._buffer = bytes(data[2:])
            raise
        self._buffer = bytes(data[end + 5 :])
        return bytes(data[2 : end + 2])

    @property
    def unread(self) -> bytes:
        """What has come and was not asked for yet."""
        return self._buffer

    def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        try:
            while True:
                self._more()
        except ConnectionError:
            octets, self._buffer = self._buffer, b""
            return octets

    def _more(self) -> None:
        self._buffer += self._receive()

    def _receive(self) -> bytes:
        octets = self._socket.recv(1 << 16)
        if not octets:
            raise ConnectionError("the server closed the connection")
        return octets

    def close(self) -> None:
        self._socket.close()


class SmtpRaw(RawClient):
    """Takes the greeting; everything else is said by the test."""

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None = None,
        seconds: float = PATIENCE_SECONDS,
        *,
        host: str = LOOPBACK,
        name: str = "",
    ) -> None:
        super().__init__(port, tls, seconds, host=host, name=name)
        with self._or_close():
            self.greeting = self.reply()

    def reply(self) -> tuple[int, list[str]]:
        """Code and texts of one reply."""
        texts = []
        while True:
            line = self.line().decode()
            texts.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), texts

    def ask(self, line: str) -> int:
        """Say a line; gives the code of the reply."""
        self.say(f"{line}\r\n".encode())
        return self.reply()[0]

    def log_in(self, user: str, password: str) -> int:
        return self.ask(f"AUTH PLAIN {b64encode(f'{chr(0)}{user}{chr(0)}{password}'.encode()).decode()}")

    def begin(self, sender: str, recipients: list[str]) -> None:
        """MAIL, RCPT and DATA; a ConnectionError if one of them is refused."""
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients), "DATA"):
            code = self.ask(line)
            if code // 100 not in (2, 3):
                raise ConnectionError(f"{line}: {code}")

    def send(self, sender: str, recipients: list[str], letter: bytes) -> int:
        """The whole transaction; gives the code behind the final dot."""
        self.begin(sender, recipients)
        self.say(stuff(letter) + b".\r\n")
        return self.reply()[0]


class Pop3Raw(RawClient):
    """Takes the greeting; everything else is said by the test."""

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None = None,
        seconds: float = PATIENCE_SECONDS,
        *,
        host: str = LOOPBACK,
        name: str = "",
    ) -> None:
        super().__init__(port, tls, seconds, host=host, name=name)
        with self._or_close():
            self.greeting = self.line()

    def ask(self, line: str) -> bytes:
        """Say a line; gives the first line of the reply."""
        self.say(f"{line}\r\n".encode())
        return self.line()

    def log_in(self, user: str, password: str) -> bytes:
        self.say(f"USER {user}\r\nPASS {password}\r\n".encode())
        self.line()
        return self.line()

    def unique_ids(self) -> dict[int, str]:
        """UIDL: message numbers and unique-ids."""
        first = self.ask("UIDL")
        if not first.startswith(b"+OK"):
            raise ConnectionError(first.decode())
        rows = (line.split() for line in self.block().decode().splitlines())
        return {int(number): unique_id for number, unique_id in rows}

    def retrieve(self, number: int) -> bytes:
        """A letter as it was before dot-stuffing; a ConnectionError for -ERR."""
        first = self.ask(f"RETR {number}")
        if not first.startswith(b"+OK"):
            raise ConnectionError(first.decode())
        return unstuff(self.block())
