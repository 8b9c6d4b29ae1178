"""How much an account may hold: refused where there is no room for a letter, told once when nine tenths are full.

A full maildrop is a refusal for now (452 4.2.2, RFC 5321 §4.2.3, RFC 3463 §3.3), so the sender keeps the letter and
tries again; nothing is lost meanwhile. Octets and letters are those that POP3 shows; what can be recovered counts
for nothing. Letters that come at the same moment may each find the room that is left, so a quota can be exceeded
by them, and notices of this office are never refused.
"""

from __future__ import annotations

from postoffice.accounts.terms import WARNED, Bylaws, Terms
from postoffice.accounts.words import tell
from postoffice.clock import Clock
from postoffice.errors import Refusal, StoreError
from postoffice.events import event
from postoffice.store.base import Directory, Office
from postoffice.store.model import Account

WARNING_PERCENT = 90


class Quotas:
    """One per process. `host` signs the warnings."""

    def __init__(self, host: str, office: Office, directory: Directory, clock: Clock) -> None:
        self.bylaws = Bylaws(directory, clock)
        self._host = host
        self._office = office
        self._directory = directory
        self._clock = clock

    async def check(self, account: Account, octets: int) -> None:
        """A Refusal for now if there is no room for one more letter of that size; 0 where it is not known yet.

        One that would not even fit into the empty mailbox is refused for good.
        """
        terms = await self.bylaws.of(account)
        if not terms.has_quota:
            return
        if terms.quota_octets and octets > terms.quota_octets:
            public = f"A letter may have {terms.quota_octets} octets in this mailbox"
            raise Refusal(permanent=True, status="2.3", public=public)
        letters, held = await self._usage(account)
        is_full = terms.quota_letters and letters + 1 > terms.quota_letters
        if is_full or (terms.quota_octets and held + max(octets, 1) > terms.quota_octets):
            because = f"{account.address} has {letters} letters of {held} octets"
            raise Refusal(permanent=False, status="2.2", public="The mailbox is full", because=because)

    async def warn(self, account: Account) -> None:
        """After a delivery: a letter to the owner if nine tenths are full, once until there is room again.

        The delivery stands whatever happens here.
        """
        try:
            terms = await self.bylaws.of(account)
            if not terms.has_quota:
                return
            percent = _percent(terms, *await self._usage(account))
            if percent < WARNING_PERCENT and terms.is_warned:
                await self._directory.change_settings(account.address, {WARNED: ""})
            elif (
                percent >= WARNING_PERCENT
                and not terms.is_warned
                # Of several processes that see it now, the one that changes something writes the letter.
                and await self._directory.change_settings(account.address, {WARNED: "yes"})
            ):
                await self._write(account, terms, percent)
        except StoreError as error:
            event("quota.failed", account=account.address, error=str(error))

    async def _usage(self, account: Account) -> tuple[int, int]:
        mailbox = await self._office.mailbox(account.account_id)
        snapshot = await mailbox.snapshot()
        return len(snapshot.keys), sum(snapshot.octets)

    async def _write(self, account: Account, terms: Terms, percent: int) -> None:
        limits = [f"{terms.quota_letters} letters"] if terms.quota_letters else []
        limits += [f"{terms.quota_octets} octets"] if terms.quota_octets else []
        lines = (
            f"The mailbox of {account.address} may hold {' and '.join(limits)}, and is {percent} % full.",
            "",
            "When it is full, letters are not taken any more: their senders try again for some days and are then told",
            "that they could not be delivered. Pull your letters and let your mail program delete them here.",
        )
        subject = f"Your mailbox is {percent} % full"
        await tell(self._office, self._host, account, subject, lines, self._clock())
        event("quota.warned", account=account.address, percent=percent)


def _percent(terms: Terms, letters: int, octets: int) -> int:
    """How full it is by the quota that is nearer."""
    shares = [(letters, terms.quota_letters), (octets, terms.quota_octets)]
    return max(used * 100 // quota for used, quota in shares if quota)
