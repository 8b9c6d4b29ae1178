"""Balancers say who is calling, at every door, before anything else; a stranger's header is noise."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest

from postoffice import counts
from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config, OfficeSettings
from postoffice.events import collected
from postoffice.net import gate
from postoffice.net.networks import is_in
from postoffice.protocols.proxy import SIGNATURE
from postoffice.store.memory import MemoryStore
from postoffice.testing.certificates import Authority
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.process import OfficeProcess, make_office, open_folder

BOB = {"bob@b.example": "secret"}
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
HEADER = b"PROXY TCP4 192.0.2.9 192.0.2.2 56324 110\r\n"
TCP4 = bytes([192, 0, 2, 9, 192, 0, 2, 2]) + b"\xdc\x04\0\x6e"
BY_TLS = b"\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3"
BINARY = SIGNATURE + b"\x21\x11\0\x0c" + TCP4
BINARY_BY_TLS = SIGNATURE + b"\x21\x11\0\x1e" + TCP4 + BY_TLS


def config(clear_text: str = "192.0.2.9/32") -> Config:
    networks = (ipaddress.ip_network(clear_text),)
    return Config(office=OfficeSettings(proxy_networks=LOOPBACK), login=LoginSettings(clear_text_networks=networks))


class Caller:
    """A connection to a door, as a balancer makes it."""

    def __init__(self, port: int, ca: Path) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._ca = ca

    def say(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def hear(self) -> bytes:
        """A line; nothing if the door was closed."""
        line = b""
        while not line.endswith(b"\n"):
            try:
                octet = self._socket.recv(1)
            except ConnectionResetError:
                return b""
            if not octet:
                break
            line += octet
        return line

    def ask(self, line: bytes) -> bytes:
        self.say(line + b"\r\n")
        return self.hear()

    def begin_tls(self, header: bytes) -> None:
        """A handshake whose first octets are in one packet with the header."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=self._ca)
        inside = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            inside.do_handshake()
        self.say(header + outgoing.read())
        while True:
            incoming.write(self._socket.recv(65536))
            try:
                inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.say(outgoing.read())
        self.say(outgoing.read())
        self.tls, self._incoming, self._outgoing = inside, incoming, outgoing

    def hear_inside(self) -> bytes:
        while True:
            try:
                return self.tls.read(1024)
            except ssl.SSLWantReadError:
                self._incoming.write(self._socket.recv(65536))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "HEADER_SECONDS", 0.2)


@pytest.mark.parametrize("header", [HEADER, BINARY])
@pytest.mark.parametrize(
    ("door", "greeting"), [("pop3", b"+OK"), ("smtp", b"220"), ("submission", b"220"), ("lmtp", b"220")]
)
async def test_every_door_believes_a_balancer(door: str, greeting: bytes, header: bytes) -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:

        def call() -> None:
            caller = Caller(office.port(door), office.certificate)
            caller.say(header + b"QUIT\r\n")
            assert caller.hear().startswith(greeting)
            assert caller.hear().startswith((b"+OK", b"221"))
            caller.close()

        with collected() as events:
            await asyncio.to_thread(call)
        closed = [facts["peer"] for name, facts in events if name == "smtp.closed"]
        assert closed == ([] if door == "pop3" else ["192.0.2.9"])


@pytest.mark.parametrize("header", [HEADER, BINARY], ids=["text", "binary"])
async def test_nobody_is_greeted_before_the_header_is_whole(header: bytes) -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:

        def call() -> None:
            caller = Caller(office.port("pop3"), office.certificate)
            for octet in header[:-1]:
                caller.say(bytes([octet]))
            caller._socket.settimeout(0.05)
            with pytest.raises(TimeoutError):
                caller._socket.recv(1)
            caller._socket.settimeout(20)
            caller.say(header[-1:])
            assert caller.hear().startswith(b"+OK")
            caller.close()

        await asyncio.to_thread(call)


async def test_the_header_comes_before_tls() -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:

        def call() -> None:
            for header in (HEADER, BINARY):
                caller = Caller(office.port("pop3s"), office.certificate)
                caller.begin_tls(header)
                assert caller.hear_inside().startswith(b"+OK")
                caller.close()

        await asyncio.to_thread(call)


