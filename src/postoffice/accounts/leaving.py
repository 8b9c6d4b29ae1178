"""An account goes: what it takes with it, and how long that can be had back.

Nobody is in its maildrop meanwhile. What is kept of it is kept as long as letters that it deleted would be
(`recovery`); where that is not at all, or nothing shall be, it is gone at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from postoffice.accounts.devices import viewer_of
from postoffice.accounts.retention import all_locks
from postoffice.accounts.terms import DAY_SECONDS, WARNED, Bylaws
from postoffice.errors import StoreError, StoreUnavailable
from postoffice.net.pause import pause
from postoffice.store.base import Mailbox, MaildropLock, Store
from postoffice.store.model import MOVER, OWNER, REMOVED, Account

ROLES = ("postmaster", "abuse")
PATIENCE_TRIES = 10
PATIENCE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Belongings:
    """What an account takes with it. `since` is when its first letter came; `trouble` why letters cannot be told.

    `queued` are letters of it on their way to others. `heir` gets, from then on, what is for postmaster and abuse of
    its domain; None if that was never its, empty if nobody is left.
    """

    letters: int
    octets: int
    since: float | None
    recoverable: int
    passwords: tuple[str, ...]
    settings: Mapping[str, str]
    queued: int
    heir: str | None
    is_last: bool
    trouble: str = ""


async def belongings(store: Store, account: Account) -> Belongings:
    """What would go. A mailbox that is damaged keeps nobody from asking."""
    letters = octets = recoverable = 0
    since, trouble = None, ""
    try:
        mailbox = await store.office.mailbox(account.account_id)
        for folder in await mailbox.folders():
            snapshot = await mailbox.snapshot(folder=folder.name)
            if folder.name == REMOVED:
                recoverable = len(snapshot.keys)
                continue
            letters, octets = letters + len(snapshot.keys), octets + sum(snapshot.octets)
        since = await _first_day(mailbox)
    except StoreError as error:
        trouble = str(error)
    domain = account.address.rpartition("@")[2]
    others = [one for one in await store.directory.accounts() if one != account]
    there = [one for one in others if one.address.endswith(f"@{domain}")]
    settings = (await store.directory.settings()).get(account.address, {})
    heir = None
    if account in [await store.directory.find(f"{role}@{domain}") for role in ROLES]:
        heir = next((one.address for one in there or others), "")
    return Belongings(
        letters=letters,
        octets=octets,
        since=since,
        recoverable=recoverable,
        passwords=tuple(sorted(one.name for one in await store.directory.credentials(account.account_id))),
        settings={key: value for key, value in settings.items() if key != WARNED},
        queued=sum(item.reverse_path == account.address for item in await store.office.queue()),
        heir=heir,
        is_last=not there,
        trouble=trouble,
    )


async def _first_day(mailbox: Mailbox) -> float | None:
    keys = (await mailbox.snapshot()).keys[:1]
    first = [entry for entry in await mailbox.describe(keys) if entry is not None]
    return first[0].internal_date if first else None


async def kept_until(store: Store, account: Account, now: float) -> float | None:
    """Until when an account that goes now can be had back; None for not at all."""
    days = (await Bylaws(store.directory).of(account)).recovery_days
    return now + days * DAY_SECONDS if days else None


async def leave(store: Store, account: Account, now: float, until: float | None) -> None:
    """Remove an account, and keep it until then. Durable. Somebody in its maildrop is a `StoreUnavailable`."""
    credentials = await store.directory.credentials(account.account_id)
    names = {OWNER, MOVER, *(viewer_of(credential.name) for credential in credentials)}
    try:
        names |= {name for name, _ in await (await store.office.mailbox(account.account_id)).viewers()}
    except StoreError:
        if until is not None:
            raise  # what cannot be read can still go
    locks = await _alone_with(store, account, sorted(names))
    try:
        if until is None:
            await store.directory.remove_account(account.account_id)
        else:
            await store.attic.set_aside(account.account_id, now, until)
    finally:
        for lock in locks:
            await lock.release()


async def _alone_with(store: Store, account: Account, viewers: Sequence[str]) -> list[MaildropLock]:
    """All locks of a maildrop. Housekeeping has them for moments, a session for longer."""
    for _ in range(PATIENCE_TRIES):
        locks = await all_locks(store.office, account, viewers)
        if locks is not None:
            return locks
        await pause(PATIENCE_SECONDS)
    raise StoreUnavailable(f"somebody is in the maildrop of {account.address} now; try again in a moment")
