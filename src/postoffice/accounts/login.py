"""The one way to become somebody. Every door of every protocol comes here.

A password that was right is remembered for some minutes under a keyed hash (0.8 µs instead of 20 ms), because POP3
clients log in every few minutes; the memory ends with any change in the directory. A wrong password and an unknown
account cost the same and are answered the same (RFC 1939 §13).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass

from postoffice.accounts.passwords import CLEAR_SCHEME, PasswordPool
from postoffice.clock import Clock, system_clock
from postoffice.errors import Refusal
from postoffice.events import event
from postoffice.protocols.sasl.server import Claim
from postoffice.store.base import Directory
from postoffice.store.model import Account

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """`clear_text_networks` may log in without TLS; a right password is remembered for `remember_seconds`."""

    clear_text_networks: tuple[Network, ...] = ()
    remember_seconds: float = 300.0


REMEMBERED_LIMIT = 100_000


class Login:
    """One per process."""

    def __init__(
        self, directory: Directory, settings: LoginSettings | None = None, clock: Clock = system_clock
    ) -> None:
        self._directory = directory
        self._settings = settings or LoginSettings()
        self._clock = clock
        self._pool = PasswordPool()
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, tuple[Account, float]] = OrderedDict()
        self._generation = -1
        self._clear_text: dict[str, bool] = {}

    def may_speak_clearly(self, host: str) -> bool:
        """Whether `host` may log in without TLS."""
        if not self._settings.clear_text_networks:
            return False
        known = self._clear_text.get(host)
        if known is None:
            if len(self._clear_text) >= 10_000:
                self._clear_text.clear()
            known = self._clear_text[host] = _is_in(host, self._settings.clear_text_networks)
        return known

    async def by_password(self, username: str, password: str) -> Account:
        """The account whose name and password these are, else a `Refusal`: permanent only if they are wrong."""
        remembered = self._fingerprint(username, password)
        generation = await self._directory.generation()
        if generation != self._generation:
            self._remembered.clear()
            self._generation = generation
        known = self._remembered.get(remembered)
        if known is not None and known[1] > self._clock():
            self._remembered.move_to_end(remembered)
            return known[0]
        account = await self._find(username)
        verifiers: list[str | None] = [None]
        if account is not None:
            credentials = await self._directory.credentials(account.account_id)
            verifiers = [credential.verifier for credential in credentials] or [None]
        password = unicodedata.normalize("NFC", password)
        for verifier in verifiers:
            if await self._pool.verify(verifier, password) and account is not None:
                self._remember(remembered, account)
                return account
        raise _wrong(username)

    async def by_claim(self, claim: Claim) -> Account:
        """The same from a SASL exchange. Nobody may act for another yet (RFC 4616 §2)."""
        if claim.authorization and normalized(claim.authorization) != normalized(claim.authentication):
            raise _wrong(claim.authentication)
        return await self.by_password(claim.authentication, claim.password)

    async def by_digest(self, username: str, stamp: bytes, digest: bytes) -> Account:
        """APOP: MD5 over the greeting's stamp and a secret that is kept in clear (RFC 1939 §7)."""
        account = await self._find(username)
        for credential in await self._directory.credentials(account.account_id) if account else []:
            if credential.verifier.startswith(CLEAR_SCHEME):
                secret = credential.verifier[len(CLEAR_SCHEME) :].encode()
                expected = hashlib.md5(stamp + secret, usedforsecurity=False).hexdigest().encode()
                if hmac.compare_digest(expected, digest.lower()) and account is not None:
                    return account
        raise _wrong(username)

    def close(self) -> None:
        self._pool.close()

    async def _find(self, username: str) -> Account | None:
        """Whose name this is. Without a domain it is one of the office's first domain, as in RFC 1939 §10."""
        name = normalized(username)
        if "@" not in name:
            name += f"@{next(iter(await self._directory.domains()), '')}"
        return await self._directory.find(name)

    def _fingerprint(self, username: str, password: str) -> bytes:
        return hashlib.blake2b(f"{username}\0{password}".encode(), key=self._key, digest_size=16).digest()

    def _remember(self, fingerprint: bytes, account: Account) -> None:
        self._remembered[fingerprint] = (account, self._clock() + self._settings.remember_seconds)
        if len(self._remembered) > REMEMBERED_LIMIT:
            self._remembered.popitem(last=False)


def normalized(username: str) -> str:
    """A login name as the directory knows it: lower case, NFC."""
    return unicodedata.normalize("NFC", username.strip()).lower()


def _wrong(username: str) -> Refusal:
    event("login.failed", username=username[:256])
    return Refusal(permanent=True, status="7.8", public="user name or password is wrong")


def _is_in(host: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
