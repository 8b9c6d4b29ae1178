"""Where the maildrop of an address is, asked of those who should know, the surest first.

    known providers ─▶ SRV (RFC 6186, RFC 8314 §5.1) ─▶ autoconfig ─▶ who takes the domain's mail (MX) ─▶ guesses

Each of these gives candidates; they are looked at (a greeting, and TLS with a certificate for the name) before any
password is asked for, and the first that answers is taken. DNS can be forged: a server outside of the address's own
domain is a matter for the person to decide (RFC 6186 §6), so each candidate says whether it `is_foreign`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from postoffice.client.collect import CLOSE_SECONDS
from postoffice.client.entrance import Key, arrive
from postoffice.client.login import Trust, believed
from postoffice.client.providers import PRESETS, Provider, known_by
from postoffice.client.talk import Talk
from postoffice.client.url import PORT, TLS_PORT, Source
from postoffice.errors import PostofficeError, Refusal
from postoffice.home import autoconfig
from postoffice.home.https import Web
from postoffice.message.address import parse_domain
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.dns import Resolver
from postoffice.net.switchboard import Switchboard
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Pop3Client
from postoffice.protocols.sasl.terms import BEARER

LOOK_SECONDS: Final = 10.0
MOST_HOSTS: Final = 8
"""So many of what strangers name are looked at."""

_MX_OF: Final = {
    "google.com": "google",
    "googlemail.com": "google",
    "outlook.com": "microsoft",
    "yahoodns.net": "yahoo",
}
"""Whose customers have their mail taken by hosts of these domains."""


_PASSWORDS: Final = frozenset({"yahoo"})
"""Providers that let hardly anybody's program have tokens, and give people passwords for programs instead."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A maildrop that may be the one. `told_by` says in words who named it. `is_foreign`: its host is outside of the
    address's domain, and no list of ours vouches for it. `is_user_told`: the name to log in with is not a guess.
    `wants_token`: no password opens it. `provider` is whose server it is, if it is one of those that we know."""

    source: Source
    told_by: str
    is_foreign: bool = False
    is_user_told: bool = False
    wants_token: bool = False
    provider: Provider | None = None


class Discovery:
    """The questions about one address. `ways` are the ports that are guessed, and whether TLS begins at once there.

    Raises Refusal where the domain of the address cannot be one.
    """

    def __init__(
        self,
        address: str,
        web: Web,
        trust: Trust,
        *,
        asks_ispdb: bool = False,
        ways: Sequence[tuple[int, bool]] = ((TLS_PORT, True), (PORT, False)),
    ) -> None:
        self._address = address
        self._domain = parse_domain(address.rpartition("@")[2])
        self._web = web
        self._trust = trust
        self._asks_ispdb = asks_ispdb
        self._ways = ways

    @property
    def _resolver(self) -> Resolver:
        return self._web.resolver

    async def answering(self) -> AsyncIterator[Candidate]:
        """Those candidates that answer as they should, the best first; who takes one asks for no more."""
        seen: set[tuple[str, int]] = set()
        async for group in self._groups():
            named = [one for one in group if (one.source.host, one.source.port) not in seen][:MOST_HOSTS]
            seen.update((one.source.host, one.source.port) for one in named)
            answers = await asyncio.gather(*(self._answers(candidate.source) for candidate in named))
            for candidate, answers_well in zip(named, answers, strict=True):
                if answers_well:
                    yield candidate

    async def _groups(self) -> AsyncIterator[Sequence[Candidate]]:
        """What is asked later is not asked at all where the earlier did."""
        provider = known_by(self._address)
        if provider is not None:
            yield [self._of_provider(provider, "it is known", is_foreign=False)]
        yield await self._by_srv()
        for url in autoconfig.urls(self._address, self._domain):
            yield await self._by_autoconfig(url, "autoconfig")
        if self._asks_ispdb:
            yield await self._by_autoconfig(f"{autoconfig.ISPDB}/{self._domain}", "the list of Thunderbird")
        yield await self._by_mx()
        yield self._guesses(self._domain, "a guess")

    def _of_provider(self, provider: Provider, told_by: str, *, is_foreign: bool) -> Candidate:
        source = Source(provider.hosts[0], TLS_PORT, self._address, implicit_tls=True)
        return Candidate(
            source, told_by, is_foreign, is_user_told=True, wants_token=_wants_token(provider), provider=provider
        )

    def _candidate(self, source: Source, told_by: str) -> Candidate:
        provider = next((one for one in PRESETS.values() if source.host in one.hosts), None)
        is_own = source.host == self._domain or source.host.endswith(f".{self._domain}")
        return Candidate(source, told_by, is_foreign=not is_own, wants_token=provider is not None, provider=provider)

    async def _by_srv(self) -> list[Candidate]:
        """With TLS from the first octet before STLS (RFC 8314 §5.1)."""
        found = []
        for service, implicit_tls in (("_pop3s._tcp", True), ("_pop3._tcp", False)):
            try:
                offered = await self._resolver.services(self._domain, service)
            except Refusal:
                continue
            for one in offered:
                with suppress(Refusal):
                    source = Source(parse_domain(one.name), one.port, self._address, implicit_tls=implicit_tls)
                    found.append(self._candidate(source, "SRV"))
        return found

    async def _by_autoconfig(self, url: str, told_by: str) -> list[Candidate]:
        page = await self._web.page(url)
        told = autoconfig.parse(page, self._address) if page else []
        return [self._told(one, told_by) for one in told]

    def _told(self, told: autoconfig.Told, told_by: str) -> Candidate:
        candidate = replace(self._candidate(told.source, told_by), is_user_told=True)
        if told.wants_token and candidate.provider is None:
            source = told.source._replace(mechanism=BEARER[0].decode())
            return replace(candidate, source=source, wants_token=True)
        return candidate

    async def _by_mx(self) -> list[Candidate]:
        """Who takes the mail often gives it out too: a provider that is known, or hosts beside those of the MX."""
        try:
            host = parse_domain((await self._resolver.mail_hosts(self._domain))[0].name)
        except Refusal:
            return []
        name = next((_MX_OF[domain] for domain in _MX_OF if host.endswith(f".{domain}")), None)
        if name is not None:
            return [self._of_provider(PRESETS[name], "MX", is_foreign=True)]
        _, _, domain = host.partition(".")
        return self._guesses(domain, "MX and a guess") if "." in domain and domain != self._domain else []

    def _guesses(self, domain: str, told_by: str) -> list[Candidate]:
        hosts = (f"pop.{domain}", f"mail.{domain}", domain)
        return [
            self._candidate(Source(host, port, self._address, implicit_tls=implicit_tls), told_by)
            for port, implicit_tls in self._ways
            for host in hosts
        ]

    async def _answers(self, source: Source) -> bool:
        """Whether a POP3 server greets there, and has TLS and a certificate that is believed."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                for address in await self._resolver.addresses(source.host):
                    if await look(source, address, self._trust):
                        return True
        except (TimeoutError, Refusal):
            pass
        return False


def _wants_token(provider: Provider | None) -> bool:
    return provider is not None and provider.name not in _PASSWORDS


async def look(source: Source, address: str, trust: Trust) -> bool:
    """Whether the server of `source` answers at an IP address, in TLS. No name and no password is said."""
    tls = believed(trust)
    switchboard = Switchboard()

    async def converse(dialogue: Dialogue[Pop3Client]) -> bool:
        talk = Talk(dialogue, source.host)
        dialogue.patience = LOOK_SECONDS
        await arrive(talk, Key(source, "", tls))
        is_encrypted = dialogue.is_encrypted
        await talk.ask(commands.QUIT)
        return is_encrypted

    try:
        return await dial(
            (address, source.port),
            Pop3Client(),
            converse,
            switchboard,
            tls=tls if source.implicit_tls else None,
            server_hostname=source.host,
            connect_seconds=LOOK_SECONDS,
            close_seconds=CLOSE_SECONDS,
        )
    except PostofficeError:
        return False
    finally:
        switchboard.close()
