"""Where a domain's mail goes, the look-up of RFC 5321 §5.1; and who offers other services of it (RFC 2782).

MX hosts by preference, equal ones in an order of chance so that they share the load; without MX the domain itself,
if it has an address; a null MX means that it takes no mail at all (RFC 7505). What the DNS denies is a permanent
refusal; what it fails to say is a temporary one, because a broken name server must not cost anybody a letter.

An address literal (`[192.0.2.1]`) or a bare IP address is its own answer and is never looked up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from postoffice.errors import Refusal
from postoffice.events import event

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as Stub

CACHED_ANSWERS = 10_000


class MailHost(NamedTuple):
    """A host that takes mail for a domain; the lowest preference comes first."""

    name: str
    preference: int


class Service(NamedTuple):
    """A host and port that offer a service of a domain; the lowest priority comes first (RFC 2782)."""

    priority: int
    weight: int
    name: str
    port: int


class Resolver:
    """Asks name servers and remembers their answers as long as they allow.

    `nameservers` are (IP address, port); None means those of this system. `timeout` is in seconds and for one
    question, retries included. Its methods must run inside a task.
    """

    def __init__(self, nameservers: Sequence[tuple[str, int]] | None = None, timeout: float = 10.0) -> None:
        self._nameservers = nameservers
        self._timeout = timeout
        self._stub: Stub | None = None

    async def mail_hosts(self, domain: str) -> list[MailHost]:
        """The hosts to try, best first; never empty. Raises Refusal."""
        literal = _literal(domain)
        if literal is not None:
            return [MailHost(literal, 0)]
        records = await self._ask(domain, "MX")
        offered = [MailHost(_host(record.exchange), record.preference) for record in records]
        hosts = [host for host in offered if host.name]
        if offered and not hosts:
            raise Refusal(True, "1.10", "The domain takes no mail", f"{domain} has a null MX")
        if not hosts:
            await self.addresses(domain)  # refuses if there are none; else the domain is its own host
            hosts = [MailHost(domain, 0)]
        random.shuffle(hosts)
        hosts.sort(key=lambda host: host.preference)
        event("dns.mail_hosts", domain=domain, hosts=" ".join(host.name for host in hosts))
        return hosts

    async def services(self, domain: str, service: str) -> list[Service]:
        """Who offers `_pop3s._tcp` or another service of a domain, best first; none where the domain says nothing, or
        that nobody does (RFC 2782, a target of the root). Raises Refusal where it cannot be asked now."""
        try:
            records = await self._ask(f"{service}.{domain}", "SRV")
        except Refusal as refusal:
            if refusal.permanent:
                return []
            raise
        found = [Service(record.priority, record.weight, _host(record.target), record.port) for record in records]
        offered = [one for one in found if one.name]
        random.shuffle(offered)
        return sorted(offered, key=lambda one: (one.priority, -one.weight))

    async def addresses(self, name: str) -> list[str]:
        """The IP addresses of a host, IPv4 first; never empty. Raises Refusal."""
        literal = _literal(name)
        if literal is not None:
            return [literal]
        # IPv4 first: fewer receivers distrust it for want of a reverse name.
        answers = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"), return_exceptions=True)
        found: list[str] = []
        refusals: list[Refusal] = []
        for answer in answers:
            if isinstance(answer, Refusal):
                refusals.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found += [record.address for record in answer]
        if found:
            return found
        # If one kind of address is unknown for now, the host may well have one.
        for refusal in sorted(refusals, key=lambda refusal: refusal.permanent):
            raise refusal
        raise Refusal(True, "4.4", "The mail host has no address", f"{name} has neither A nor AAAA")

    async def _ask(self, name: str, kind: str) -> list[Any]:
        """The records of one kind, as dnspython has them; none if the name exists without. Raises Refusal."""
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            stub = self._stub or self._make_stub()
            answer = await stub.resolve(name.removesuffix(".") + ".", kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            raise Refusal(True, "1.2", "The domain does not exist", f"{name} {kind}: NXDOMAIN") from error
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel) as error:
            raise Refusal(True, "1.2", "The domain name cannot exist", f"{name}: {error}") from error
        except (dns.exception.DNSException, OSError) as error:
            raise Refusal(False, "4.3", "The domain cannot be looked up now", f"{name} {kind}: {error}") from error
        return list(answer.rrset or ())

    def _make_stub(self) -> Stub:
        """On first need: the import alone costs 0.2 s, and a server that only receives never asks."""
        import dns.asyncresolver
        import dns.nameserver
        import dns.resolver

        stub = dns.asyncresolver.Resolver(configure=self._nameservers is None)
        if self._nameservers is not None:
            stub.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._nameservers]
        stub.lifetime = self._timeout
        stub.cache = dns.resolver.LRUCache(CACHED_ANSWERS)
        self._stub = stub
        return stub


def _host(exchange: object) -> str:
    """A name without its final dot, in lower case; empty for the root, which is what a null MX names."""
    return str(exchange).removesuffix(".").lower()


def _literal(name: str) -> str | None:
    """The IP address that `name` is, with or without the brackets of RFC 5321 §4.1.3."""
    inside = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if inside[:5].lower() == "ipv6:":
        inside = inside[5:]
    try:
        return str(ip_address(inside))
    except ValueError:
        return None
