"""Letters go when their time is over: kept ones at the end of retention, removed ones when they are not recovered,
and with them all that was kept of accounts that were removed.

EXPIRE tells clients how long letters stay (RFC 2449 §6.7), so none goes earlier; how much later depends on how often
`work` is called and on sessions, for what somebody is looking at stays until he has gone. Days count from when a
letter came into the maildrop, or was removed, whatever its own date says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from postoffice.accounts.terms import DAY_SECONDS, NOTHING_SET, Bylaws, Terms
from postoffice.clock import Clock, system_clock
from postoffice.errors import StoreError
from postoffice.events import event
from postoffice.store.base import Attic, Directory, Mailbox, MaildropLock, Office
from postoffice.store.model import INBOX, REMOVED, Account

BATCH_LETTERS = 256


@dataclass(frozen=True, slots=True)
class Gone:
    """How many letters went; not `is_whole` if somebody was in the maildrop and nothing could expire."""

    expired: int
    forgotten: int
    is_whole: bool


class Retention:
    """Goes through the accounts once a day, and sooner again to those whose maildrop was in use."""

    def __init__(
        self, office: Office, directory: Directory, attic: Attic, bylaws: Bylaws, clock: Clock = system_clock
    ) -> None:
        self._office = office
        self._directory = directory
        self._attic = attic
        self._bylaws = bylaws
        self._clock = clock
        self._next = 0.0
        self._in_use: list[Account] = []

    async def work(self) -> None:
        """What is due now. What is wrong with one account is told, and keeps no other from being looked after."""
        now = self._clock()
        accounts, self._in_use = self._in_use, []
        if not self._next - DAY_SECONDS <= now < self._next:
            self._next = now + DAY_SECONDS
            accounts = await self._directory.accounts() if await self._bylaws.announced() is not NOTHING_SET else []
            await self._clear_attic(now)
        for account in accounts:
            try:
                terms = await self._bylaws.of(account)
                if terms.ends and not (await tend(self._office, account, terms, now)).is_whole:
                    self._in_use.append(account)
            except StoreError as error:
                event("retention.failed", account=account.address, error=str(error))
            await asyncio.sleep(0)  # an engine that answers at once would let nobody else on between

    async def _clear_attic(self, now: float) -> None:
        """Removed accounts whose time is over are gone; told as `retention.account_forgotten`."""
        for removed in await self._attic.accounts():
            if removed.until > now:
                continue
            address = removed.account.address
            try:
                await self._attic.forget(removed.account.account_id)
                event("retention.account_forgotten", account=address, account_id=removed.account.account_id)
            except StoreError as error:
                event("retention.failed", account=address, error=str(error))


async def tend(office: Office, account: Account, terms: Terms, now: float) -> Gone:
    """Let go what an account may not keep any longer; told as `retention.expired` and `retention.forgotten`."""
    mailbox = await office.mailbox(account.account_id)
    expired: dict[int, int] | None = {}
    if terms.retain_days is not None:
        expired = await _expire(office, mailbox, account, now - terms.retain_days * DAY_SECONDS)
    forgotten: dict[int, int] = {}
    if REMOVED in [folder.name for folder in await mailbox.folders()]:
        forgotten = await _until(mailbox, REMOVED, now - terms.recovery_days * DAY_SECONDS)
        await mailbox.remove(list(forgotten))
    if expired:
        octets = sum(expired.values())
        event("retention.expired", account=account.address, letters=len(expired), octets=octets)
    if forgotten:
        octets = sum(forgotten.values())
        event("retention.forgotten", account=account.address, letters=len(forgotten), octets=octets)
    return Gone(len(expired or ()), len(forgotten), is_whole=expired is not None)


async def _expire(office: Office, mailbox: Mailbox, account: Account, moment: float) -> dict[int, int] | None:
    """Let go what came no later than then; None, and nothing is gone, if somebody is in the maildrop."""
    if not await _until(mailbox, INBOX, moment):
        return {}
    locks = await all_locks(office, account, [name for name, _ in await mailbox.viewers()])
    if locks is None:
        return None
    try:
        expired = await _until(mailbox, INBOX, moment)
        await mailbox.remove(list(expired))
        return expired
    finally:
        for lock in locks:
            await lock.release()


async def all_locks(office: Office, account: Account, viewers: Sequence[str]) -> list[MaildropLock] | None:
    """Those of every viewer, so that nobody is in the maildrop; None, and none is held, if somebody is."""
    locks: list[MaildropLock] = []
    are_all_held = False
    try:
        for viewer in viewers:
            lock = await office.lock(account.account_id, viewer)
            if lock is None:
                return None
            locks.append(lock)
        are_all_held = True
        return locks
    finally:
        if not are_all_held:
            for lock in locks:
                await lock.release()


async def _until(mailbox: Mailbox, folder: str, moment: float) -> dict[int, int]:
    """The octets, by key, of letters that came into a folder no later than then. They lie as they came."""
    found: dict[int, int] = {}
    keys = (await mailbox.snapshot(folder=folder)).keys
    for start in range(0, len(keys), BATCH_LETTERS):
        batch = keys[start : start + BATCH_LETTERS]
        entries = await mailbox.describe(batch)
        old = {key: one.octets for key, one in zip(batch, entries, strict=True) if one and one.saved <= moment}
        found |= old
        if len(old) < len(batch):
            break
    return found
