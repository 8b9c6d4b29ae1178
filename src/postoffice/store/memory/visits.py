"""Who came when."""

from __future__ import annotations

from collections.abc import Sequence

from postoffice.store.memory.directory import MemoryDirectory
from postoffice.store.model import (
    OWNER,
    Account,
    Pace,
    Visit,
)


class MemoryVisits:
    """By account and viewer: the last visit, and when all tokens for logins are there again."""

    def __init__(self, directory: MemoryDirectory) -> None:
        self._directory = directory
        self._last: dict[tuple[int, str], Visit] = {}
        self._full_again: dict[tuple[int, str], float] = {}

    async def count(self, account_id: int, viewer: str, now: float, pace: Pace) -> bool:
        full_again = pace.next_time(self._full_again.get((account_id, viewer), 0.0), now)
        if full_again is None:
            return False
        self._full_again[account_id, viewer] = full_again
        return True

    async def note(self, visits: Sequence[Visit]) -> None:
        here = {account.account_id for account in await self._directory.accounts()}
        for visit in visits:
            if visit.account_id not in here:
                continue
            known = self._last.get((visit.account_id, visit.viewer))
            if known is None or known.at <= visit.at:
                self._last[visit.account_id, visit.viewer] = visit

    async def last(self, account_id: int) -> dict[str, Visit]:
        here = {account.account_id for account in await self._directory.accounts()} & {account_id}
        return {viewer: visit for (account, viewer), visit in self._last.items() if account in here}

    async def forget(self, account_id: int, viewer: str) -> None:
        self._last.pop((account_id, viewer), None)
        self._full_again.pop((account_id, viewer), None)

    async def with_devices(self) -> list[Account]:
        found = {account_id for account_id, viewer in self._last if viewer != OWNER}
        return [account for account in await self._directory.accounts() if account.account_id in found]
