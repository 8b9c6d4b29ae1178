"""The one way in: every letter, from whatever door or from ourselves, becomes our responsibility here ✍ 1.

What is asked of a letter before that: that its lines end with CRLF alone, that it has not been going round in
circles, that there is room. What it gets: an id, and above its own octets a Received field, and for deliveries
here a Return-Path (RFC 5321 §4.4). For recipients of this office the acceptance is the delivery.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from postoffice.clock import Clock, system_clock
from postoffice.errors import Refusal, StoreError
from postoffice.events import event
from postoffice.message.address import Address
from postoffice.message.envelope import Envelope
from postoffice.message.header import count
from postoffice.message.received import Hop, received, return_path
from postoffice.store.base import Directory, Office, Stage
from postoffice.store.model import Acceptance, Account, LocalDelivery, Staged
from postoffice.transfer.quota import Quotas

REMEMBERED_SECONDS = 1.0
"""How long it is not asked again whether the directory has changed and how much room there is."""

MOST_KNOWN = 10_000
"""How many recipients are remembered, about."""


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """`max_octets` 0 is no limit but the disk, of which `free_octets` always stay free.

    `expire_days` is how long a letter for another office is tried (RFC 5321 §4.5.4.1).
    """

    max_octets: int = 0
    free_octets: int = 256 * 1024 * 1024
    max_received: int = 100
    expire_days: float = 5.0


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a letter goes: to an account of this office, or to another office. `has_quota`: not beyond some size."""

    address: Address
    account: Account | None
    has_quota: bool = False


class Intake:
    """One per process. `on_queued` is told that something for another office was queued."""

    def __init__(
        self,
        host: str,
        office: Office,
        directory: Directory,
        settings: IntakeSettings | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self.host = host
        self.settings = settings or IntakeSettings()
        self.on_queued: Callable[[], None] = _nothing
        self.quotas = Quotas(host, office, directory, clock)
        self._office = office
        self._directory = directory
        self._clock = clock
        self._known: dict[Address, Recipient] = {}
        self._free_octets: int | None = None
        self._known_since = 0.0
        self._generation = -1
        self._life = secrets.token_hex(4)
        self._letters = 0

    async def recipient(self, address: Address) -> Recipient:
        """Who takes letters for an address; a name that nobody has here is a permanent Refusal.

        Remembered until the directory changes, which is looked at each second: an account that goes meanwhile is found
        missing by the acceptance, which is a temporary failure; then it is asked anew.
        """
        await self._forget_outdated()
        known = self._known  # what is looked up while all is forgotten is forgotten too
        recipient = known.get(address)
        if recipient is None:
            recipient = known[address] = await self._look_up(address)
        return recipient

    async def _look_up(self, address: Address) -> Recipient:
        if not address.domain:  # the bare postmaster of RFC 5321 §4.5.1
            address = Address(address.local, next(iter(await self._directory.domains()), ""))
        if not await self._directory.has_domain(address.domain):
            return Recipient(address, None)
        account = await self._directory.find(address.normalized())
        if account is None:
            raise Refusal(permanent=True, status="1.1", public="No such mailbox here", because=str(address))
        return Recipient(address, account, (await self.quotas.bylaws.of(account)).has_quota)

    async def check_quota(self, recipient: Recipient, octets: int = 0) -> None:
        """Refuse a letter of that size for somebody whose mailbox has no room for it."""
        if recipient.has_quota and recipient.account is not None:
            await self.quotas.check(recipient.account, octets)

    async def check_room(self, octets: int = 0) -> None:
        """Refuse a letter of that size where it could not be kept."""
        limit = self.settings.max_octets
        if limit and octets > limit:
            raise Refusal(permanent=True, status="3.4", public=f"A letter may have {limit} octets here")
        await self._forget_outdated()
        if self._free_octets is None:
            self._free_octets = await self._office.free_octets()
        if self._free_octets - octets < self.settings.free_octets:
            raise Refusal(
                permanent=False, status="3.1", public="No room here now, try again later", because="free disk"
            )

    def new_letter_id(self) -> str:
        """A name for a letter on its way, in traces and logs: 32 random bits for our life, and a count."""
        self._letters += 1
        return f"{self._life}{self._letters:06x}"

    async def _forget_outdated(self) -> None:
        now = self._clock()
        if 0 <= now - self._known_since < REMEMBERED_SECONDS:
            return
        self._known_since = now
        self._free_octets = None
        generation = await self._directory.generation()
        if generation != self._generation or len(self._known) > MOST_KNOWN:
            self._known = {}
        self._generation = generation

    async def stage(self) -> Stage:
        return await self._office.stage()

    async def accept(self, staged: Staged, envelope: Envelope, recipients: tuple[Recipient, ...], hop: Hop) -> str:
        """Take responsibility; durable when it returns. Gives the letter's id. A Refusal changes nothing.

        A letter for several is refused to nobody for a quota that another has: RCPT was the time to say so.
        """
        if staged.has_bare_line_ends:
            raise Refusal(permanent=True, status="6.0", public="Lines of a letter end with CRLF: bare CR or LF found")
        if count(staged.head, b"Received") > self.settings.max_received:
            raise Refusal(permanent=True, status="4.6", public="The letter goes round in circles: too many Received")
        if len(recipients) == 1 and recipients[0].has_quota:
            await self.check_quota(recipients[0], staged.content.octets)
        letter_id = self.new_letter_id()
        now = self._clock()
        alone = recipients[0].address if len(recipients) == 1 else None
        trace = received(hop, letter_id, now, alone, envelope.needs_smtputf8)
        local_prefix = return_path(envelope.reverse_path) + trace
        accounts = {r.account.account_id: r.account for r in recipients if r.account is not None}
        remote = tuple(dict.fromkeys(str(r.address) for r in recipients if r.account is None))
        acceptance = Acceptance(
            letter_id,
            staged,
            str(envelope.reverse_path or ""),
            now,
            tuple(LocalDelivery(account_id, local_prefix) for account_id in accounts),
            remote,
            trace,
            now + self.settings.expire_days * 86400,
            envelope.needs_smtputf8,
        )
        try:
            await self._office.accept(acceptance)
        except StoreError:
            self._known = {}
            raise
        event(
            "letter.accepted",
            letter=letter_id,
            sender=str(envelope.reverse_path or "<>"),
            local=len(accounts),
            remote=len(remote),
            octets=staged.content.octets,
            host=self.host,
        )
        for account in accounts.values():
            event("letter.delivered", letter=letter_id, account=account.address)
        if remote:
            self.on_queued()
        for recipient in recipients:
            if recipient.has_quota and recipient.account is not None:
                await self.quotas.warn(recipient.account)
        return letter_id


def _nothing() -> None:
    return None
