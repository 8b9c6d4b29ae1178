"""A POP3 server on a real socket that also does what no server should: for tests of the side that pulls.

    async with Pop3Peer({"id-1": letter}).listening() as port: ...     in this loop
    with Pop3Peer({"id-1": letter}).serving() as port: ...             in a thread, for other programs

It knows what RFC 1939 asks for and no more, in clear, in TLS from the first octet or after STLS; what it says to a
command can be put in its place octet by octet, and it can leave after any number of octets. Letters are removed at QUIT
and at no other moment. Whoever wants it to be wrong in another way gives it another kind of `Session`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from postoffice.protocols.dots import stuff

USER, PASSWORD = "bob", "secret"
COMMANDS = frozenset(
    ("CAPA", "STLS", "USER", "PASS", "NOOP", "STAT", "UIDL", "LIST", "RETR", "TOP", "DELE", "RSET", "QUIT")
)
MANY_LINES = 1_000_000


class Leaving(Enum):
    """How a server is gone all of a sudden."""

    CLOSED = auto()
    """It closes; in TLS it says so before (close_notify, RFC 8446 §6.1)."""
    ABORTED = auto()
    """It closes, and in TLS says nothing."""
    RESET = auto()
    """The connection is reset."""
    SILENT = auto()
    """It stays and says nothing any more, until the other side leaves."""


class Leaves(Exception):
    """Raised instead of an answer: `last` is said, then the server is gone."""

    def __init__(self, last: bytes = b"", how: Leaving = Leaving.CLOSED) -> None:
        super().__init__(how.name)
        self.last = last
        self.how = how


@dataclass(slots=True)
class Pop3Peer:
    """`letters` by unique id, oldest first. `says` replaces the answer to a command line, to its first two
    words, or to a keyword.

    `shows`: how many letters a session sees, None: all. `leaves_after`: how many octets it sends before it closes the
    connection. `heard`: every line, in order.
    `stls` is what STLS begins, if it is offered. `sessions` are counted; `removed` are the unique ids of what QUIT
    removed, `given` those of what was asked for.
    """

    letters: dict[str, bytes]
    capabilities: tuple[str, ...] = ("UIDL", "USER", "PIPELINING")
    greeting: bytes = b"+OK ready\r\n"
    says: dict[str, bytes] = field(default_factory=dict)
    shows: int | None = None
    leaves_after: int | None = None
    session: Callable[[Pop3Peer], Session] | None = None
    stls: ssl.SSLContext | None = None
    heard: list[str] = field(default_factory=list)
    sessions: int = 0
    removed: list[str] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    is_repaired: bool = False
    """Whether what is wrong until somebody looks after it is mended."""
    took_all: bool = False
    """Whether somebody took all of what is as good as endless."""
    reached: threading.Event = field(default_factory=threading.Event)
    """Is set in the moment that a test waits for."""
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

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[int]:
        """The same in a thread of its own, which ends all conversations when this is left."""
        port, is_open, is_over = 0, threading.Event(), asyncio.Event()
        loop: asyncio.AbstractEventLoop | None = None

        async def serve() -> None:
            nonlocal port, loop
            loop = asyncio.get_running_loop()
            async with self.listening(tls) as port:
                is_open.set()
                await is_over.wait()

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            is_open.wait()
            yield port
        finally:
            assert loop is not None
            loop.call_soon_threadsafe(is_over.set)
            thread.join()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self.sent = 0
        session = (self.session or Session)(self)
        writer.transport.set_write_buffer_limits(1, 0)  # what is drained is sent
        try:
            await self._answer(session, reader, writer)
        except Leaves as leaving:
            await self._leave(leaving, reader, writer)
        except (ConnectionError, ssl.SSLError):
            pass  # whoever is tested here may leave when it wants
        finally:
            writer.close()

    async def _answer(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        goes_on = await self._send(writer, session.greeting())
        waiting = b""
        while goes_on and (octets := await reader.read(1 << 16)):
            *lines, waiting = (waiting + octets).split(b"\n")
            for line in session.taken(lines):
                text = line.decode("utf-8", "replace").rstrip("\r")
                self.heard.append(text)
                await session.before(text)
                goes_on = await self._send(writer, session.answer(text)) and not session.is_over
                if session.begins_tls:
                    assert self.stls is not None
                    await writer.start_tls(self.stls)
                    session.begins_tls = False
                    break
                if not goes_on:
                    break

    async def _send(self, writer: asyncio.StreamWriter, octets: bytes | Iterable[bytes]) -> bool:
        """False if it is time to leave."""
        for whole in (octets,) if isinstance(octets, bytes) else octets:
            portion = whole if self.leaves_after is None else whole[: max(0, self.leaves_after - self.sent)]
            writer.write(portion)
            await writer.drain()
            self.sent += len(portion)
        return self.leaves_after is None or self.sent < self.leaves_after

    async def _leave(self, leaving: Leaves, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._send(writer, leaving.last)
            match leaving.how:
                case Leaving.SILENT:
                    while await reader.read(1 << 16):
                        pass
                case Leaving.RESET:
                    connection: socket.socket = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                case Leaving.ABORTED:
                    writer.transport.abort()
                case Leaving.CLOSED:
                    pass
        except (ConnectionError, ssl.SSLError):
            pass


class Session:
    """One connection: the maildrop as it was at its beginning. Letters are numbered from 1, and indexed from 0.

    An answer is octets, or portions of them; or `Leaves` is raised.
    """

    def __init__(self, peer: Pop3Peer) -> None:
        self.peer = peer
        self.number = peer.sessions
        self.maildrop = self.shown(list(peer.letters.items()))
        self.is_over = False
        self.is_inside = False
        self.begins_tls = False
        self._is_secure = False
        self.marked: set[int] = set()

    # --- what a fault puts in another's place

    def greeting(self) -> bytes | Iterable[bytes]:
        return self.peer.greeting

    def shown(self, maildrop: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """The letters that this session has, in its order."""
        return maildrop[: self.peer.shows]

    def taken(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Of lines that came in one piece, those that are answered."""
        return lines

    async def before(self, line: str) -> None:
        """Is awaited before a line is answered."""

    def capabilities(self) -> Sequence[str]:
        return (*self.peer.capabilities, *(["STLS"] if self.peer.stls and not self._is_secure else []))

    def unique_id(self, index: int) -> str:
        return self.maildrop[index][0]

    def octets(self, index: int) -> int:
        """The size that is announced."""
        return len(self.maildrop[index][1])

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        """The whole answer to RETR."""
        return b"+OK\r\n" + wire(self.maildrop[index][1]) + b".\r\n"

    def answer(self, line: str) -> bytes | Iterable[bytes]:
        keyword, _, argument = line.partition(" ")
        for words in (line, " ".join(line.split()[:2]), keyword):
            if words in self.peer.says:
                self.is_over = keyword.upper() == "QUIT"
                return self.peer.says[words]
        if keyword.upper() not in COMMANDS:
            return b"-ERR no such command\r\n"
        known: Callable[[str], bytes | Iterable[bytes]] = getattr(self, f"_{keyword.lower()}")
        return known(argument.strip())

    # --- the commands

    def _capa(self, _: str) -> bytes:
        return listing(list(self.capabilities()))

    def _stls(self, _: str) -> bytes:
        if self.peer.stls is None:
            return b"-ERR no such command\r\n"
        self.begins_tls = self._is_secure = True
        return b"+OK\r\n"

    def _user(self, _: str) -> bytes:
        return b"+OK\r\n"

    def _pass(self, argument: str) -> bytes:
        self.is_inside = argument == PASSWORD
        return b"+OK\r\n" if self.is_inside else b"-ERR [AUTH] no\r\n"

    def _noop(self, _: str) -> bytes:
        return b"+OK\r\n"

    def _stat(self, _: str) -> bytes:
        left = self._left()
        return f"+OK {len(left)} {sum(map(self.octets, left))}\r\n".encode()

    def _uidl(self, argument: str) -> bytes | Iterable[bytes]:
        return self._lines(argument, self.unique_id)

    def _list(self, argument: str) -> bytes | Iterable[bytes]:
        return self._lines(argument, self.octets)

    def _lines(self, argument: str, fact: Callable[[int], object]) -> bytes:
        """Of one letter or of all."""
        if argument:
            index = self._index(argument)
            return b"-ERR no such letter\r\n" if index is None else f"+OK {index + 1} {fact(index)}\r\n".encode()
        return listing([f"{index + 1} {fact(index)}" for index in self._left()])

    def _retr(self, argument: str) -> bytes | Iterable[bytes]:
        index = self._index(argument)
        if index is None:
            return b"-ERR no such letter\r\n"
        self.peer.given.add(self.maildrop[index][0])
        return self.retrieved(index)

    def _top(self, argument: str) -> bytes | Iterable[bytes]:
        number, _, lines = argument.partition(" ")
        index = self._index(number)
        if index is None or not lines.isdecimal():
            return b"-ERR no such letter\r\n"
        head, gap, body = self.maildrop[index][1].partition(b"\r\n\r\n")
        if int(lines) > MANY_LINES:  # some programs ask for whole letters so
            return self._retr(number)
        return b"+OK\r\n" + wire(head + gap + b"".join(body.splitlines(keepends=True)[: int(lines)])) + b".\r\n"

    def _dele(self, argument: str) -> bytes:
        index = self._index(argument)
        if index is None:
            return b"-ERR no such letter\r\n"
        self.marked.add(index)
        return b"+OK\r\n"

    def _rset(self, _: str) -> bytes:
        self.marked.clear()
        return b"+OK\r\n"

    def _quit(self, _: str) -> bytes:
        self.remove()
        self.is_over = True
        return b"+OK\r\n"

    def remove(self) -> None:
        """What is marked goes (RFC 1939 §6)."""
        for index in sorted(self.marked):
            name = self.maildrop[index][0]
            if self.peer.letters.pop(name, None) is not None:
                self.peer.removed.append(name)

    def _left(self) -> list[int]:
        return [index for index in range(len(self.maildrop)) if index not in self.marked]

    def _index(self, number: str) -> int | None:
        """Of a letter that is there, and not marked."""
        index = int(number) - 1 if number.isdecimal() else -1
        return index if 0 <= index < len(self.maildrop) and index not in self.marked else None


def wire(letter: bytes) -> bytes:
    """A letter in wire form, with a line end at its end."""
    return stuff(letter if not letter or letter.endswith(b"\r\n") else letter + b"\r\n")


def listing(lines: list[str]) -> bytes:
    """A positive answer of many lines."""
    return "".join(f"{line}\r\n" for line in ["+OK", *lines, "."]).encode()
