"""EXTERNAL: a client's certificate opens the maildrop of whose it is, where the office asks for one, and only there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config, TlsSettings, read_config
from postoffice.client.collect import Options, collect
from postoffice.client.url import Source
from postoffice.errors import UsageError
from postoffice.events import collected
from postoffice.net import self_signed, tls, tls_server
from postoffice.store.base import Store
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.testing.certificates import Authority
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB, EVE, WIDE = "bob@b.example", "eve@b.example", "người@b.example"
PEOPLE = {BOB: "secret", EVE: "secret", WIDE: "secret"}
WRONG = b"-ERR [AUTH] user name or password is wrong"
NOTHING_HERE = b"-ERR no such mechanism here"

T = TypeVar("T")


class Person:
    """Somebody with a certificate."""

    def __init__(self, authority: Authority, folder: Path, *addresses: str, ends: float = 9) -> None:
        folder.mkdir(parents=True)
        self.pair = authority.issue_to(addresses, folder, ends=ends)

    @property
    def fingerprint(self) -> str:
        der = ssl.PEM_cert_to_DER_cert(self.pair[0].read_text())
        return ":".join(f"{octet:02X}" for octet in hashlib.sha256(der).digest())

    def context(self, office: TestOffice) -> ssl.SSLContext:
        context = tls.client_context(office.certificate)
        tls.show(context, *self.pair)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def config(authority: Authority) -> Config:
    return Config(tls=TlsSettings(client_authorities=authority.ca_path))


async def at(office: TestOffice, door: str, context: ssl.SSLContext, talk: Callable[[RawClient], T]) -> T:
    """Talk to a door with TLS from the beginning, or begun."""

    def run() -> T:
        kind = Pop3Raw if door.startswith("pop3") else SmtpRaw
        with kind(office.port(door), context if door.endswith("s") else None) as client:
            if isinstance(client, SmtpRaw):
                client.ask("EHLO a.example")
            if not door.endswith("s"):
                client.say(b"STLS\r\n" if isinstance(client, Pop3Raw) else b"STARTTLS\r\n")
                client.line()
                client.begin_tls(context)
                if isinstance(client, SmtpRaw):
                    client.ask("EHLO a.example")
            return talk(client)

    return await asyncio.to_thread(run)


def external(name: str = "") -> Callable[[RawClient], bytes]:
    def talk(client: RawClient) -> bytes:
        client.say(b"AUTH EXTERNAL " + (base64.b64encode(name.encode()) or b"=") + b"\r\n")
        return client.line()

    return talk


def offered(client: RawClient) -> bool:
    client.say(b"CAPA\r\n" if isinstance(client, Pop3Raw) else b"EHLO a.example\r\n")
    if isinstance(client, SmtpRaw):
        return any("EXTERNAL" in line for line in client.reply()[1])
    client.line()
    return b"EXTERNAL" in client.block()


@pytest.mark.parametrize("door", ["pop3", "pop3s", "submission", "submissions"])
async def test_a_certificate_opens_for_whose_address_stands_in_it(
    door: str, store: Store, config: Config, authority: Authority, tmp_path: Path
) -> None:
    bob = Person(authority, tmp_path / "bob", "Bob@B.example")
    async with run_office(store, "b.example", people=PEOPLE, config=config) as office:
        assert await at(office, door, bob.context(office), offered)
        for name, is_right in (("", True), (BOB, True), ("bob", True), (EVE, False), ("nobody", False)):
            said = await at(office, door, bob.context(office), external(name))
            wanted = (b"+OK bob@b.example", b"235") if is_right else (WRONG, b"535")
            assert said.startswith(wanted), (name, said)


@pytest.mark.parametrize("door", ["pop3s", "submission"])
async def test_who_shows_no_certificate_is_told_of_no_external_and_logs_in_by_password(
    door: str, config: Config
) -> None:
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        context = tls.client_context(office.certificate)
        assert not await at(office, door, context, offered)
        assert (await at(office, door, context, external())).startswith((NOTHING_HERE, b"504"))
        login = f"AUTH PLAIN {base64.b64encode(f'{chr(0)}{BOB}{chr(0)}secret'.encode()).decode()}\r\n".encode()

        def talk(client: RawClient) -> bytes:
            client.say(login)
            return client.line()

        assert (await at(office, door, context, talk)).startswith((b"+OK", b"235"))


async def test_nobody_is_asked_for_a_certificate_where_no_authority_is_named(
    authority: Authority, tmp_path: Path
) -> None:
    bob = Person(authority, tmp_path / "bob", BOB)
    async with run_office(MemoryStore(), "b.example", people=PEOPLE) as office:
        for door in ("pop3", "pop3s", "submission", "submissions", "smtp"):
            assert not await at(office, door, bob.context(office), offered)


async def test_another_office_may_show_whatever_it_has_at_the_door_for_offices(config: Config, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Person(Authority(tmp_path / "other"), tmp_path / "stranger", BOB)
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        assert not await at(office, "smtp", stranger.context(office), offered)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await at(office, "pop3s", stranger.context(office), offered)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await at(office, "submission", stranger.context(office), offered)


async def test_a_certificate_names_one_account_or_must_be_told_which(
    config: Config, authority: Authority, tmp_path: Path
) -> None:
    both = Person(authority, tmp_path / "both", BOB, EVE, "else@c.example")
    wide = Person(authority, tmp_path / "wide", WIDE)
    nobody = Person(authority, tmp_path / "nobody", "nobody@b.example")
    role = Person(authority, tmp_path / "role", "postmaster@b.example")
    empty = Person(authority, tmp_path / "empty")
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        said = [await at(office, "pop3s", both.context(office), external(name)) for name in ("", BOB, EVE, WIDE)]
        assert [line[:4] for line in said] == [b"-ERR", b"+OK ", b"+OK ", b"-ERR"]
        assert (await at(office, "pop3s", wide.context(office), external())).startswith(b"+OK")
        for person in (nobody, role, empty):
            for name in ("", BOB):
                assert await at(office, "pop3s", person.context(office), external(name)) == WRONG


async def test_the_settings_say_whose_a_certificate_is(config: Config, authority: Authority, tmp_path: Path) -> None:
    empty, eves = Person(authority, tmp_path / "empty"), Person(authority, tmp_path / "eve", EVE)
    named = {empty.fingerprint: BOB, eves.fingerprint.replace(":", "").lower(): BOB}
    config = Config(tls=config.tls, login=LoginSettings(certificates=named))
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        for person in (empty, eves):
            said = await at(office, "pop3s", person.context(office), external())
            assert said.startswith(b"+OK bob@b.example")
            assert await at(office, "pop3s", person.context(office), external(EVE)) == WRONG


async def test_a_certificate_that_ends_while_a_session_may_be_resumed_opens_nothing(
    config: Config, authority: Authority, tmp_path: Path
) -> None:
    bob = Person(authority, tmp_path / "bob", BOB, ends=1)
    late = [0.0]
    store = MemoryStore()
    async with run_office(
        store, "b.example", people=PEOPLE, config=config, clock=lambda: time.time() + late[0]
    ) as office:
        assert (await at(office, "pop3s", bob.context(office), external())).startswith(b"+OK")
        late[0] = 2 * 86_400.0
        assert await at(office, "pop3s", bob.context(office), external()) == WRONG


async def test_after_a_reload_a_resumed_session_vouches_for_nobody(
    config: Config, authority: Authority, tmp_path: Path
) -> None:
    bob = Person(authority, tmp_path / "bob", BOB)
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        context = bob.context(office)

        def session() -> ssl.SSLSession | None:
            with Pop3Raw(office.port("pop3s"), context) as client:
                assert external()(client).startswith(b"+OK")
                assert isinstance(client._socket, ssl.SSLSocket)
                return client._socket.session

        def resumed(kept: ssl.SSLSession | None) -> tuple[bool | None, bytes]:
            client = Pop3Raw.__new__(Pop3Raw)
            plain = socket.create_connection(("127.0.0.1", office.port("pop3s")), timeout=20)
            client._socket = context.wrap_socket(plain, server_hostname="localhost", session=kept)
            client._buffer = b""
            with client:
                client.line()
                assert isinstance(client._socket, ssl.SSLSocket)
                return client._socket.session_reused, external()(client)

        kept = await asyncio.to_thread(session)
        was_reused, said = await asyncio.to_thread(resumed, kept)
        assert was_reused
        assert said.startswith(b"+OK"), "a session that is resumed keeps its certificate"
        office.open_office.reload()
        was_reused, said = await asyncio.to_thread(resumed, kept)
        assert was_reused
        assert said == NOTHING_HERE
        assert (await at(office, "pop3s", bob.context(office), external())).startswith(b"+OK"), "a new session is asked"


async def test_a_reload_reads_who_may_sign_a_certificate(config: Config, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    other = Authority(tmp_path / "new")
    bob, eve = Person(authority, tmp_path / "bob", BOB), Person(other, tmp_path / "eve", EVE)
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        assert (await at(office, "pop3s", bob.context(office), external())).startswith(b"+OK")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await at(office, "pop3s", eve.context(office), external())
        authority.ca_path.write_bytes(other.ca_path.read_bytes())
        office.open_office.reload()
        for door in ("pop3", "pop3s", "submissions"):
            assert (await at(office, door, eve.context(office), external())).startswith((b"+OK", b"235"))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await at(office, door, bob.context(office), external())


async def test_the_log_says_that_it_was_a_certificate(config: Config, authority: Authority, tmp_path: Path) -> None:
    bob = Person(authority, tmp_path / "bob", BOB)
    with collected() as events:
        async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
            await at(office, "pop3s", bob.context(office), external())
    assert [facts["credential"] for name, facts in events if name == "pop3.closed"] == ["certificate"]


@pytest.mark.parametrize("door", ["pop3", "pop3s"])
async def test_fetch_logs_in_by_certificate(door: str, config: Config, authority: Authority, tmp_path: Path) -> None:
    bob = Person(authority, tmp_path / "bob", BOB)
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        source = Source("127.0.0.1", office.port(door), BOB, door == "pop3s", "EXTERNAL")
        await collect(source, MemoryMailbox(), Options("", bob.context(office)))
        with pytest.raises(UsageError, match="offers no login by the certificate"):
            await collect(source, MemoryMailbox(), Options("", tls.client_context(office.certificate)))


def test_what_is_wrong_in_the_settings_is_said(tmp_path: Path) -> None:
    (tmp_path / "office.toml").write_text("[login.certificates]\n'12:34' = 'bob@b.example'\n")
    with pytest.raises(UsageError, match=r"login\.certificates\.'12:34': a SHA-256 fingerprint has 64"):
        read_config(tmp_path / "office.toml")
    (tmp_path / "office.toml").write_text(f"[login.certificates]\n'{'ab' * 32}' = 'bob'\n")
    with pytest.raises(UsageError, match="'bob' is no mail address"):
        read_config(tmp_path / "office.toml")
    (tmp_path / "office.toml").write_text("[login.certificates]\n'12:34' = 5\n")
    with pytest.raises(UsageError, match=r"login\.certificates"):
        read_config(tmp_path / "office.toml")


def test_an_authority_that_is_none_ends_the_start(tmp_path: Path) -> None:
    pair = self_signed.make_self_signed(tmp_path, ["b.example"])
    for path in (tmp_path / "missing.pem", pair[1]):
        with pytest.raises(UsageError, match="cannot be used as an authority"):
            tls_server.server_context(*pair, path)


def test_loopback_without_tls_has_no_external() -> None:
    config = Config(login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)))

    async def run() -> bytes:
        async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}, config=config) as office:

            def talk() -> bytes:
                with Pop3Raw(office.port("pop3")) as client:
                    return external()(client)

            return await asyncio.to_thread(talk)

    assert asyncio.run(run()) == NOTHING_HERE