@pytest.mark.parametrize(
    ("header", "clear_text", "answer"),
    [
        (HEADER, "192.0.2.9/32", b"+OK"),
        (HEADER, "127.0.0.0/8", b"-ERR"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.0/8", b"+OK"),
        (BINARY_BY_TLS, "198.51.100.0/24", b"+OK"),
    ],
    ids=["who is told may", "the balancer may not for him", "the balancer for itself", "who came by TLS"],
)
async def test_who_may_log_in_in_clear_is_the_caller_and_not_the_balancer(
    header: bytes, clear_text: str, answer: bytes
) -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config(clear_text)) as office:

        def call() -> None:
            caller = Caller(office.port("pop3"), office.certificate)
            caller.say(header)
            assert caller.hear().startswith(b"+OK")
            assert caller.ask(b"USER bob").startswith(answer)
            if answer == b"+OK":
                assert caller.ask(b"PASS secret").startswith(b"+OK")
                assert caller.ask(b"QUIT").startswith(b"+OK")
            caller.close()

        with collected() as events:
            await asyncio.to_thread(call)
        closed = [facts for name, facts in events if name == "pop3.closed"]
        if header is BINARY_BY_TLS:
            assert [(facts["peer"], facts["tls"]) for facts in closed] == [("192.0.2.9", "TLSv1.3")]


async def test_tls_at_the_balancer_is_not_begun_again() -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:

        def call() -> None:
            caller = Caller(office.port("pop3"), office.certificate)
            caller.say(BINARY_BY_TLS)
            caller.hear()
            assert caller.ask(b"STLS").startswith(b"-ERR")
            caller.close()

        await asyncio.to_thread(call)


@pytest.mark.parametrize(
    "noise",
    [b"USER bob\r\n", b"PROXY TCP4 here there 1 2\r\n", b"\x16\x03\x01\x02\0\x01\0\x01", SIGNATURE + b"\x21\x12\0\0"],
)
async def test_a_balancer_without_a_header_hears_nothing(noise: bytes) -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:

        def call() -> bytes:
            caller = Caller(office.port("pop3"), office.certificate)
            caller.say(noise)
            heard = caller.hear()
            caller.close()
            return heard

        before = counts.sheet[gate._REFUSED]
        with collected() as events:
            assert await asyncio.to_thread(call) == b""
        assert [facts["peer"] for name, facts in events if name == "proxy.refused"] == ["127.0.0.1"]
        assert counts.sheet[gate._REFUSED] == before + 1


async def test_a_balancer_that_says_nothing_is_not_waited_for(short_wait: None) -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:

        def call() -> bytes:
            caller = Caller(office.port("pop3"), office.certificate)
            caller.say(HEADER[:10])
            heard = caller.hear()
            caller.close()
            return heard

        with collected() as events:
            assert await asyncio.to_thread(call) == b""
        assert any("in time" in str(facts["because"]) for name, facts in events if name == "proxy.refused")


async def test_a_strangers_header_is_noise() -> None:
    elsewhere = Config(office=OfficeSettings(proxy_networks=(ipaddress.ip_network("198.51.100.0/24"),)))
    for settings in (Config(), elsewhere):
        async with run_office(MemoryStore(), "b.example", people=BOB, config=settings) as office:

            def call(office: TestOffice = office) -> None:
                caller = Caller(office.port("pop3"), office.certificate)
                assert caller.hear().startswith(b"+OK")
                assert caller.ask(HEADER.strip()).startswith(b"-ERR")
                assert caller.ask(b"QUIT").startswith(b"+OK")
                caller.close()

            await asyncio.to_thread(call)


async def test_who_waits_at_a_gate_does_not_keep_the_office_open() -> None:
    async with run_office(MemoryStore(), "b.example", people=BOB, config=config()) as office:
        caller = await asyncio.to_thread(Caller, office.port("pop3"), office.certificate)
        await asyncio.to_thread(caller.say, HEADER[:10])
    assert await asyncio.to_thread(caller.hear) == b""
    caller.close()


def test_every_worker_of_a_server_believes_its_balancer() -> None:
    with open_folder() as folder:
        authority = Authority()
        make_office(folder / "office", BOB, authority)
        settings = '[office]\nproxy_networks = ["127.0.0.0/8"]\n[login]\nclear_text_networks = ["192.0.2.9"]\n'
        with OfficeProcess(folder / "office", settings, ["--workers", "2"]) as office:
            for _ in range(6):
                caller = Caller(office.ports["pop3"], authority.ca_path)
                caller.say(BINARY + b"USER bob\r\nPASS secret\r\nQUIT\r\n")
                assert [caller.hear()[:3] for _ in range(4)] == [b"+OK"] * 4
                caller.close()
                caller = Caller(office.ports["pop3s"], authority.ca_path)
                caller.begin_tls(HEADER)
                assert caller.hear_inside().startswith(b"+OK")
                caller.close()
            assert office.stop() == 0
        closed = [event for event in office.events() if event["event"] == "pop3.closed"]
        assert [event["peer"] for event in closed] == ["192.0.2.9"] * 6


def test_an_ipv4_address_in_ipv6_is_in_its_network() -> None:
    assert is_in("::ffff:127.0.0.1", LOOPBACK)
    assert not is_in("::1", LOOPBACK)
    assert not is_in("", LOOPBACK)
