"""CRAM-MD5 and APOP: off unless wanted, good only for who keeps a password in clear, and nobody can be told by them."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re

import pytest

from postoffice.access.pop3 import Pop3Settings
from postoffice.accounts import verifiers
from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.client.collect import Options, collect
from postoffice.client.url import Source
from postoffice.errors import Refused, UsageError
from postoffice.net.tls import client_context
from postoffice.protocols.sasl import digest
from postoffice.store.base import Store
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.store.model import Credential
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB, SECRET = "bob@b.example", "mật khẩu"
HERE = (ipaddress.ip_network("127.0.0.0/8"),)
ON = Config(login=LoginSettings(HERE, cram_md5=True), pop3=Pop3Settings(apop=True))
OFF = Config(login=LoginSettings(HERE))
WRONG = b"-ERR [AUTH] user name or password is wrong"


async def keep_in_clear(office: TestOffice, name: str = "old phone", password: str = SECRET) -> None:
    account = await office.account(BOB)
    verifier = verifiers.of_clear_with_scram(password, BOB, await office.store.directory.secret())
    await office.store.directory.set_credential(Credential(account.account_id, name, verifier))


def cram(client: RawClient, username: str, password: str) -> bytes:
    client.say(b"AUTH CRAM-MD5\r\n")
    stamp = base64.b64decode(client.line().partition(b" ")[2])
    assert re.fullmatch(rb"<[0-9a-f]{24}@b\.example>", stamp)
    client.say(base64.b64encode(username.encode() + b" " + digest.cram(stamp, password.encode())) + b"\r\n")
    return client.line()


def apop(client: Pop3Raw, username: str, password: str) -> bytes:
    stamp = client.greeting.split()[-1]
    assert re.fullmatch(rb"<[0-9a-f]{24}@b\.example>", stamp)
    client.say(b"APOP %s %s\r\n" % (username.encode(), digest.apop(stamp, password.encode()).upper()))
    return client.line()


async def test_a_password_kept_in_clear_opens_by_digest_and_no_other_does(store: Store) -> None:
    def talk(pop3: int, submission: int) -> list[bytes]:
        said = []
        for way in (cram, apop):
            for name, password in ((BOB, SECRET), ("bob", SECRET), (BOB, "my own"), (BOB, "x"), ("eve", SECRET)):
                with Pop3Raw(pop3) as client:
                    said.append(way(client, name, password)[:40])
        with SmtpRaw(submission) as client:
            client.ask("EHLO a.example")
            said += [cram(client, BOB, "x")[:3], cram(client, BOB, SECRET)[:3]]
        return said

    async with run_office(store, "b.example", people={BOB: "my own"}, config=ON) as office:
        await keep_in_clear(office)
        said = await asyncio.to_thread(talk, office.port("pop3"), office.port("submission"))
    right = b"+OK bob@b.example's maildrop has 0 messa"
    assert said == [right, right, WRONG[:40], WRONG[:40], WRONG[:40]] * 2 + [b"535", b"235"]


async def test_what_is_off_is_neither_announced_nor_taken() -> None:
    def talk(port: int) -> tuple[bytes, list[bytes], bytes]:
        with Pop3Raw(port) as client:
            said = [client.ask("AUTH CRAM-MD5"), client.ask(f"APOP bob {'0' * 32}")]
            client.ask("CAPA")
            return client.greeting, said, client.block()

    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, config=OFF) as office:
        await keep_in_clear(office, "password")
        greeting, said, listed = await asyncio.to_thread(talk, office.port("pop3"))
    assert b"<" not in greeting
    assert said == [b"-ERR no such mechanism here", b"-ERR APOP is not offered here"]
    assert b" CRAM-MD5" not in listed


async def test_what_is_on_is_announced() -> None:
    def talk(port: int) -> tuple[bytes, bytes]:
        with Pop3Raw(port) as client:
            client.ask("CAPA")
            return client.greeting, client.block()

    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, config=ON) as office:
        greeting, listed = await asyncio.to_thread(talk, office.port("pop3"))
        assert greeting.endswith(b"@b.example>")
        assert b"SASL CRAM-MD5 PLAIN LOGIN\r\n" in listed
        await keep_in_clear(office, "password")
        _, listed = await asyncio.to_thread(talk, office.port("pop3"))
        assert b"SASL SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN\r\n" in listed


async def test_a_digest_is_good_for_one_greeting_only() -> None:
    def talk(port: int) -> bytes:
        with Pop3Raw(port) as first, Pop3Raw(port) as second:
            stamp = first.greeting.split()[-1]
            assert stamp != second.greeting.split()[-1]
            return second.ask(f"APOP bob {digest.apop(stamp, SECRET.encode()).decode()}")

    async with run_office(MemoryStore(), "b.example", people={BOB: "my own"}, config=ON) as office:
        await keep_in_clear(office)
        assert await asyncio.to_thread(talk, office.port("pop3")) == WRONG


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "+APOP"])
async def test_fetch_logs_in_by_digest(mechanism: str) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: "my own"}, config=ON) as office:
        await keep_in_clear(office)
        tls = client_context(office.certificate)
        for implicit_tls in (False, True):
            port = office.port("pop3s" if implicit_tls else "pop3")
            source = Source("127.0.0.1", port, BOB, implicit_tls, mechanism)
            await collect(source, MemoryMailbox(), Options(SECRET, tls))
            with pytest.raises(Refused, match="user name or password is wrong"):
                await collect(source, MemoryMailbox(), Options("my own", tls))


@pytest.mark.parametrize(("mechanism", "error"), [("CRAM-MD5", Refused), ("+APOP", UsageError), ("X-NEW", UsageError)])
async def test_fetch_takes_no_other_mechanism_than_it_was_told(mechanism: str, error: type[Exception]) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, config=OFF) as office:
        source = Source("127.0.0.1", office.port("pop3"), BOB, mechanism=mechanism)
        with pytest.raises(error):
            await collect(source, MemoryMailbox(), Options(SECRET, client_context(office.certificate)))
