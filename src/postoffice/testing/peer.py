"""A POP3 server on a real socket that also does what no server should: for tests of the side that pulls.

    async with Pop3Peer({"id-1": letter}).listening() as port: ...

It knows what RFC 1939 asks for and no more, in clear or in TLS from the first octet; what it says to a command can be
put in its place octet by octet, and it can leave after any number of octets. Letters are removed at QUIT and at no
other moment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from postoffice.protocols.dots import stuff

USER, PASSWORD = "bob", "secret"


@dataclass(slots=True)
class Pop3Peer:
    """`letters` by unique id, oldest first. `says` replaces the answer to a command line, to its first two
    words, or to a keyword.

    `shows`: how many letters a session sees, None: all. `leaves_after`: how many octets it sends before it closes the
    connection. `heard`: every line, in order.
    """

    letters: dict[str, bytes]
    capabilities: tuple[str, ...] = ("UIDL", "USER", "PIPELINING")
    greeting: bytes = b"+OK ready\r\n"
    says: dict[str, bytes] = field(default_factory=dict)
    shows: int | None = None
    leaves_after: int | None = None
    heard: list[str] = field(default_factory=list)
    sent: int = 0
    """How many octets the last connection was sent."""

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """Answer at a free port of loopback."""
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self)
        self.sent = 0
        try:
            goes_on = await self._send(writer, self.greeting)
            while goes_on and (line := await reader.readline()):
                text = line.decode().rstrip("\r\n")
                self.heard.append(text)
                goes_on = await self._send(writer, session.answer(text)) and text != "QUIT"
        except ConnectionError:
            pass  # whoever is tested here may leave when it wants
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, octets: bytes) -> bool:
        """False if it is time to leave."""
        if self.leaves_after is not None:
            octets = octets[: max(0, self.leaves_after - self.sent)]
        writer.write(octets)
        await writer.drain()
        self.sent += len(octets)
        return self.leaves_after is None or self.sent < self.leaves_after


class _Session:
    """One connection: the maildrop as it was at its beginning."""

    def __init__(self, peer: Pop3Peer) -> None:
        self._peer = peer
        self._maildrop = list(peer.letters.items())[: peer.shows]
        self._marked: set[int] = set()

    def answer(self, line: str) -> bytes:
        keyword, _, argument = line.partition(" ")
        for words in (line, " ".join(line.split()[:2]), keyword):
            if words in self._peer.says:
                return self._peer.says[words]
        answer: Callable[[str], bytes] | None = getattr(self, f"_{keyword.lower()}", None)
        return answer(argument) if answer else b"-ERR no such command\r\n"

    def _capa(self, _: str) -> bytes:
        return _listing(list(self._peer.capabilities))

    def _user(self, argument: str) -> bytes:
        return b"+OK\r\n"

    def _pass(self, argument: str) -> bytes:
        return b"+OK\r\n" if argument == PASSWORD else b"-ERR [AUTH] no\r\n"

    def _uidl(self, _: str) -> bytes:
        return _listing([f"{number} {unique_id}" for number, (unique_id, _) in enumerate(self._maildrop, 1)])

    def _list(self, _: str) -> bytes:
        return _listing([f"{number} {len(letter)}" for number, (_, letter) in enumerate(self._maildrop, 1)])

    def _retr(self, argument: str) -> bytes:
        return b"+OK\r\n" + stuff(self._maildrop[int(argument) - 1][1]) + b".\r\n"

    def _top(self, argument: str) -> bytes:
        header = self._maildrop[int(argument.split(maxsplit=1)[0]) - 1][1].partition(b"\r\n\r\n")[0]
        return b"+OK\r\n" + stuff(header + b"\r\n\r\n") + b".\r\n"

    def _dele(self, argument: str) -> bytes:
        self._marked.add(int(argument))
        return b"+OK\r\n"

    def _quit(self, _: str) -> bytes:
        for number in self._marked:
            self._peer.letters.pop(self._maildrop[number - 1][0], None)
        return b"+OK\r\n"


def _listing(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in ["+OK", *lines, "."]).encode()
