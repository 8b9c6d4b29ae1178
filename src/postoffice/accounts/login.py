"""The one way to become somebody. Every door of every protocol comes here.

A password that was right is remembered for some minutes under a keyed hash (0.8 µs instead of 20 ms), because POP3
clients log in every few minutes; the memory ends with any change in the directory. A wrong password and an unknown
account cost the same and are answered the same (RFC 1939 §13).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from postoffice.accounts import imported, scram, verifiers
from postoffice.accounts.guard import Guard
from postoffice.accounts.passwords import PasswordPool
from postoffice.accounts.terms import Announced, Bylaws
from postoffice.clock import Clock, system_clock
from postoffice.errors import Refusal
from postoffice.events import event
from postoffice.message.address import parse_address
from postoffice.net.networks import Network, is_in
from postoffice.protocols.sasl import digest as digests
from postoffice.protocols.sasl import server as sasl
from postoffice.protocols.sasl.bearer import Server as TokenExchange
from postoffice.protocols.sasl.digest import Server as DigestExchange
from postoffice.protocols.sasl.scram import Server as ScramExchange
from postoffice.protocols.sasl.scram import Verifier
from postoffice.protocols.sasl.server import (
    Challenge,
    Channel,
    Claim,
    Exchange,
    Failed,
    Fault,
    NeedSecrets,
    NeedToken,
    NeedVerifiers,
    Proven,
    Vouched,
)
from postoffice.store.base import Directory
from postoffice.store.model import Account, Credential

if TYPE_CHECKING:
    from postoffice.accounts.tokens import Tokens


class Admission(NamedTuple):
    """Who got in, and by which of his credentials: a password's name, `token` or `certificate`.

    `is_recent`: he asked to see his new letters alone.
    """

    account: Account
    credential: str
    is_recent: bool = False


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """`clear_text_networks` may log in without TLS; a right password is remembered for `remember_seconds`.

    `cram_md5` is off: it needs passwords kept in clear. Without `channel_binding` there is no -PLUS. `certificates`
    says whose single certificates are, by their SHA-256; else that stands in them.
    """

    clear_text_networks: tuple[Network, ...] = ()
    remember_seconds: float = 300.0
    cram_md5: bool = False
    channel_binding: bool = True
    certificates: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What is wrong with them, each beginning with the setting's name."""
        if not self.certificates:
            return []
        from postoffice.accounts.certificates import fingerprint

        found = []
        for text, address in self.certificates.items():
            try:
                fingerprint(text)
                parse_address(address)
            except ValueError as error:
                found.append(f"certificates.{text!r}: {error}")
            except Refusal:
                found.append(f"certificates.{text!r}: {address!r} is no mail address")
        return found


LOGIN_PATIENCES = 3
"""How many times the patience of its door somebody may take in all until he has logged in."""

REMEMBERED_LIMIT = 100_000

RECENT = "recent:"
"""What stands before the name of somebody who wants to see his new letters alone, where his account has that."""


