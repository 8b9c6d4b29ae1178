"""Where a domain's mail goes (RFC 5321 §5.1), asked of a real name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import dns.message
import dns.query
import pytest
import uvloop

from postoffice.errors import Refusal
from postoffice.events import collected
from postoffice.net.dns import MailHost, Resolver, Service
from postoffice.testing.dns import SILENT, FakeDNS, Records

ZONE: Mapping[str, Records] = {
    "b.example": {"MX": ["20 backup.b.example.", "10 mx1.b.example.", "10 MX2.b.example."]},
    "mx1.b.example": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
    "host.example": {"A": ["192.0.2.9"]},
    "six.example": {"AAAA": ["2001:db8::6"]},
    "alias.example": {"CNAME": ["host.example."]},
    "text.example": {"TXT": ['"nothing else"']},
    "null.example": {"MX": ["0 ."]},
    "_pop3s._tcp.b.example": {"SRV": ["20 0 995 c.b.example.", "10 1 995 B.b.example.", "10 9 9995 a.b.example."]},
    "_pop3s._tcp.null.example": {"SRV": ["0 0 0 ."]},
    "_pop3s._tcp.broken.example": "SERVFAIL",
    "broken.example": "SERVFAIL",
    "refusing.example": "REFUSED",
    "silent.example": SILENT,
    "large.example": {"MX": [f"{number} mx{number}.large.example." for number in range(200)]},
}


async def refusal_of(domain: str, *, timeout: float = 5.0) -> str:
    async with FakeDNS(ZONE) as server:
        with pytest.raises(Refusal) as caught:
            await Resolver([server.address], timeout).mail_hosts(domain)
        return caught.value.enhanced


async def test_hosts_come_by_preference() -> None:
    async with FakeDNS(ZONE) as server:
        hosts = await Resolver([server.address]).mail_hosts("b.example")
    assert sorted(hosts[:2]) == [MailHost("mx1.b.example", 10), MailHost("mx2.b.example", 10)]
    assert hosts[2:] == [MailHost("backup.b.example", 20)]


async def test_services_come_by_priority_and_weight() -> None:
    async with FakeDNS(ZONE) as server:
        resolver = Resolver([server.address])
        assert await resolver.services("b.example", "_pop3s._tcp") == [
            Service(10, 9, "a.b.example", 9995),
            Service(10, 1, "b.b.example", 995),
            Service(20, 0, "c.b.example", 995),
        ]
        for domain in ("null.example", "host.example", "nowhere.example"):
            assert await resolver.services(domain, "_pop3s._tcp") == []
        with pytest.raises(Refusal, match="cannot be looked up now"):
            await resolver.services("broken.example", "_pop3s._tcp")


async def test_equal_hosts_share_the_load() -> None:
    async with FakeDNS(ZONE) as server:
        resolver = Resolver([server.address])
        firsts = {(await resolver.mail_hosts("b.example"))[0].name for _ in range(100)}
    assert firsts == {"mx1.b.example", "mx2.b.example"}


@pytest.mark.parametrize("domain", ["host.example", "six.example"])
async def test_a_domain_without_mx_is_its_own_host(domain: str) -> None:
    async with FakeDNS(ZONE) as server:
        assert await Resolver([server.address]).mail_hosts(domain) == [MailHost(domain, 0)]


async def test_what_the_dns_denies_is_permanent() -> None:
    assert await refusal_of("null.example") == "5.1.10"
    assert await refusal_of("nobody.example") == "5.1.2"
    assert await refusal_of("text.example") == "5.4.4"
    assert await refusal_of("x" * 64 + ".example") == "5.1.2"
    assert await refusal_of("a..example") == "5.1.2"


async def test_what_the_dns_fails_to_say_is_temporary() -> None:
    assert await refusal_of("broken.example") == "4.4.3"
    assert await refusal_of("refusing.example") == "4.4.3"
    assert await refusal_of("silent.example", timeout=0.2) == "4.4.3"


async def test_a_name_server_that_is_not_there_is_temporary() -> None:
    async with FakeDNS({}) as server:
        address = server.address
    with pytest.raises(Refusal) as caught:
        await Resolver([address], 0.3).mail_hosts("b.example")
    assert caught.value.enhanced == "4.4.3"


async def test_a_host_has_addresses_of_both_kinds_ipv4_first() -> None:
    async with FakeDNS(ZONE) as server:
        resolver = Resolver([server.address])
        addresses = await resolver.addresses("mx1.b.example")
        assert set(addresses[:2]) == {"192.0.2.1", "192.0.2.2"}  # a server gives equals in any order
        assert addresses[2:] == ["2001:db8::1"]
        assert await resolver.addresses("six.example.") == ["2001:db8::6"]


async def test_a_host_without_address_is_refused_for_good() -> None:
    async with FakeDNS(ZONE) as server:
        with pytest.raises(Refusal) as caught:
            await Resolver([server.address]).addresses("text.example")
    assert caught.value.enhanced == "5.4.4"


@pytest.mark.parametrize(
    ("name", "address"),
    [("[192.0.2.7]", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"), ("[IPv6:2001:db8:0::7]", "2001:db8::7")],
)
async def test_an_address_is_its_own_answer_and_nobody_is_asked(name: str, address: str) -> None:
    async with FakeDNS({}) as server:
        resolver = Resolver([server.address])
        assert await resolver.mail_hosts(name) == [MailHost(address, 0)]
        assert await resolver.addresses(name) == [address]
    assert server.questions == []


async def test_an_answer_is_remembered_while_it_lives() -> None:
    async with FakeDNS(ZONE, ttl=60) as server:
        resolver = Resolver([server.address])
        await resolver.mail_hosts("b.example")
        await resolver.mail_hosts("b.example")
        assert server.questions == [("b.example", "MX")]
    async with FakeDNS(ZONE, ttl=0) as server:
        resolver = Resolver([server.address])
        await resolver.mail_hosts("b.example")
        await resolver.mail_hosts("b.example")
        assert server.questions == [("b.example", "MX")] * 2


async def test_an_answer_too_large_for_udp_comes_by_tcp() -> None:
    async with FakeDNS(ZONE) as server:
        assert len(await Resolver([server.address]).mail_hosts("large.example")) == 200
        assert server.questions == [("large.example", "MX")] * 2


async def test_a_look_up_is_told_as_an_event() -> None:
    async with FakeDNS(ZONE) as server:
        with collected() as told:
            await Resolver([server.address]).mail_hosts("host.example")
    assert told == [("dns.mail_hosts", {"domain": "host.example", "hosts": "host.example"})]


def test_it_works_on_the_servers_own_loop() -> None:
    async def ask() -> list[MailHost]:
        async with FakeDNS(ZONE) as server:
            return await Resolver([server.address]).mail_hosts("large.example")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert len(runner.run(ask())) == 200


async def test_the_zone_answers_any_client_and_ignores_what_is_no_question() -> None:
    async with FakeDNS(ZONE) as server:
        host, port = server.address
        assert server.reply(b"\0garbage", 512) is None

        def ask(name: str, kind: str) -> dns.message.Message:
            return dns.query.udp(dns.message.make_query(name, kind), host, 5, port)

        alias = await asyncio.to_thread(ask, "alias.example", "A")
        assert [str(one) for one in alias.answer] == ["alias.example. 60 IN CNAME host.example."]
        parent = await asyncio.to_thread(ask, "example", "MX")
        assert (parent.rcode(), parent.answer) == (0, [])


async def test_the_name_server_closes_on_clients_that_stay() -> None:
    async with FakeDNS(ZONE) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        query = dns.message.make_query("host.example", "A").to_wire()
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = dns.message.from_wire(await reader.readexactly(size))
        assert [str(one) for one in answer.answer] == ["host.example. 60 IN A 192.0.2.9"]
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
