"""A file is sent octet for octet, in clear and inside TLS, to who reads fast or slowly, on both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from postoffice.errors import ConnectionLost
from postoffice.net import sendfile
from postoffice.net.dialogue import STRIDE_OCTETS, Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.protocols.lines import NEED_DATA, LineReader
from postoffice.testing.certificates import Authority

Talk = Callable[[Dialogue[LineReader]], Coroutine[Any, Any, Any]]
Run = Callable[[Coroutine[Any, Any, None]], None]
OCTETS = 3 * STRIDE_OCTETS + 12_345


@pytest.fixture
def content() -> bytes:
    return b"".join(sha256(number.to_bytes(4)).digest() for number in range(OCTETS // 32 + 1))[:OCTETS]


@pytest.fixture
def descriptor(tmp_path: Path, content: bytes) -> Iterator[int]:
    (tmp_path / "letter").write_bytes(content)
    opened = os.open(tmp_path / "letter", os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.fixture
def by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many octets the kernel sent by itself, each time."""
    sent: list[int] = []

    def counted(out: int, descriptor: int, at: int, octets: int) -> int:
        sent.append(os.sendfile(out, descriptor, at, octets))
        return sent[-1]

    class Counted:
        def __getattr__(self, name: str) -> Any:
            return counted if name == "sendfile" else getattr(os, name)

    monkeypatch.setattr(sendfile, "os", Counted())
    return sent


class Server:
    """One conversation, and what became of it."""

    def __init__(self, talk: Talk, *, is_heard: bool = False) -> None:
        self.heard: list[bytes] = []
        tracer = (lambda _: lambda who, octets: self.heard.append(octets) if who == "S" else None) if is_heard else None
        self.board = Switchboard(tracer)
        self.end: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.dialogue = Dialogue(LineReader(1000), talk, self.board, on_end=lambda _, problem: self._ended(problem))

    def _ended(self, problem: BaseException | None) -> None:
        if not self.end.done():
            self.end.set_result(problem)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = await asyncio.get_running_loop().create_server(lambda: self.dialogue, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            self.board.close()
            server.close()
            await server.wait_closed()


async def give(dialogue: Dialogue[LineReader], descriptor: int, octets: int) -> None:
    """A file, between words that come before and behind it."""
    dialogue.send(b"begin\r\n")
    await dialogue.send_file(descriptor, octets)
    dialogue.send(b"end\r\n")
    while (line := dialogue.machine.take()) is NEED_DATA:
        await dialogue.more()
    assert isinstance(line, bytes)
    dialogue.send(line + b"\r\n")
    await dialogue.flush()


async def read_slowly(reader: asyncio.StreamReader, octets: int) -> bytes:
    """In small portions, the other side having its turn before each."""
    parts: list[bytes] = []
    while octets:
        await asyncio.sleep(0)
        parts.append(await reader.read(min(octets, 20_000)))
        assert parts[-1], "it broke off"
        octets -= len(parts[-1])
    return b"".join(parts)


@pytest.mark.parametrize("is_slow", [False, True], ids=["quick", "slow"])
def test_in_clear_the_kernel_sends_it(
    run: Run, descriptor: int, content: bytes, by_the_kernel: list[int], is_slow: bool
) -> None:
    async def main() -> None:
        server = Server(partial(give, descriptor=descriptor, octets=OCTETS))
        async with server.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096 if is_slow else 2**20)
            assert await reader.readline() == b"begin\r\n"
            got = await (read_slowly(reader, OCTETS) if is_slow else reader.readexactly(OCTETS))
            assert got == content
            assert await reader.readline() == b"end\r\n"
            writer.write(b"and more\r\n")
            assert await reader.read() == b"and more\r\n"
            writer.close()
            assert await server.end is None
            assert server.dialogue.octets_out == OCTETS + len(b"begin\r\nend\r\nand more\r\n")
        assert sum(by_the_kernel) > OCTETS // 4

    run(main())


def test_inside_tls_it_is_encrypted(
    run: Run, descriptor: int, content: bytes, by_the_kernel: list[int], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    ours, theirs = server_context(*authority.issue(["localhost"], tmp_path)), client_context(authority.ca_path)

    async def talk(dialogue: Dialogue[LineReader]) -> None:
        await dialogue.start_tls(ours)
        await give(dialogue, descriptor, OCTETS)

    async def main() -> None:
        server = Server(talk)
        async with server.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await writer.start_tls(theirs, server_hostname="localhost")
            assert await reader.readline() == b"begin\r\n"
            assert await reader.readexactly(OCTETS) == content
            assert await reader.readline() == b"end\r\n"
            writer.write(b"bye\r\n")
            assert await reader.readline() == b"bye\r\n"
            writer.close()
        assert by_the_kernel == []

    run(main())


def test_who_listens_hears_it(run: Run, descriptor: int, content: bytes) -> None:
    async def main() -> None:
        server = Server(partial(give, descriptor=descriptor, octets=OCTETS), is_heard=True)
        async with server.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.readexactly(7 + OCTETS) == b"begin\r\n" + content
            writer.write(b"bye\r\n")
            assert await reader.read() == b"end\r\nbye\r\n"
            writer.close()
        assert b"".join(server.heard) == b"begin\r\n" + content + b"end\r\nbye\r\n"

    run(main())


def test_others_have_their_turn_meanwhile(run: Run, descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where all of it could leave at once."""
    monkeypatch.setattr("postoffice.net.dialogue.STRIDE_OCTETS", 1000)
    turns: list[int] = []

    async def talk(dialogue: Dialogue[LineReader]) -> None:
        asyncio.get_running_loop().call_soon(turns.append, 0)
        await dialogue.send_file(descriptor, 1000)
        turns.append(1000)
        await dialogue.send_file(descriptor, 2000)
        turns.append(2000)

    async def main() -> None:
        server = Server(talk)
        async with server.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert len(await reader.read()) == 3000
            writer.close()
        assert turns == [1000, 0, 2000]

    run(main())


@pytest.mark.parametrize("is_heard", [False, True], ids=["by the kernel", "read"])
def test_a_file_that_is_too_short_is_told(run: Run, descriptor: int, content: bytes, is_heard: bool) -> None:
    async def main() -> None:
        server = Server(partial(give, descriptor=descriptor, octets=OCTETS + 1), is_heard=is_heard)
        async with server.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b"begin\r\n" + content
            problem = await server.end
            assert isinstance(problem, OSError)
            assert "ends after" in str(problem)
            writer.close()

    run(main())


def test_who_leaves_in_the_middle_is_gone(run: Run, descriptor: int) -> None:
    async def main() -> None:
        server = Server(partial(give, descriptor=descriptor, octets=OCTETS))
        async with server.open() as port:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setblocking(False)
            assert (await asyncio.get_running_loop().sock_recv(sock, 7)).startswith(b"begin")
            sock.close()  # with octets unread: a reset
            assert isinstance(await server.end, ConnectionLost)

    run(main())


def test_a_connection_that_was_ended_meanwhile_is_not_written_to(run: Run, descriptor: int) -> None:
    """Its descriptor may be another connection's by then."""

    async def talk(dialogue: Dialogue[LineReader]) -> None:
        dialogue.abort()
        await dialogue.send_file(descriptor, OCTETS)

    async def main() -> None:
        server = Server(talk)
        async with server.open() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            assert isinstance(await server.end, ConnectionLost)
            assert server.dialogue.octets_out == 0
            writer.close()

    run(main())
