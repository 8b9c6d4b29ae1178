"""SCRAM at the doors: announced where it works for everybody, bound to TLS, and the same for those who are not here."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from postoffice.accounts.login import LoginSettings
from postoffice.accounts.verifiers import of_own_with_scram
from postoffice.app.config import Config
from postoffice.client.collect import Options, collect
from postoffice.client.url import Source
from postoffice.errors import RemoteProtocolError
from postoffice.net import self_signed, tls, tls_server
from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl.server import SCRAM, Channel, Claim
from postoffice.store.base import Store
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.store.model import Credential
from postoffice.testing.office import TestOffice, add_person, run_office
from postoffice.testing.peer import Pop3Peer
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB, SECRET = "bob@b.example", "mật khẩu"
CLEAR = Config(login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)))
WITHOUT_PLUS = [name for name in SCRAM if not name.endswith(b"-PLUS")]

T = TypeVar("T")


async def at(office: TestOffice, door: str, talk: Callable[[RawClient, bytes], T]) -> T:
    """Talk to a door in a thread; with the end point where the door has TLS from the beginning."""
    return await asyncio.to_thread(_at, office, door, talk)


def _at(office: TestOffice, door: str, talk: Callable[[RawClient, bytes], T]) -> T:
    context = tls.client_context(office.certificate) if door.endswith("s") else None
    kind = Pop3Raw if door.startswith("pop3") else SmtpRaw
    with kind(office.port(door), context) as client:
        return talk(client, _end_point(office.certificate) if context else b"")


def _end_point(certificate: Path) -> bytes:
    return tls_server.server_context(certificate, certificate.with_name("key.pem")).end_point


def authenticate(client: RawClient, mechanism: bytes, claim: Claim, channel: Channel) -> bytes:
    """A whole exchange; the server's last line, and the client's word that the server proved itself."""
    exchange = sasl.begin(mechanism, claim, channel)
    client.say(b" ".join((b"AUTH", mechanism, exchange.initial or b"")).strip() + b"\r\n")
    while (line := client.line()).startswith((b"+ ", b"334 ")):
        client.say(exchange.step(line.partition(b" ")[2]) + b"\r\n")
    assert exchange.is_satisfied or not line.startswith((b"+OK", b"235")), "the server proved nothing"
    return line


def login(mechanism: bytes, username: str, password: str) -> Callable[[RawClient, bytes], bytes]:
    """A login that is bound if the mechanism does that."""

    def talk(client: RawClient, end_point: bytes) -> bytes:
        if isinstance(client, SmtpRaw):
            client.ask("EHLO a.example")
        channel = Channel(end_point if mechanism.endswith(b"-PLUS") else b"")
        return authenticate(client, mechanism, Claim("", username, password), channel)

    return talk


def pop3_mechanisms(client: RawClient, _: bytes) -> list[bytes]:
    client.say(b"CAPA\r\n")
    assert client.line().startswith(b"+OK")
    listed = client.block().split(b"\r\n")
    client.say(b"AUTH\r\n")
    assert client.line().startswith(b"+OK")
    assert client.block().split() == next(line.split()[1:] for line in listed if line.startswith(b"SASL "))
    return next(line.split()[1:] for line in listed if line.startswith(b"SASL "))


def smtp_mechanisms(client: RawClient, _: bytes) -> list[bytes]:
    assert isinstance(client, SmtpRaw)
    client.say(b"EHLO a.example\r\n")
    return next(line.encode().split()[1:] for line in client.reply()[1] if line.startswith("AUTH "))


async def test_scram_is_announced_where_everybody_can_use_it(store: Store) -> None:
    plain = [b"PLAIN", b"LOGIN"]
    async with run_office(store, "b.example", people={BOB: SECRET}, scram=True, config=CLEAR) as office:
        assert await at(office, "pop3", pop3_mechanisms) == [*WITHOUT_PLUS, *plain]
        assert await at(office, "pop3s", pop3_mechanisms) == [*SCRAM, *plain]
        assert await at(office, "submission", smtp_mechanisms) == [*WITHOUT_PLUS, *plain]
        assert await at(office, "submissions", smtp_mechanisms) == [*SCRAM, *plain]
        carol = await add_person(store, "carol@b.example", "another")
        assert await at(office, "pop3s", pop3_mechanisms) == plain
        assert await at(office, "submissions", smtp_mechanisms) == plain
        await store.directory.remove_account(carol.account_id)
        assert await at(office, "pop3s", pop3_mechanisms) == [*SCRAM, *plain]


@pytest.mark.parametrize("door", ["pop3s", "submissions"])
async def test_the_right_password_opens_by_every_mechanism_and_a_wrong_one_by_none(door: str) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True) as office:
        for mechanism in SCRAM:
            for username, password, answers in (
                (BOB, SECRET, (b"+OK bob@b.example", b"235 2.7.0")),
                ("bob", SECRET, (b"+OK bob@b.example", b"235 2.7.0")),
                (BOB, "guess", (b"-ERR [AUTH] user name or password is wrong", b"535 5.7.8")),
            ):
                answer = await at(office, door, login(mechanism, username, password))
                assert answer.startswith(answers), (mechanism, username, password)


async def test_a_password_by_plain_and_by_scram_is_the_same_password(store: Store) -> None:
    async with run_office(store, "b.example", people={BOB: SECRET}, scram=True, config=CLEAR) as office:
        for mechanism in (b"PLAIN", b"LOGIN", b"SCRAM-SHA-256"):
            answer = await at(office, "pop3", login(mechanism, BOB, SECRET))
            assert answer.startswith(b"+OK")


def first_reply(client: RawClient, username: str) -> dict[bytes, bytes]:
    """What the server tells about a name before it knows who asks, but for the nonce."""
    said = base64.b64encode(f"n,,n={username},r=abc".encode())
    client.say(b"AUTH SCRAM-SHA-256 " + said + b"\r\n")
    facts = base64.b64decode(client.line().removeprefix(b"+ ")).split(b",")
    client.say(b"*\r\n")
    assert client.line().startswith(b"-ERR")
    return {fact[:1]: fact[2:] for fact in facts if not fact.startswith(b"r=")}


async def test_who_is_not_here_cannot_be_told_from_who_is(store: Store) -> None:
    names = [BOB, "bob", "carol@b.example", "nobody@b.example", "nobody@elsewhere.example"]
    replies = []
    for _ in range(2):
        people = {BOB: SECRET} if not await store.directory.accounts() else {}
        async with run_office(store, "b.example", people=people, scram=True, config=CLEAR) as office:
            if people:
                await add_person(store, "carol@b.example", "no SCRAM")
            replies.append(await at(office, "pop3", lambda client, _: [first_reply(client, name) for name in names]))
            wrong = {await at(office, "pop3", login(b"SCRAM-SHA-256", name, "x")) for name in names}
            assert wrong == {b"-ERR [AUTH] user name or password is wrong"}
    assert replies[0] == replies[1], "a name has another salt after a restart"
    assert replies[0][0] == replies[0][1], "bob and bob@b.example are one"
    facts = replies[0][1:]
    assert len({reply[b"s"] for reply in facts}) == len(facts), "every name has its own salt"
    assert len({(len(reply[b"s"]), reply[b"i"]) for reply in facts}) == 1, "salts and counts look alike"


async def test_every_password_of_an_account_is_right_by_scram() -> None:
    store = MemoryStore()
    async with run_office(store, "b.example", people={BOB: SECRET}, scram=True, config=CLEAR) as office:
        account = await office.account(BOB)
        phone = of_own_with_scram("telephone", BOB, await store.directory.secret())
        await store.directory.set_credential(Credential(account.account_id, "phone", phone))
        for password in (SECRET, "telephone"):
            answer = await at(office, "pop3", login(b"SCRAM-SHA-512", BOB, password))
            assert answer.startswith(b"+OK")


async def test_a_client_that_was_lied_to_about_plus_is_refused() -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True) as office:

        def talk(client: RawClient, end_point: bytes) -> list[bytes]:
            claim = Claim("", BOB, SECRET)
            return [
                authenticate(client, b"SCRAM-SHA-256", claim, Channel(end_point)),
                authenticate(client, b"SCRAM-SHA-256-PLUS", claim, Channel(b"of somebody in between")),
                authenticate(client, b"SCRAM-SHA-256-PLUS", claim, Channel(end_point)),
            ]

        lied, passed_on, right = await at(office, "pop3s", talk)
        assert lied == b"-ERR SCRAM: server-does-support-channel-binding"
        assert passed_on == b"-ERR SCRAM: channel-bindings-dont-match"
        assert right.startswith(b"+OK")


async def test_where_no_binding_is_wanted_no_plus_is_told_or_taken_and_who_says_so_gets_in() -> None:
    config = Config(login=LoginSettings(channel_binding=False))
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True, config=config) as office:
        told = [*WITHOUT_PLUS, b"PLAIN", b"LOGIN"]
        assert await at(office, "pop3s", pop3_mechanisms) == told
        assert await at(office, "submissions", smtp_mechanisms) == told

        def talk(client: RawClient, end_point: bytes) -> list[bytes]:
            claim = Claim("", BOB, SECRET)
            client.say(b"AUTH SCRAM-SHA-256-PLUS\r\n")
            return [client.line(), authenticate(client, b"SCRAM-SHA-256", claim, Channel(end_point))]

        refused, told_of_none = await at(office, "pop3s", talk)
        assert refused == b"-ERR no such mechanism here"
        assert told_of_none.startswith(b"+OK")


async def test_a_login_is_bound_to_the_certificate_of_its_own_connection() -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True) as office:
        before = _end_point(office.certificate)
        claim = Claim("", BOB, SECRET)

        def talk(client: RawClient, end_point: bytes) -> bytes:
            return authenticate(client, b"SCRAM-SHA-1-PLUS", claim, Channel(end_point))

        assert (await at(office, "pop3s", talk)).startswith(b"+OK")
        self_signed.make_self_signed(office.certificate.parent, ["b.example", "localhost", "127.0.0.1"])
        office.open_office.reload()
        assert _end_point(office.certificate) != before
        assert (await at(office, "pop3s", talk)).startswith(b"+OK")
        stale = await at(office, "pop3s", lambda client, _: talk(client, before))
        assert stale == b"-ERR SCRAM: channel-bindings-dont-match"


async def test_a_session_resumed_from_another_certificate_is_told_of_no_plus() -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True) as office:
        context = tls.client_context(verify=False)

        def mechanisms(session: ssl.SSLSession | None) -> tuple[list[str], ssl.SSLSession | None, bool | None]:
            connection = socket.create_connection(("127.0.0.1", office.port("pop3s")), timeout=20)
            with context.wrap_socket(connection, session=session) as secured, secured.makefile("rwb") as file:
                file.write(b"CAPA\r\n")
                file.flush()
                listed = iter(lambda: file.readline().decode().split(), ["."])
                found = next(words[1:-2] for words in listed if words[0] == "SASL")
                return found, secured.session, secured.session_reused

        scram, without_plus = [name.decode() for name in SCRAM], [name.decode() for name in WITHOUT_PLUS]
        found, session, is_resumed = await asyncio.to_thread(mechanisms, None)
        assert (found, is_resumed) == (scram, False)
        found, session, is_resumed = await asyncio.to_thread(mechanisms, session)
        assert (found, is_resumed) == (scram, True)
        self_signed.make_self_signed(office.certificate.parent, ["b.example", "localhost", "127.0.0.1"])
        office.open_office.reload()
        found, _, is_resumed = await asyncio.to_thread(mechanisms, session)
        assert (found, is_resumed) == (without_plus, True)


# --- our own client


async def said_by_fetch(source: Source, options: Options) -> list[bytes]:
    """The command lines of a pull."""
    said = bytearray()
    heard = options._replace(tracer=lambda _: lambda who, octets: said.extend(octets if who == "C" else b""))
    report = await collect(source, MemoryMailbox(), heard)
    assert report.letters == 0
    return bytes(said).splitlines()


@pytest.mark.parametrize("mechanism", ["*", *(name.decode() for name in SCRAM)])
@pytest.mark.parametrize("door", ["pop3", "pop3s"])
async def test_fetch_logs_in_by_scram_and_says_no_password(mechanism: str, door: str) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True) as office:
        source = Source("127.0.0.1", office.port(door), BOB, door == "pop3s", mechanism)
        said = await said_by_fetch(source, Options(SECRET, tls.client_context(office.certificate)))
    chosen = b"SCRAM-SHA-512-PLUS" if mechanism == "*" else mechanism.encode()
    assert [line.split()[1] for line in said if line.startswith(b"AUTH ")] == [chosen]
    assert not any(base64.b64encode(SECRET.encode()) in line for line in said)


@pytest.mark.parametrize("answer", [b"+OK welcome\r\n", b"+ \r\n+OK welcome\r\n", b"+ dj1BQUFB\r\n+OK welcome\r\n"])
async def test_fetch_believes_no_server_that_does_not_know_the_password(answer: bytes) -> None:
    peer = Pop3Peer({}, ("SASL SCRAM-SHA-256",), says={"AUTH": answer, "*": b"", "": b""})
    async with peer.listening() as port:
        with pytest.raises(RemoteProtocolError, match="did not show that it knows the password"):
            await collect(Source("127.0.0.1", port, BOB), MemoryMailbox(), Options(SECRET))
