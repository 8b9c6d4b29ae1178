"""A letter for another office is queued, carried, retried, and in the end delivered or bounced."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from postoffice.app.config import Config
from postoffice.events import collected
from postoffice.protocols.dots import unstuff
from postoffice.store.base import Store
from postoffice.store.memory import MemoryStore
from postoffice.testing.dns import FakeDNS, Records
from postoffice.testing.office import TestOffice, run_office
from postoffice.transfer.queue import QueueSettings
from postoffice.transfer.route import Route, RouteSettings

LETTER = b"Subject: over the hills\r\nFrom: alice@a.example\r\n\r\nDear Bob,\r\n.\r\n..\r\nyours\r\n"


def config_for(dns: FakeDNS, port: int, **queue: object) -> Config:
    """Ask that DNS, but come to that port."""
    relay = RouteSettings(routes={"*": Route(port=port)}, nameservers=(dns.address,))
    return Config(relay=relay, queue=replace(QueueSettings(), **queue))  # type: ignore[arg-type]


def submit(office: TestOffice, recipients: list[str], letter: bytes = LETTER) -> None:
    """alice sends a letter, as any mail program does."""
    tls = ssl.create_default_context(cafile=office.certificate)
    with smtplib.SMTP("localhost", office.port("submission")) as client:
        client.starttls(context=tls)
        client.login("alice@a.example", "correct horse")
        client.sendmail("alice@a.example", recipients, letter)


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that another conversation does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def silent_host(script: list[bytes]) -> AsyncIterator[int]:
    """A host that says each line of its script after each line that it hears, the first one unasked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for line in script:
                writer.write(line)
                await writer.drain()
                if not await reader.readline():
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


ZONE: Mapping[str, Records] = {"b.example": {"MX": ["10 mx.b.example."]}, "mx.b.example": {"A": ["127.0.0.1"]}}


async def test_a_letter_travels_from_office_to_office_over_tls(store: Store) -> None:
    async with FakeDNS(ZONE) as dns, run_office(MemoryStore(), "b.example", people={"bob@b.example": "x"}) as far:
        config = config_for(dns, far.port("smtp"))
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"])
                await until(lambda: any(name == "letter.relayed" for name, _ in events))
            [wire] = await far.letters("bob@b.example")
            assert unstuff(wire).endswith(LETTER)
            trace = unstuff(wire)[: -len(LETTER)]
            assert trace.startswith(b"Return-Path: <alice@a.example>\r\n")
            assert trace.count(b"Received: ") == 2
            relayed = next(facts for name, facts in events if name == "letter.relayed")
            assert str(relayed["tls"]).startswith("TLSv1.")
            assert await near.store.office.queue() == []


async def test_local_and_remote_recipients_of_one_letter_all_get_it(store: Store) -> None:
    people = {"alice@a.example": "correct horse", "carol@a.example": "x"}
    async with FakeDNS(ZONE) as dns, run_office(MemoryStore(), "b.example", people={"bob@b.example": "x"}) as far:
        config = config_for(dns, far.port("smtp"))
        async with run_office(store, "a.example", people=people, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example", "carol@a.example", "carol@a.example"])
                await until(lambda: any(name == "letter.relayed" for name, _ in events))
            assert len(await far.letters("bob@b.example")) == 1
            [wire] = await near.letters("carol@a.example")
            assert b"for <" not in wire.partition(b"Subject")[0]  # recipients do not learn of each other


async def test_an_unknown_recipient_there_comes_back_as_a_notice(store: Store) -> None:
    async with FakeDNS(ZONE) as dns, run_office(MemoryStore(), "b.example", people={"bob@b.example": "x"}) as far:
        config = config_for(dns, far.port("smtp"))
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["nobody@b.example", "bob@b.example"])
                await until(lambda: any(name == "letter.failed" for name, _ in events))
            [notice] = await near.letters("alice@a.example")
            assert notice.startswith(b"Return-Path: <>\r\n")
            assert b"Final-Recipient: rfc822; nobody@b.example" in notice
            assert b"Status: 5.1.1" in notice
            assert b"bob@b.example" not in notice
            assert len(await far.letters("bob@b.example")) == 1
            assert await near.store.office.queue() == []


