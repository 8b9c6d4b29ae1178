"""Where a maildrop is, found by real DNS, a real web server and real POP3 servers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.client.login import Trust
from postoffice.client.url import Source, format_url, parse_url
from postoffice.home import autoconfig
from postoffice.home.discovery import Candidate, Discovery
from postoffice.home.https import PAGE_OCTETS, Web
from postoffice.net.dns import Resolver
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.testing.certificates import Authority
from postoffice.testing.dns import FakeDNS, Records
from postoffice.testing.peer import Pop3Peer
from postoffice.testing.web import Web as WebServer

ADDRESS = "bob@b.example"
HERE = {"A": ["127.0.0.1"]}
CONFIG = "/mail/config-v1.1.xml"


def document(*servers: str) -> bytes:
    return (
        '<clientConfig version="1.1"><emailProvider id="b.example"><domain>b.example</domain>'
        f'{"".join(servers)}<outgoingServer type="smtp"><hostname>smtp.b.example</hostname></outgoingServer>'
        "</emailProvider></clientConfig>"
    ).encode()


def server(host: str, port: object, kind: str = "SSL", *, user: str = "%EMAILADDRESS%", protocol: str = "pop3") -> str:
    return (
        f'<incomingServer type="{protocol}"><hostname>{host}</hostname><port>{port}</port>'
        f"<socketType>{kind}</socketType><username>{user}</username><authentication>password-cleartext</authentication></incomingServer>"
    )


@dataclass(slots=True)
class World:
    """Everything that is asked: names, pages, and POP3 servers with a certificate for their name."""

    authority: Authority
    folder: Path
    zone: dict[str, Records] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def pop3(self, *names: str) -> AsyncIterator[int]:
        folder = self.folder / names[0]
        folder.mkdir()
        tls = server_context(*self.authority.issue(names, folder))
        async with Pop3Peer({}).listening(tls) as port:
            yield port

    async def found(
        self, web_port: int = 1, *, ways: tuple[tuple[int, bool], ...] = (), address: str = ADDRESS, ispdb: bool = False
    ) -> Candidate | None:
        async with FakeDNS(self.zone) as names:
            web = Web(Resolver([names.address], 5.0), client_context(self.authority.ca_path), web_port)
            trust = Trust(ca=self.authority.ca_path)
            discovery = Discovery(address, web, trust, ways=ways, asks_ispdb=ispdb)
            found = [candidate async for candidate in discovery.answering()]
            self.questions = names.questions
        return found[0] if found else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Authority(tmp_path), tmp_path)


@pytest.fixture
def site(world: World) -> Iterator[WebServer]:
    """The web servers of both names under which a domain tells of its mail."""
    folder = world.folder / "site"
    folder.mkdir()
    names = ("autoconfig.b.example", "b.example", "elsewhere.example", "autoconfig.thunderbird.net")
    world.zone |= dict.fromkeys(names, HERE)
    with WebServer(*world.authority.issue(names, folder), {}) as web:
        yield web


async def test_srv_with_tls_goes_before_all_else(world: World) -> None:
    async with world.pop3("mail.b.example") as port, world.pop3("other.b.example") as other:
        world.zone |= {
            "_pop3s._tcp.b.example": {"SRV": [f"20 1 {other} other.b.example.", f"10 1 {port} mail.b.example."]},
            "mail.b.example": HERE,
            "other.b.example": HERE,
        }
        found = await world.found()
    assert found == Candidate(Source("mail.b.example", port, ADDRESS, implicit_tls=True), "SRV")


async def test_a_server_that_does_not_answer_is_passed_over(world: World) -> None:
    async with world.pop3("other.b.example") as other, Pop3Peer({}).listening() as plain:
        world.zone |= {
            "_pop3s._tcp.b.example": {
                "SRV": ["10 1 1 gone.b.example.", f"20 1 {plain} plain.b.example.", f"30 1 {other} other.b.example."]
            },
            "gone.b.example": HERE,
            "plain.b.example": HERE,
            "other.b.example": HERE,
        }
        found = await world.found()
    assert found is not None
    assert found.source.host == "other.b.example"


async def test_a_certificate_for_another_name_is_no_answer(world: World) -> None:
    async with world.pop3("evil.example") as port:
        world.zone |= {"_pop3s._tcp.b.example": {"SRV": [f"1 1 {port} pop.b.example."]}, "pop.b.example": HERE}
        assert await world.found() is None


async def test_a_host_outside_of_the_domain_is_foreign(world: World) -> None:
    async with world.pop3("pop.provider.example", "xb.example") as port:
        for host in ("pop.provider.example", "xb.example"):
            world.zone |= {"_pop3s._tcp.b.example": {"SRV": [f"1 1 {port} {host}."]}, host: HERE}
            found = await world.found()
            assert found is not None
            assert found.is_foreign, host


async def test_a_domain_that_says_there_is_no_service_is_believed(world: World) -> None:
    world.zone |= {"_pop3s._tcp.b.example": {"SRV": ["0 0 0 ."]}, "_pop3._tcp.b.example": "SERVFAIL"}
    assert await world.found() is None


@pytest.mark.parametrize("path", [CONFIG, f"/.well-known/autoconfig{CONFIG}"])
async def test_autoconfig_is_read_at_either_place(world: World, site: WebServer, path: str) -> None:
    async with world.pop3("in.b.example") as port:
        world.zone["in.b.example"] = HERE
        site.pages[path] = b'<?xml version="1.0" encoding="UTF-8"?>' + document(
            server("imap.b.example", 993, protocol="imap"),
            server("in.b.example", port, "plain"),
            server("in.b.example", port, user="%EMAILLOCALPART%.%EMAILDOMAIN%"),
        )
        found = await world.found(site.port)
    source = Source("in.b.example", port, "bob.b.example", implicit_tls=True)
    assert found == Candidate(source, "autoconfig", is_user_told=True)
    assert ("autoconfig.b.example", f"{CONFIG}?emailaddress={ADDRESS}") in site.asked


async def test_a_server_that_takes_tokens_only_is_told_as_one(world: World, site: WebServer) -> None:
    async with world.pop3("in.b.example") as port:
        world.zone["in.b.example"] = HERE
        site.pages[CONFIG] = document(server("in.b.example", port).replace("password-cleartext", "OAuth2"))
        found = await world.found(site.port)
    assert found is not None
    assert (found.wants_token, found.source.mechanism) == (True, "OAUTHBEARER")


async def test_autoconfig_that_moved_is_followed_by_https_only(world: World, site: WebServer) -> None:
    async with world.pop3("in.b.example") as port:
        world.zone["in.b.example"] = HERE
        site.pages |= {CONFIG: "https://elsewhere.example/it", "/it": document(server("in.b.example", port))}
        assert await world.found(site.port) is not None
        for where in ("http://elsewhere.example/it", "https://elsewhere.example:1/it", "//127.0.0.1/it", CONFIG):
            site.pages[CONFIG] = where
            assert await world.found(site.port) is None, where


async def test_a_page_without_end_is_not_read_to_its_end(world: World, site: WebServer) -> None:
    async with world.pop3("in.b.example") as port:
        world.zone["in.b.example"] = HERE
        page = document(server("in.b.example", port))
        site.pages[CONFIG] = page.ljust(PAGE_OCTETS)
        assert await world.found(site.port) is not None
        site.pages[CONFIG] = page.ljust(PAGE_OCTETS + 1)
        assert await world.found(site.port) is None


async def test_a_third_party_is_asked_only_if_a_person_says_so(world: World, site: WebServer) -> None:
    async with world.pop3("in.b.example") as port:
        world.zone["in.b.example"] = HERE
        site.pages["/v1.1/b.example"] = document(server("in.b.example", port))
        assert await world.found(site.port) is None
        assert not any("thunderbird" in name for name, _ in world.questions)
        assert await world.found(site.port, ispdb=True) is not None


async def test_who_takes_the_mail_may_give_it_out(world: World) -> None:
    async with world.pop3("pop.host.example") as port:
        world.zone |= {"b.example": {"MX": ["1 mx7.host.example."]}, "pop.host.example": HERE, "mx7.host.example": HERE}
        found = await world.found(ways=((port, True),))
    source = Source("pop.host.example", port, ADDRESS, implicit_tls=True)
    assert found == Candidate(source, "MX and a guess", is_foreign=True)


async def test_usual_names_are_guessed_last(world: World) -> None:
    async with world.pop3("mail.b.example", "b.example") as port:
        world.zone |= {"b.example": HERE, "mail.b.example": HERE}
        found = await world.found(ways=((port, True),))
    assert found == Candidate(Source("mail.b.example", port, ADDRESS, implicit_tls=True), "a guess")


@pytest.mark.parametrize(
    ("address", "mx", "host"),
    [
        ("joe@gmail.com", "", "pop.gmail.com"),
        ("joe@b.example", "aspmx.l.google.com.", "pop.gmail.com"),
        ("joe@b.example", "b-example.mail.protection.outlook.com.", "outlook.office365.com"),
    ],
)
async def test_a_provider_that_is_known_wants_a_token(world: World, address: str, mx: str, host: str) -> None:
    world.zone |= {"b.example": {"MX": [f"1 {mx}"]}} if mx else {}
    async with FakeDNS(world.zone) as names:
        web = Web(Resolver([names.address], 5.0), client_context(), 1)
        groups = [group async for group in Discovery(address, web, Trust(), ways=())._groups()]
    [candidate] = [candidate for group in groups for candidate in group]
    assert candidate.source == Source(host, 995, address, implicit_tls=True)
    assert candidate.wants_token
    assert candidate.is_foreign == bool(mx)


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html><p>Not found</html>",
        BOMB + document(server("pop.b.example", 995)),
        FILE + document(server("&a;", 995)),
        BOMB + document(server("pop.b.example", 995), "&b;"),
        b"<!DOCTYPE a>" + document(server("pop.b.example", 995)),
        document(server("pop.b.example", 995))[:-9],
        document(server("pop.b.example", "")).replace(b"</port>", b"99999</port>"),
        document(server("pop.b.example\r\nx", 995)),
        document(server("pop.b.example/x", 995)),
        document(server("evil@pop.b.example", 995)),
        document(server("pop.b.example", 995, user="a&#10;b")),
        document(server("pop.b.example", 995, "plain")),
        document(server("x" * 100_000, 995)),
        document(server("pop.b.example", "\uff19")),
    ],
)
def test_a_document_that_is_no_such_document_names_no_server(page: bytes) -> None:
    assert autoconfig.parse(page, ADDRESS) == []


def test_nested_elements_do_not_break_the_reader() -> None:
    assert autoconfig.parse(b"<a>" * 50_000 + b"</a>" * 50_000, ADDRESS) == []


@given(st.binary(max_size=300), st.integers(0, 500), st.integers(0, 500))
def test_any_octets_are_read_or_passed_over(octets: bytes, begin: int, end: int) -> None:
    page = document(server("pop.b.example", 995))
    for told in autoconfig.parse(page[:begin] + octets + page[end:], ADDRESS):
        assert parse_url(format_url(told.source)) == told.source
