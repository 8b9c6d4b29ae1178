"""TLS in the way of a connection: real sockets, and the standard library's own TLS at the other end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.net.tunnel import PORTION_OCTETS, Tunnel, settle
from postoffice.testing.certificates import Authority

MEBIBYTE = 1024 * 1024
LARGE = bytes(range(256)) * (5 * MEBIBYTE // 256)


class Echo(asyncio.Protocol):
    """Says what it hears; keeps whether it was told that the other side is slow, and how it ended."""

    def __init__(self) -> None:
        self.has_begun = False
        self.paused = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Tunnel)
        self.has_begun = True
        self.tunnel = transport

    def data_received(self, data: bytes) -> None:
        self.tunnel.write(data)

    def pause_writing(self) -> None:
        self.paused.set()
        self.tunnel.pause_reading()

    def resume_writing(self) -> None:
        self.tunnel.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    return server_context(*authority.issue(["localhost"], folder)), client_context(authority.ca_path)


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


class Door:
    """A listening socket with an echo inside TLS."""

    def __init__(self, tls: ssl.SSLContext, seconds: float) -> None:
        self.tls, self.seconds = tls, seconds
        self.made: list[Echo] = []
        self.secured: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tunnel(self) -> Tunnel:
        self.made.append(Echo())
        return Tunnel(self.made[-1], self.tls, seconds=self.seconds, on_secured=partial(settle, self.secured))


@asynccontextmanager
async def door(tls: ssl.SSLContext, seconds: float = 20) -> AsyncIterator[tuple[Door, int]]:
    made = Door(tls, seconds)
    server = await asyncio.get_running_loop().create_server(made.tunnel, "127.0.0.1", 0)
    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # the system may not hold all
    async with server:
        yield made, server.sockets[0].getsockname()[1]


@contextmanager
def secured(port: int, tls: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A client that takes an end without a word for an error."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        tls.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as connection,
    ):
        yield connection


def everything(connection: ssl.SSLSocket, octets: int) -> bytes:
    heard = bytearray()
    while len(heard) < octets:
        heard += connection.recv(65536)
    return bytes(heard)


async def with_client(contexts: Contexts, call: Callable[[ssl.SSLSocket], None]) -> Echo:
    """Let a client call, and give who answered, after the end."""
    async with door(contexts[0]) as (there, port):

        def client() -> None:
            with secured(port, contexts[1]) as connection:
                call(connection)

        await asyncio.to_thread(client)
        await there.secured
        await asyncio.wait_for(there.made[0].lost, 20)
        return there.made[0]


async def test_what_is_large_comes_whole_both_ways(contexts: Contexts) -> None:
    async with door(contexts[0]) as (there, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=contexts[1], server_hostname="localhost")
        writer.write(LARGE)
        assert await reader.readexactly(len(LARGE)) == LARGE
        writer.close()
        await writer.wait_closed()
        assert await there.made[0].lost is None


@pytest.mark.parametrize("octets", [1, 16384, 16385, PORTION_OCTETS, PORTION_OCTETS + 1])
async def test_every_size_comes_whole(contexts: Contexts, octets: int) -> None:
    def call(connection: ssl.SSLSocket) -> None:
        connection.sendall(LARGE[:octets])
        assert everything(connection, octets) == LARGE[:octets]

    await with_client(contexts, call)


class ByHand:
    """A client whose octets can be had before they are sent."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.inside = tls.wrap_bio(self._incoming, self.outgoing, server_hostname="localhost")
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> ByHand:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def shake_hands(self, send: Callable[[bytes], None]) -> None:
        while True:
            try:
                self.inside.do_handshake()
                return
            except ssl.SSLWantReadError:
                send(self.outgoing.read())
                self._incoming.write(self.socket.recv(65536))

    def hear(self) -> bytes:
        while True:
            try:
                return self.inside.read(100)
            except ssl.SSLWantReadError:
                self._incoming.write(self.socket.recv(65536))


async def test_a_record_that_comes_octet_by_octet_is_waited_for(contexts: Contexts) -> None:
    """The handshake too; and what comes with its last octets is not forgotten."""
    async with door(contexts[0]) as (_, port):

        def client() -> None:
            with ByHand(port, contexts[1]) as caller:

                def drip(octets: bytes) -> None:
                    for octet in octets:
                        caller.socket.sendall(bytes([octet]))

                caller.shake_hands(drip)
                caller.inside.write(b"hello")
                drip(caller.outgoing.read())
                assert caller.hear() == b"hello"

        await asyncio.to_thread(client)


@pytest.mark.parametrize("before", [b"", b"this was said well"])
async def test_a_record_that_was_changed_ends_the_connection(contexts: Contexts, before: bytes) -> None:
    async with door(contexts[0]) as (there, port):

        def client() -> None:
            with ByHand(port, contexts[1]) as caller:
                caller.shake_hands(caller.socket.sendall)
                caller.inside.write(before)
                caller.socket.sendall(caller.outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
                with pytest.raises(ssl.SSLError, match=r"(?i)alert bad record mac"):
                    caller.hear()

        await asyncio.to_thread(client)
        problem = await asyncio.wait_for(there.made[0].lost, 20)
        assert isinstance(problem, ssl.SSLError)


async def test_who_reads_slowly_is_waited_for(contexts: Contexts) -> None:
    async with door(contexts[0]) as (there, port):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=sock, ssl=contexts[1], server_hostname="localhost")
            writer.write(LARGE)  # nobody reads: the stream takes what it has room for, and no more
            await there.made[0].paused.wait()
            assert await reader.readexactly(len(LARGE)) == LARGE
            writer.close()
            await writer.wait_closed()


async def test_who_says_that_this_was_all_hears_the_same(contexts: Contexts) -> None:
    def call(connection: ssl.SSLSocket) -> None:
        connection.unwrap()

    assert (await with_client(contexts, call)).lost.result() is None


async def test_who_closes_says_so_before(contexts: Contexts) -> None:
    async with door(contexts[0]) as (there, port):

        def client() -> None:
            with secured(port, contexts[1]) as connection:
                connection.sendall(b"x")
                assert connection.recv(100) == b"x"
                loop.call_soon_threadsafe(close)
                assert connection.recv(100) == b""

        def close() -> None:
            there.made[0].tunnel.write(b"")
            there.made[0].tunnel.close()
            there.made[0].tunnel.write(b"nothing is said after the end")

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(client)


async def test_a_handshake_does_not_last_for_ever(contexts: Contexts) -> None:
    async with door(contexts[0], seconds=0.05) as (there, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01")
        assert await reader.read() == b""
        with pytest.raises(TimeoutError):
            await there.secured
        assert not there.made[0].has_begun
        writer.close()


@pytest.mark.parametrize("octets", [b"", b"\x16\x03", b"EHLO in clear\r\n" * 20])
async def test_a_handshake_that_fails_is_told(contexts: Contexts, octets: bytes) -> None:
    async with door(contexts[0]) as (there, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(octets)
        writer.write_eof()
        await reader.read()
        with pytest.raises(OSError, match=r"closed|SSL"):
            await there.secured
        assert not there.made[0].has_begun
        writer.close()


async def test_a_server_that_is_somebody_else_is_left(contexts: Contexts) -> None:
    async with door(contexts[0]) as (there, port):
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        tunnel = Tunnel(
            Echo(), contexts[1], is_server=False, server_hostname="x.example", on_secured=partial(settle, ended)
        )
        await loop.create_connection(lambda: tunnel, "127.0.0.1", port)
        with pytest.raises(ssl.SSLCertVerificationError):
            await ended
        assert tunnel.is_closing()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert bad certificate"):
            await there.secured
