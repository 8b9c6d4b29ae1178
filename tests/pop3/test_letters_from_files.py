"""Large letters that arrived lie in files of their own, and are shown from there as from anywhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postoffice.access.pop3 import Pop3Door
from postoffice.accounts import verifiers
from postoffice.accounts.login import Login, LoginSettings
from postoffice.accounts.visits import VisitBook
from postoffice.events import collected
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import CHUNK_OCTETS, Credential
from postoffice.testing.certificates import Authority
from postoffice.testing.check_store.walk import PREFIX, deliver, large_text, text

LETTERS = [text(1), large_text("two"), text(3), large_text("four") * 3]
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Client:
    """A session at the door, from its login on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def retr(self, *numbers: int) -> list[bytes]:
        """What the server sends for all of these, asked for at once: each to its final dot."""
        self.writer.write(b"".join(b"RETR %d\r\n" % number for number in numbers))
        replies = []
        for _ in numbers:
            assert (await self.reader.readline()).startswith(b"+OK")
            replies.append((await self.reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n"))
        return replies

    async def ask(self, line: str) -> bytes:
        self.writer.write(f"{line}\r\n".encode())
        return await self.reader.readline()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "data", absorb_seconds=0.0)
    await store.directory.add_domain("example.org")
    account = await store.directory.add_account("mrose@example.org", 0)
    await store.directory.set_credential(Credential(account.account_id, "password", verifiers.of_clear("tanstaaf")))
    for letter in LETTERS:
        await deliver(store, letter, account.account_id)
    yield store
    await store.close()


@asynccontextmanager
async def session(
    store: EmbeddedStore, contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None, room: int = 2**20
) -> AsyncIterator[Client]:
    """At a door whose connections hold about so much on their way."""
    board = Switchboard()
    login = Login(store.directory, LoginSettings(LOOPBACK))
    door = Pop3Door(
        "example.org", store.office, login, board, VisitBook(store.visits), tls=contexts[0] if contexts else None
    )
    sock = socket.socket()
    for way in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, way, room)
    sock.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(door, sock=sock)
    reader, writer = await asyncio.open_connection(*sock.getsockname(), limit=2**23)
    client = Client(reader, writer)
    try:
        async with asyncio.timeout(20):
            await reader.readline()
            if contexts:
                assert (await client.ask("STLS")).startswith(b"+OK")
                await writer.start_tls(contexts[1], server_hostname="localhost")
            await client.ask("USER mrose")
            assert (await client.ask("PASS tanstaaf")).startswith(b"+OK")
            yield client
    finally:
        writer.transport.abort()
        server.close()
        await board.drain(20)
        login.close()


def spooled(store_folder: Path) -> list[Path]:
    return sorted((store_folder / "data" / "spool").iterdir(), key=lambda path: path.stat().st_size)


def wires() -> list[bytes]:
    return [stuff(PREFIX + letter) for letter in LETTERS]


async def test_in_clear(store: EmbeddedStore, tmp_path: Path) -> None:
    async with session(store) as client:
        assert len(spooled(tmp_path)) == 2
        assert await client.retr(1, 2, 3, 4) == wires()
        assert await client.retr(4, 4, 2) == [wires()[3], wires()[3], wires()[1]]
        assert await client.ask("STAT") == b"+OK 4 %d\r\n" % sum(len(PREFIX + letter) for letter in LETTERS)


async def test_inside_tls(store: EmbeddedStore, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    contexts = server_context(*authority.issue(["localhost"], tmp_path)), client_context(authority.ca_path)
    async with session(store, contexts) as client:
        assert await client.retr(1, 2, 3, 4) == wires()


async def test_what_is_absorbed_meanwhile_is_shown_from_where_it_went(store: EmbeddedStore, tmp_path: Path) -> None:
    async with session(store) as client:
        await store.office.tidy()
        assert spooled(tmp_path) == []
        assert await client.retr(1, 2, 3, 4) == wires()


async def test_what_is_absorbed_while_it_is_sent_is_sent_to_its_end(store: EmbeddedStore, tmp_path: Path) -> None:
    async with session(store) as client:
        client.writer.write(b"RETR 4\r\n")
        assert (await client.reader.readline()).startswith(b"+OK")
        await store.office.tidy()
        assert spooled(tmp_path) == []
        assert await client.reader.readuntil(b"\r\n.\r\n") == wires()[3] + b".\r\n"


async def test_a_file_that_was_cut_is_refused_and_the_session_goes_on(store: EmbeddedStore, tmp_path: Path) -> None:
    os.truncate(spooled(tmp_path)[1], CHUNK_OCTETS)
    async with session(store) as client:
        assert (await client.ask("RETR 4")).startswith(b"-ERR [SYS/TEMP]")
        assert await client.retr(2) == wires()[1:2]


async def test_a_file_that_is_cut_while_it_is_sent_ends_the_session_and_not_the_letter(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    async with session(store, room=8192) as client:
        with collected() as events:
            client.writer.write(b"RETR 4\r\n")
            assert (await client.reader.readline()).startswith(b"+OK")
            os.truncate(spooled(tmp_path)[1], CHUNK_OCTETS)
            sent = await client.reader.read()
        assert CHUNK_OCTETS < len(sent) < len(wires()[3])
        assert wires()[3].startswith(sent)
        assert [name for name, _ in events] == ["pop3.failed", "pop3.closed"]
        assert events[1][1]["end"] == "letter broken off"