async def test_a_domain_that_does_not_exist_comes_back_at_once(store: Store) -> None:
    async with FakeDNS(ZONE) as dns:
        config = config_for(dns, 9)
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["x@nowhere.example"])
                await until(lambda: any(name == "letter.failed" for name, _ in events))
            [notice] = await near.letters("alice@a.example")
            assert b"Status: 5.1.2" in notice


async def test_a_silent_office_is_tried_again_and_gets_the_letter_later(store: Store) -> None:
    async with FakeDNS(ZONE) as dns, silent_host([]) as dead:
        config = config_for(dns, dead, retry_minutes=(1 / 6000,), poll_seconds=0.05)
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"])
                await until(lambda: sum(name == "letter.deferred" for name, _ in events) >= 2)
            [item] = await near.store.office.queue()
            assert item.recipients == ("bob@b.example",)
            assert "mx.b.example" in item.last_reply


async def test_a_temporary_refusal_is_retried_and_a_permanent_one_is_not(store: Store) -> None:
    script = [b"220 x\r\n", b"250 x\r\n", b"250 ok\r\n", b"451 4.3.0 not now\r\n"]
    async with FakeDNS(ZONE) as dns, silent_host(script) as sulky:
        config = config_for(dns, sulky)
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"])
                await until(lambda: any(name == "letter.deferred" for name, _ in events))
            [item] = await near.store.office.queue()
            assert item.attempts == 1
            assert "451 4.3.0 not now" in item.last_reply
            assert item.due > time.time() + 200


async def test_a_letter_that_nobody_takes_expires_with_a_notice(store: Store) -> None:
    now = time.time()
    moment = [now]
    async with FakeDNS(ZONE) as dns, silent_host([]) as dead:
        config = config_for(dns, dead, retry_minutes=(1 / 6000,), poll_seconds=0.02)
        people = {"alice@a.example": "correct horse"}
        async with run_office(store, "a.example", people=people, config=config, clock=lambda: moment[0]) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"])
                await until(lambda: any(name == "letter.deferred" for name, _ in events))
                moment[0] = now + 5.1 * 86400
                await until(lambda: any(name == "letter.failed" for name, _ in events))
            [notice] = await near.letters("alice@a.example")
            assert b"Status: 4.4.7" in notice


async def test_a_notice_that_cannot_be_delivered_is_the_end_of_it(store: Store) -> None:
    """A letter from <> is never answered with another notice (RFC 5321 §6.1)."""
    async with FakeDNS(ZONE) as dns, run_office(MemoryStore(), "b.example", people={"bob@b.example": "x"}) as far:
        config = config_for(dns, far.port("smtp"))
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:

            def send_receipt() -> None:
                tls = ssl.create_default_context(cafile=near.certificate)
                with smtplib.SMTP_SSL("localhost", near.port("submissions"), context=tls) as client:
                    client.login("alice@a.example", "correct horse")
                    client.sendmail("", ["nobody@b.example"], LETTER)

            with collected() as events:
                await asyncio.to_thread(send_receipt)
                await until(lambda: any(name == "letter.failed" for name, _ in events))
            assert any(name == "notice.dropped" for name, _ in events)
            assert await near.letters("alice@a.example") == []
            assert await near.store.office.queue() == []


async def test_a_large_letter_is_relayed_piece_by_piece(store: Store) -> None:
    large = LETTER + b"".join(b".%07d of a long letter\r\n" % number for number in range(60_000))
    async with FakeDNS(ZONE) as dns, run_office(MemoryStore(), "b.example", people={"bob@b.example": "x"}) as far:
        config = config_for(dns, far.port("smtp"))
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"], large)
                await until(lambda: any(name == "letter.relayed" for name, _ in events))
            [wire] = await far.letters("bob@b.example")
            assert unstuff(wire).endswith(large)


