"""Who comes when: the delay between two logins of one viewer, and the last visit of each, noted in batches.

A login must not wait for a disk because somebody wants to know later when it was. So visits are remembered here and
written together, each viewer's at most once in an hour; what a crash takes with it is a few seconds of that. The first
of all is durable at once: whoever never came counts for nothing (`devices`).
"""

from __future__ import annotations

from postoffice.accounts.terms import Terms
from postoffice.clock import Clock, system_clock
from postoffice.store.base import Visits
from postoffice.store.model import Pace, Visit

NOTED_SECONDS = 3600.0
"""How exactly the last visit is known."""
REMEMBERED_LIMIT = 100_000


class VisitBook:
    """One per process."""

    def __init__(self, visits: Visits, clock: Clock = system_clock) -> None:
        self._visits = visits
        self._clock = clock
        self._noted: dict[tuple[int, str], float] = {}
        self._waiting: list[Visit] = []

    async def may_come(self, account_id: int, viewer: str, terms: Terms) -> bool:
        """Count a login that otherwise succeeded; False if it comes too soon after others (RFC 2449 §6.5)."""
        if not terms.login_delay:
            return True
        pace = Pace(terms.login_delay, terms.login_burst)
        return await self._visits.count(account_id, viewer, self._clock(), pace)

    async def note(self, account_id: int, viewer: str) -> None:
        """Somebody came just now. Durable if it was the first time of all, else some time after the next `write`."""
        now, name = self._clock(), (account_id, viewer)
        before = self._noted.get(name)
        if before is not None and 0 <= now - before < NOTED_SECONDS:
            return
        if before is None and viewer not in await self._visits.last(account_id):
            await self._visits.note([Visit(account_id, viewer, now)])
        else:
            self._waiting.append(Visit(account_id, viewer, now))
        if len(self._noted) >= REMEMBERED_LIMIT:
            self._noted.clear()  # then some are looked up, and written, once more
        self._noted[name] = now

    async def write(self) -> None:
        """Everything noted until now. Durable."""
        waiting, self._waiting = self._waiting, []
        try:
            if waiting:
                await self._visits.note(waiting)
        except BaseException:
            self._waiting = waiting + self._waiting
            raise
