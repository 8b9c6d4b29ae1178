"""Which hosts take the mail of a domain: what the settings say, else what the DNS says (RFC 5321 §5.1).

A route may also lead to a neighbour's mailboxes, by LMTP: at a port or, where `host` is a path, at a Unix socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from postoffice.errors import Refusal
from postoffice.net.dns import MailHost, Resolver
from postoffice.protocols.smtp.lmtp import LMTP_PORT

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Route:
    """An empty `host` means: ask the DNS, but come to `port`. With `lmtp` it is the neighbour's name or path."""

    host: str = ""
    port: int = SMTP_PORT
    lmtp: bool = False

    def problem(self) -> str:
        """What is wrong with it, in words; empty if nothing is."""
        if self.lmtp and not self.host:
            return "LMTP goes to a host or a Unix socket that is named, never where the DNS says"
        if self.host.startswith("/") and not self.lmtp:
            return "only LMTP goes to a Unix socket"
        return ""


class Way(NamedTuple):
    """Where to bring a letter: to the first of `hosts` that decides about it."""

    hosts: list[MailHost]
    port: int
    is_lmtp: bool = False


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """`routes` by domain; `*` is the route of all others (a smart host). `nameservers` empty: those of the system."""

    routes: dict[str, Route] = field(default_factory=dict)
    nameservers: tuple[tuple[str, int], ...] = ()


class Router:
    """Finds the way. `own_host` is who we are: a host list is cut before ourselves, or the letter would come back."""

    def __init__(self, settings: RouteSettings, own_host: str) -> None:
        self._settings = settings
        self._own_host = own_host
        self._resolver = Resolver(settings.nameservers or None)

    async def way(self, domain: str) -> Way:
        """The hosts to try, best first. Refusals as the DNS gives them."""
        route = self._settings.routes.get(domain) or self._settings.routes.get("*") or Route()
        if route.host:
            # 25 is forbidden to LMTP (RFC 2033 §5): there it means that no port is named.
            port = LMTP_PORT if route.lmtp and route.port == SMTP_PORT else route.port
            return Way([MailHost(route.host, 0)], port, route.lmtp)
        hosts = await self._resolver.mail_hosts(domain)
        ours = [host.preference for host in hosts if host.name == self._own_host]
        if ours:
            hosts = [host for host in hosts if host.preference < min(ours)]
            if not hosts:
                raise Refusal(
                    permanent=True,
                    status="4.6",
                    public="The domain's mail comes here, but it is not one of ours",
                    because=f"the best MX of {domain} is {self._own_host}",
                )
        return Way(hosts, route.port)

    async def addresses(self, host: MailHost) -> list[str]:
        """The IP addresses of a host; a path is its own."""
        if host.name.startswith("/"):
            return [host.name]
        return await self._resolver.addresses(host.name)