async def test_a_host_without_pipelining_or_ehlo_gets_the_letter_in_steps(store: Store) -> None:
    script = [
        b"220 old\r\n", b"502 what?\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n",
    ]  # fmt: skip
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in script:
            writer.write(line)
            heard.append(await reader.readline())
        while heard[-1] not in (b".\r\n", b""):
            heard.append(await reader.readline())
        writer.write(b"250 taken\r\n")
        heard.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, FakeDNS(ZONE) as dns:
        config = config_for(dns, server.sockets[0].getsockname()[1])
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"])
                await until(lambda: any(name == "letter.relayed" for name, _ in events))
    assert heard[:5] == [
        b"EHLO a.example\r\n",
        b"HELO a.example\r\n",
        b"MAIL FROM:<alice@a.example>\r\n",
        b"RCPT TO:<bob@b.example>\r\n",
        b"DATA\r\n",
    ]
    assert b"..\r\n" in heard  # still in wire form
    assert heard[-1] == b"QUIT\r\n"


@pytest.mark.parametrize("doors", ["smtp"])
async def test_a_letter_that_went_round_too_often_is_refused(store: Store, doors: str) -> None:
    async with run_office(store, "b.example", people={"bob@b.example": "x"}) as office:
        loop = b"Received: from here by there\r\n" * 101 + LETTER

        def bring() -> tuple[int, bytes]:
            with smtplib.SMTP("localhost", office.port(doors)) as client:
                client.ehlo()
                client.mail("x@y.example")
                client.rcpt("bob@b.example")
                return client.data(loop)

        code, text = await asyncio.to_thread(bring)
        assert code == 554
        assert text.startswith(b"5.4.6")
        assert await office.letters("bob@b.example") == []


def test_no_notice_goes_to_where_this_office_is_itself(tmp_path: Path) -> None:
    """The best MX is ourselves, but the domain is none of ours: a loop, cut before it begins (RFC 5321 §5.1)."""
    from postoffice.errors import Refusal
    from postoffice.transfer.route import Router

    async def ask() -> None:
        zone: Mapping[str, Records] = {
            "loop.example": {"MX": ["10 mx.a.example.", "20 mx.other.example."]},
            "mx.a.example": {"A": ["127.0.0.1"]},
        }
        async with FakeDNS(zone) as dns:
            router = Router(RouteSettings(nameservers=(dns.address,)), "mx.a.example")
            with pytest.raises(Refusal) as refused:
                await router.way("loop.example")
            assert refused.value.enhanced == "5.4.6"

    asyncio.run(ask())


async def test_a_line_that_breaks_behind_the_final_dot_sends_the_letter_to_no_other_host_at_once(store: Store) -> None:
    """The host may have it: only the next try may double it (RFC 5321 §6.1)."""
    visits: list[str] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("visit")
        for line in (b"220 x\r\n", b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            writer.write(line)
            await reader.readline()
        await reader.readuntil(b"\r\n.\r\n")
        writer.close()

    zone: Mapping[str, Records] = {
        "b.example": {"MX": ["10 mx1.b.example.", "20 mx2.b.example."]},
        "mx1.b.example": {"A": ["127.0.0.1"]},
        "mx2.b.example": {"A": ["127.0.0.1"]},
    }
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server, FakeDNS(zone) as dns:
        config = config_for(dns, server.sockets[0].getsockname()[1])
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            with collected() as events:
                await asyncio.to_thread(submit, near, ["bob@b.example"])
                await until(lambda: any(name == "letter.deferred" for name, _ in events))
            assert visits == ["visit"]
            [item] = await near.store.office.queue()
            assert item.attempts == 1
