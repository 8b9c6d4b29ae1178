"""Devices: each password of an account looks at the maildrop with eyes of its own.

What POP3 is blamed for most is that mail which one machine pulled and deleted is gone for all others. Here a letter
leaves the office when every device has deleted it (or retention ends), and each sees it until *it* deletes it:

    no login yet ─▶ holds ─▶ (unused for `lapse` days) rests ─▶ holds again, and sees nothing twice
                      └─────────────── removed ◀───────────┘

A device counts from its first login: until then it holds nothing back. The account's own password is a device too
(`OWNER`), as whatever else opens the account without a password of its own: a token, a certificate. The device that
came last never lapses, so a maildrop that nobody looks at for months keeps its letters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from postoffice.accounts.terms import DAY_SECONDS, Bylaws, Terms
from postoffice.accounts.words import tell
from postoffice.clock import Clock, system_clock
from postoffice.errors import StoreError
from postoffice.events import event
from postoffice.message.received import date_time
from postoffice.store.base import Mailbox, Store
from postoffice.store.model import OWNER, REMOVED, Account, Sight, Viewer, Visit

OWN: Final = "password"
"""The name of the credential that is the account's own password."""
NO_DEVICES: Final = frozenset({OWN, "token", "certificate"})
"""Names of what opens an account as its owner."""

ROUND_SECONDS: Final = 3600.0
CERTAIN_SECONDS: Final = 10.0
"""How long after a first look a device lapses: what another process noted meanwhile is known by then."""
WARNING_DAYS: Final = 7


def viewer_of(credential: str) -> str:
    """With whose eyes a session looks that this credential opened."""
    return OWNER if credential in NO_DEVICES else credential


def into(terms: Terms) -> str | None:
    """Where letters go that nobody holds back any more."""
    return REMOVED if terms.recovery_days else None


def idle(viewers: Sequence[Viewer], last: Mapping[str, Visit], since: float) -> list[str]:
    """Who holds letters back and did not come after that moment; never who came last of all.

    An owner who never came holds nothing back from the first day of a device on. A device that holds, and of which no
    visit is known, came: when is not known, so it stays.
    """
    came = {name: last[name].at for name, sight in viewers if sight is Sight.HOLDS and name in last}
    newest = max(came, key=lambda name: came[name], default=None)
    owner = [OWNER] if Viewer(OWNER, Sight.HOLDS) in viewers and OWNER not in came and newest is not None else []
    return owner + [name for name, at in came.items() if at <= since and name != newest]


async def begin(mailbox: Mailbox, account: Account, viewer: str) -> None:
    """A device that held nothing back holds from now on. Durable."""
    known = {name for name, _ in await mailbox.viewers()}
    await mailbox.set_viewer(viewer, Sight.HOLDS)
    event("device.returned" if viewer in known else "device.began", account=account.address, device=viewer)


async def count_owner(store: Store, account: Account, now: float) -> None:
    """Letters were brought here for clients that may know them: their owner counts from now on, if he never came.

    Durable.
    """
    if OWNER not in await store.visits.last(account.account_id):
        await store.visits.note([Visit(account.account_id, OWNER, now)])


async def release(store: Store, account: Account, viewer: str, sight: Sight, terms: Terms) -> int | None:
    """Let it hold nothing back any more; gives how many letters left, None, and nothing is done, if it has a session.

    Durable.
    """
    lock = await store.office.lock(account.account_id, viewer)
    if lock is None:
        return None
    try:
        mailbox = await store.office.mailbox(account.account_id)
        before = set((await mailbox.snapshot()).unique_ids)
        await mailbox.set_viewer(viewer, sight, into(terms))
        return len(before.difference((await mailbox.snapshot()).unique_ids))
    finally:
        await lock.release()


async def dismiss(store: Store, account: Account, viewer: str, terms: Terms) -> int | None:
    """It is no device any more: what `release` gives and does, and its visits are forgotten. Durable."""
    letters = await release(store, account, viewer, Sight.GONE, terms)
    if letters is not None:
        await store.visits.forget(account.account_id, viewer)
    return letters


@dataclass(frozen=True, slots=True)
class _Due:
    """What was seen, and when it may be done."""

    names: frozenset[str]
    at: float


