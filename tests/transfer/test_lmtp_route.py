"""A route by LMTP: letters are handed to a neighbour's mailboxes, and each recipient is settled by a last word."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from postoffice.app.config import Config
from postoffice.events import Fact, collected
from postoffice.net.listen import Door, answer
from postoffice.protocols.dots import unstuff
from postoffice.protocols.smtp.lmtp import LMTP_PORT
from postoffice.store.base import Store
from postoffice.store.memory import MemoryStore
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.raw import SmtpRaw
from postoffice.transfer.queue import QueueSettings
from postoffice.transfer.route import Route, Router, RouteSettings

LETTER = b"Subject: to the neighbour\r\n\r\nDear all,\r\n.\r\n..\r\nyours\r\n"
ALICE = {"alice@a.example": "secret"}
BOB, CAROL, DAVE = "bob@b.example", "carol@b.example", "dave@b.example"


def config(host: str, port: int = 0, **queue: object) -> Config:
    relay = RouteSettings(routes={"b.example": Route(host, port, lmtp=True)}, nameservers=(("127.0.0.1", 9),))
    return Config(relay=relay, queue=replace(QueueSettings(), **queue))  # type: ignore[arg-type]


def submit(office: TestOffice, *recipients: str) -> None:
    with SmtpRaw(office.port("submissions"), ssl.create_default_context(cafile=office.certificate)) as client:
        client.ask("EHLO a.example")
        client.log_in("alice@a.example", "secret")
        assert client.send("alice@a.example", list(recipients), LETTER) == 250


async def until_told(events: list[tuple[str, dict[str, Fact]]], *names: str) -> None:
    async with asyncio.timeout(20):
        while not set(names) <= {name for name, _ in events}:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def neighbour(*last_words: bytes, leaves: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    """An LMTP server that takes every recipient, and behind the final dot says these words."""
    heard: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 b.example LMTP\r\n")
            while (line := await reader.readline()) != b"DATA\r\n" and line:
                heard.append(line)
                hello = b"250-b.example\r\n250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n"
                writer.write(hello if line.startswith(b"LHLO") else b"250 2.1.0 fine\r\n")
            if not line:
                return
            writer.write(b"354 go\r\n")
            heard.append(await reader.readuntil(b"\r\n.\r\n"))
            for word in last_words:
                writer.write(word + b"\r\n")
            await writer.drain()
            if not leaves and await reader.readline() == b"QUIT\r\n":
                heard.append(b"QUIT\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_a_letter_goes_by_lmtp_and_who_is_unknown_there_comes_back(store: Store) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: "x", CAROL: "x"}) as far:
        settings = config("127.0.0.1", far.port("lmtp"))
        async with run_office(store, "a.example", people=ALICE, config=settings) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, BOB, "nobody@b.example", CAROL)
                await until_told(events, "letter.relayed", "letter.failed")
            for address in (BOB, CAROL):
                [wire] = await far.letters(address)
                assert unstuff(wire).endswith(LETTER)
                assert b" with LMTPS" in wire, "and TLS was offered"
            [notice] = await near.letters("alice@a.example")
            assert b"Final-Recipient: rfc822; nobody@b.example" in notice
            assert b"Status: 5.1.1" in notice
            assert notice.count(b"Final-Recipient") == 1
            assert await near.store.office.queue() == []


async def test_every_recipient_is_settled_by_his_own_last_word(store: Store) -> None:
    words = (b"250 2.0.0 kept", b"452 4.2.2 full", b"550 5.2.1 closed")
    async with neighbour(*words) as (port, heard):
        settings = config("127.0.0.1", port)
        async with run_office(store, "a.example", people=ALICE, config=settings) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, BOB, CAROL, DAVE)
                await until_told(events, "letter.relayed", "letter.failed", "letter.deferred")
            relayed = [facts["recipient"] for name, facts in events if name == "letter.relayed"]
            failed = [facts["recipient"] for name, facts in events if name == "letter.failed"]
            [item] = await near.store.office.queue()
            assert (relayed, failed, item.recipients) == ([BOB], [DAVE], (CAROL,))
            [notice] = await near.letters("alice@a.example")
            assert b"Status: 5.2.1" in notice
        assert heard[0] == b"LHLO a.example\r\n"
        assert heard[-1] == b"QUIT\r\n"


async def test_what_was_said_before_the_line_broke_counts(store: Store) -> None:
    async with neighbour(b"250 2.0.0 kept", leaves=True) as (port, _):
        settings = config("127.0.0.1", port)
        async with run_office(store, "a.example", people=ALICE, config=settings) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, BOB, CAROL)
                await until_told(events, "letter.relayed", "letter.deferred")
            [item] = await near.store.office.queue()
            assert item.recipients == (CAROL,)


async def test_the_neighbour_may_be_behind_a_unix_socket(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    async with run_office(MemoryStore(), "b.example", people={BOB: "x"}) as far:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        [server] = await answer(Door("lmtp", (listening,)), far.open_office._answerer("lmtp"))
        async with run_office(store, "a.example", people=ALICE, config=config(str(path))) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, BOB, "nobody@b.example")
                await until_told(events, "letter.relayed", "letter.failed")
            [notice] = await near.letters("alice@a.example")
            assert str(path).encode() not in notice.partition(b"message/delivery-status")[2]
        server.close()
        [wire] = await far.letters(BOB)
        assert b" with LMTP id " in wire, "nobody listens in between: no TLS"


async def test_a_neighbour_who_is_not_there_is_tried_again(store: Store, tmp_path: Path) -> None:
    async with run_office(store, "a.example", people=ALICE, config=config(str(tmp_path / "none"))) as near:
        with collected() as events:
            await asyncio.to_thread(submit, near, BOB)
            await until_told(events, "letter.deferred")
        [item] = await near.store.office.queue()
        assert "No such file" in item.last_reply


@pytest.mark.parametrize(("named", "port"), [(25, LMTP_PORT), (2400, 2400)])
async def test_lmtp_never_goes_to_port_25(named: int, port: int) -> None:
    router = Router(RouteSettings(routes={"b.example": Route("127.0.0.1", named, lmtp=True)}), "a.example")
    assert (await router.way("b.example")).port == port