class Login:
    """One per process. `threads` verify passwords, one per core if nothing is said."""

    def __init__(
        self,
        directory: Directory,
        settings: LoginSettings | None = None,
        clock: Clock = system_clock,
        tokens: Tokens | None = None,
        guard: Guard | None = None,
        threads: int | None = None,
    ) -> None:
        self.bylaws = Bylaws(directory, clock)
        self.guard = guard or Guard(clock=clock)
        self._tokens = tokens
        self._directory = directory
        self._settings = settings or LoginSettings()
        self._clock = clock
        self._pool = PasswordPool(threads)
        self._remembered: dict[bytes, tuple[Admission, float]] = {}
        self._generation = -1
        self._announced: dict[tuple[bool, bool], tuple[tuple[bytes, ...], Announced]] = {}
        self._announced_at = -1
        self._clear_text: dict[str, bool] = {}

    def may_speak_clearly(self, host: str) -> bool:
        """Whether `host` may log in without TLS."""
        if not self._settings.clear_text_networks:
            return False
        known = self._clear_text.get(host)
        if known is None:
            if len(self._clear_text) >= 10_000:
                self._clear_text.clear()
            known = self._clear_text[host] = is_in(host, self._settings.clear_text_networks)
        return known

    async def by_password(self, username: str, password: str, host: str = "") -> Admission:
        """Into the account whose name and password these are, else a `Refusal`: permanent only if they are wrong."""
        remembered = self._fingerprint(username, password)
        if not self.guard.is_clean(host):
            await self.guard.admit(host, await self._full(username), remembered)
        generation = await self._directory.generation()
        if generation != self._generation:
            self._remembered.clear()
            self._generation = generation
        known = self._remembered.get(remembered)
        if known is not None and known[1] > self._clock():
            if not self.guard.knows(host, remembered):
                self.guard.worked(host, await self._full(username), remembered)
            self.bylaws.note(generation)
            return known[0]
        account = await self._find(username)
        credentials = await self._directory.credentials(account.account_id if account else 0)
        credential = verifiers.quickly_right(credentials, password, await self._directory.secret())
        if credential is None:
            credential = await self._slowly_right(credentials, password)
        if account is None or credential is None:
            raise await self._wrong(host, username, remembered)
        if imported.scheme_of(credential.verifier) is not None:
            await self._keep_as_own(account, credential, password)
        self.guard.worked(host, await self._full(username), remembered)
        admission = Admission(account, credential.name, is_recent(username))
        if generation == self._generation:  # else it may have been changed while we reckoned
            self._remember(remembered, admission)
        return admission

    async def _slowly_right(self, credentials: list[Credential], password: str) -> Credential | None:
        for verifier, credential in verifiers.slow(credentials):
            if await self._pool.verify(verifier, password):
                return credential
        return None

    async def _keep_as_own(self, account: Account, credential: Credential, password: str) -> None:
        """Put argon2id in the place of what another server kept. The login is good whatever comes of it."""
        scheme = imported.scheme_of(credential.verifier)
        try:
            own = Credential(credential.account_id, credential.name, await self._pool.make(password))
            is_done = await self._directory.set_credential(own, instead_of=credential.verifier)
        except Exception as error:  # it stays as it is, and the next login tries again
            event("password.not_replaced", account=account.address, scheme=scheme, error=str(error))
            return
        if is_done:  # else its owner changed it meanwhile, or another login was here first
            event("password.replaced", account=account.address, scheme=scheme)

    async def mechanisms(self, channel: Channel) -> tuple[bytes, ...]:
        """What to announce in a channel: EXTERNAL where the client showed a certificate, -PLUS where it can bind.

        SCRAM only where everybody's passwords can be used with it: a client takes the best that it is told of, and
        tries no other. CRAM-MD5 where somebody wanted it.
        """
        mechanisms, _ = await self.announced(channel)
        return mechanisms

    async def announced(self, channel: Channel) -> tuple[tuple[bytes, ...], Announced]:
        """The mechanisms, and what can be said of terms before anybody has logged in; the same until the directory
        changes."""
        generation = await self._directory.generation()
        if generation != self._announced_at:
            self._announced.clear()
            self._announced_at = generation
        kind = (bool(channel.binding), bool(channel.certificate))
        known = self._announced.get(kind)
        if known is None:
            self.bylaws.note(generation)
            terms = await self.bylaws.announced()
            known = (await self._possible(channel), terms)
            if generation == self._announced_at:
                self._announced[kind] = known
        return known

    async def _possible(self, channel: Channel) -> tuple[bytes, ...]:
        lacking = set() if self._tokens else set(sasl.BEARER)
        for scheme in scram.SCHEMES:
            if not await self._directory.everybody_has(scram.marker(scheme)):
                lacking.add(scheme.encode())
        if not self._settings.cram_md5:
            lacking.add(sasl.CRAM_MD5)
        channel = self._as_it_counts(channel)
        usable = [name for name in sasl.MECHANISMS if name.removesuffix(b"-PLUS") not in lacking]
        return tuple(name for name in usable if _is_possible(name, channel))

    async def begin(self, mechanism: bytes, initial: bytes | None, channel: Channel) -> Exchange | None:
        """An exchange, None if there is no such mechanism here. SCRAM may also be used where it is not announced.

        A client that says that it was told of no -PLUS (RFC 5802 §6) is believed only if that is so.
        """
        channel = self._as_it_counts(channel)
        # deviates: RFC 7628 §1, because whoever may send a password in clear may also send a token.
        is_off = (mechanism in sasl.BEARER and self._tokens is None) or (
            mechanism == sasl.CRAM_MD5 and not self._settings.cram_md5
        )
        if mechanism not in sasl.MECHANISMS or is_off or not _is_possible(mechanism, channel):
            return None
        if mechanism in sasl.SCRAM and not mechanism.endswith(b"-PLUS"):
            knows = f"{mechanism.decode()}-PLUS".encode() in await self.mechanisms(channel)
            channel = channel if knows else channel._replace(binding=b"")
        return sasl.begin(mechanism, initial, channel)

    def _as_it_counts(self, channel: Channel) -> Channel:
        """Nobody can bind where that is not wanted; so who says that he was told of no -PLUS is right."""
        return channel if self._settings.channel_binding else channel._replace(binding=b"")

    async def by_exchange(
        self, exchange: Exchange, ask: Callable[[bytes], Awaitable[bytes]], host: str = ""
    ) -> Admission | Failed:
        """A SASL exchange to its end; `ask` brings a challenge to the client and its response back."""
        account: Account | None = None
        names: list[str] = []
        username = ""
        outcome = exchange.outcome
        while True:
            match outcome:
                case Challenge():
                    outcome = exchange.step(await ask(outcome.encoded))
                case NeedVerifiers():
                    assert isinstance(exchange, ScramExchange)
                    username = outcome.username
                    await self.guard.admit(host, await self._full(username))
                    account, names, found = await self._verifiers(username, outcome.scheme)
                    outcome = exchange.supply(found)
                case NeedSecrets():
                    assert isinstance(exchange, DigestExchange)
                    username = outcome.username
                    await self.guard.admit(host, await self._full(username))
                    account, names, kept = await self._secrets(username)
                    outcome = exchange.supply(kept)
                case NeedToken():
                    assert isinstance(exchange, TokenExchange)
                    username = outcome.username
                    await self.guard.admit(host, await self._full(username))
                    account, names = await self._by_token(outcome), ["token"]
                    outcome = exchange.accept() if account else exchange.refuse()
                case Failed(fault=Fault.UNPROVEN):
                    raise await self._wrong(host, username)
                case Failed():
                    return outcome
                case Claim():
                    return await self.by_claim(outcome, host)
                case Vouched():
                    return await self._by_certificate(outcome, host)
                case Proven():
                    if account is None or not await self._is_same(outcome.authorization, username):
                        raise await self._wrong(host, username)
                    self.guard.worked(host, await self._full(username or account.address))
                    return Admission(account, names[outcome.which], is_recent(username))

    async def _by_certificate(self, vouched: Vouched, host: str) -> Admission:
        """Whose certificate it is, if that is who asks. Nobody is postmaster by a certificate.

        The guard is not asked: certificates are not guessed.
        """
        from postoffice.accounts.certificates import addresses

        shown = addresses(vouched.certificate, self._settings.certificates, self._clock())
        found = [await self._directory.find(address) for address in shown]
        accounts = [account for account in found if account is not None and account.address in shown]
        if vouched.authorization:
            asked = await self._find(vouched.authorization)
            accounts = [account for account in accounts if account == asked]
        if len(accounts) != 1:
            raise await self._wrong(host, vouched.authorization or " ".join(shown))
        return Admission(accounts[0], "certificate", is_recent(vouched.authorization))

    async def _by_token(self, need: NeedToken) -> Account | None:
        """Whose token it is, if that is who asks; a name may be left out."""
        address = await self._tokens.address(need.token) if self._tokens else None
        account = await self._find(address) if address else None
        return account if not need.username or account == await self._find(need.username) else None

    async def _verifiers(self, username: str, scheme: str) -> tuple[Account | None, list[str], list[Verifier]]:
        """What is kept for a name, and what each is called; where nothing fits, one that nothing proves."""
        secret = await self._directory.secret()
        account = await self._find(username)
        credentials = await self._directory.credentials(account.account_id if account else 0)
        found = {one.name: scram.find(one.verifier, scheme) for one in credentials}
        fitting = {name: verifier for name, verifier in found.items() if verifier is not None}
        address = account.address if account else await self._full(username)
        return account, list(fitting), list(fitting.values()) or [scram.nobody(scheme, address, secret)]

    async def _secrets(self, username: str) -> tuple[Account | None, list[str], list[bytes]]:
        """The passwords of a name that are kept in clear, and what each is called."""
        account = await self._find(username)
        credentials = await self._directory.credentials(account.account_id if account else 0)
        kept = {one.name: verifiers.clear_secret(one.verifier) for one in credentials}
        clear = {name: secret for name, secret in kept.items() if secret is not None}
        return account, list(clear), list(clear.values())

    async def by_claim(self, claim: Claim, host: str = "") -> Admission:
        """The same from a SASL exchange. Nobody may act for another yet (RFC 4616 §2)."""
        if not await self._is_same(claim.authorization, claim.authentication):
            raise await self._wrong(host, claim.authentication)
        return await self.by_password(claim.authentication, claim.password, host)

    async def by_digest(self, username: str, stamp: bytes, digest: bytes, host: str = "") -> Admission:
        """APOP: MD5 over the greeting's stamp and a secret that is kept in clear (RFC 1939 §7)."""
        await self.guard.admit(host, await self._full(username))
        account, names, kept = await self._secrets(username)
        which = digests.fitting(digest, [digests.apop(stamp, secret) for secret in kept])
        if account is None or which is None:
            raise await self._wrong(host, username)
        self.guard.worked(host, await self._full(username))
        return Admission(account, names[which], is_recent(username))

    def close(self) -> None:
        self._pool.close()
        if self._tokens is not None:
            self._tokens.close()

    async def _is_same(self, authorization: str, username: str) -> bool:
        """Whether somebody wants to act as himself; to say nothing means that."""
        return not authorization or await self._full(authorization) == await self._full(username)

    async def _find(self, username: str) -> Account | None:
        """Whose name this is."""
        return await self._directory.find(await self._full(username))

    async def _full(self, username: str) -> str:
        """A name without a domain is one of the office's first domain, as in RFC 1939 §10."""
        name = normalized(username).removeprefix(RECENT)
        return name if "@" in name else f"{name}@{next(iter(await self._directory.domains()), '')}"

    async def _wrong(self, host: str, username: str, fingerprint: bytes = b"") -> Refusal:
        """The same answer whatever is wrong, and a point for it."""
        self.guard.failed(host, await self._full(username), fingerprint)
        event("login.failed", username=username[:256], peer=host)
        return Refusal(permanent=True, status="7.8", public="user name or password is wrong")

    def _fingerprint(self, username: str, password: str) -> bytes:
        return hashlib.blake2b(f"{username}\0{password}".encode(), key=self.guard.key, digest_size=16).digest()

    def _remember(self, fingerprint: bytes, admission: Admission) -> None:
        self._remembered.pop(fingerprint, None)
        if len(self._remembered) >= REMEMBERED_LIMIT:
            del self._remembered[next(iter(self._remembered))]  # all are good for equally long, so it would end first
        self._remembered[fingerprint] = (admission, self._clock() + self._settings.remember_seconds)


def is_recent(username: str) -> bool:
    """Whether somebody wants to see his new letters alone."""
    return normalized(username).startswith(RECENT)


def normalized(username: str) -> str:
    """A login name as the directory knows it: lower case, NFC."""
    return unicodedata.normalize("NFC", username.strip()).lower()


def _is_possible(mechanism: bytes, channel: Channel) -> bool:
    """Whether the channel has what a mechanism stands on."""
    if mechanism.endswith(b"-PLUS"):
        return bool(channel.binding)
    return mechanism != sasl.EXTERNAL or bool(channel.certificate)