class Devices:
    """Goes once an hour through the accounts that have devices: warns, lets lapse, clears up. `host` signs warnings."""

    def __init__(self, store: Store, bylaws: Bylaws, host: str, clock: Clock = system_clock) -> None:
        self._store = store
        self._bylaws = bylaws
        self._host = host
        self._clock = clock
        self._next = 0.0
        self._due: dict[Account, _Due] = {}

    async def work(self) -> None:
        """What is due now. What is wrong with one account is told, and keeps no other from being looked after."""
        now = self._clock()
        wanted = [account for account, due in self._due.items() if due.at <= now]
        if not self._next - ROUND_SECONDS <= now < self._next:
            self._next = now + ROUND_SECONDS
            wanted = await self._store.visits.with_devices()
        for account in wanted:
            try:
                await self._look_after(account, now)
            except StoreError as error:
                event("device.failed", account=account.address, error=str(error))
            await asyncio.sleep(0)  # an engine that answers at once would let nobody else on between

    async def _look_after(self, account: Account, now: float) -> None:
        terms = await self._bylaws.of(account)
        credentials = await self._store.directory.credentials(account.account_id)
        mailbox = await self._store.office.mailbox(account.account_id)
        viewers, last = await mailbox.viewers(), await self._store.visits.last(account.account_id)
        known = {viewer_of(credential.name) for credential in credentials} | {OWNER}
        for name in ({viewer.name for viewer in viewers} | set(last)) - known:
            await self._clear(account, name, terms)
        names = frozenset(await self._lapsing(account, mailbox, terms, viewers, last, now)) & known
        seen = self._due.pop(account, None)
        if seen is not None and seen.at <= now:
            for name in names & seen.names:
                letters = await release(self._store, account, name, Sight.RESTS, terms)
                if letters is not None:
                    event("device.lapsed", account=account.address, device=name or OWN, letters=letters)
        elif names:
            self._due[account] = seen or _Due(names, now + CERTAIN_SECONDS)

    async def _clear(self, account: Account, name: str, terms: Terms) -> None:
        """Its password is gone, and whoever removed it did not come to the end of it."""
        letters = await dismiss(self._store, account, name, terms)
        if letters is not None:
            event("device.removed", account=account.address, device=name, letters=letters)

    async def _lapsing(
        self,
        account: Account,
        mailbox: Mailbox,
        terms: Terms,
        viewers: Sequence[Viewer],
        last: Mapping[str, Visit],
        now: float,
    ) -> list[str]:
        """Whose time is over. Where letters wait for a device its owner was told of it some days ago, whatever happened
        meanwhile: if the office was closed for months, or restored, he is told now, and it lapses later."""
        if not terms.lapse_days:
            return []
        lapse = terms.lapse_days * DAY_SECONDS
        notice = min(WARNING_DAYS * DAY_SECONDS, lapse / 2)
        over = []
        for name in idle(viewers, last, now - lapse + notice):
            visit = last.get(name)
            waiting = len((await mailbox.snapshot(name)).keys)
            if visit is None or (not waiting and visit.at <= now - lapse):
                over.append(name)
            elif waiting and not visit.warned:
                end = max(visit.at + lapse, now + notice)
                await tell(self._store.office, self._host, account, *_warning(account, visit, waiting, end), now)
                await self._store.visits.note([replace(visit, warned=now)])
                event("device.warned", account=account.address, device=name or OWN, letters=waiting)
            elif visit.at <= now - lapse and visit.warned <= now - notice:
                over.append(name)
        return over


def _warning(account: Account, visit: Visit, waiting: int, end: float) -> tuple[str, Sequence[str]]:
    whose = f"The device \u201c{visit.viewer}\u201d" if visit.viewer else "The password of the account itself"
    lines = (
        f"{whose} was last used for the mail of {account.address} on {date_time(visit.at)}.",
        f"{waiting} letters that it has not deleted wait here for it.",
        "",
        f"If it is not used until {date_time(end)}, they do not wait for it any longer: what all",
        "other devices have deleted is then gone. If it is still in use, let it pull its letters once. If it is not:",
        "",
        f"    postoffice device remove {account.address} NAME",
    )
    return "A device has not pulled its letters for a long time", lines
