"""Which hosts take the mail of a domain: what the settings say, else what the DNS says (RFC 5321 §5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from postoffice.errors import Refusal
from postoffice.net.dns import MailHost, Resolver

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Route:
    """An empty `host` means: ask the DNS, but come to `port`."""

    host: str = ""
    port: int = SMTP_PORT


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

    async def hosts(self, domain: str) -> tuple[list[MailHost], int]:
        """The hosts to try, best first, and the port. Refusals as the DNS gives them."""
        route = self._settings.routes.get(domain) or self._settings.routes.get("*") or Route()
        if route.host:
            return [MailHost(route.host, 0)], route.port
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
        return hosts, route.port

    async def addresses(self, host: MailHost) -> list[str]:
        """The IP addresses of a host."""
        return await self._resolver.addresses(host.name)
