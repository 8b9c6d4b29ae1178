"""Who came when, from `office.db`: looked up at once, noted by jobs of the committer."""

from __future__ import annotations

from collections.abc import Sequence

from postoffice.store.embedded.committing import next_login
from postoffice.store.embedded.jobs import CountLogin, ForgetVisits, NoteVisits
from postoffice.store.embedded.premises import Premises
from postoffice.store.model import Account, Pace, Visit


class EmbeddedVisits:
    """A `Visits`."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

    async def count(self, account_id: int, viewer: str, now: float, pace: Pace) -> bool:
        # Whoever comes too soon costs a look, and nothing is written for him.
        if self._premises.ask(lambda office: next_login(office, account_id, viewer, now, pace)) is None:
            return False
        return await self._premises.committer.run(CountLogin(account_id, viewer, now, pace.seconds, pace.burst))

    async def note(self, visits: Sequence[Visit]) -> None:
        if visits:
            await self._premises.committer.run(NoteVisits(list(visits)))

    async def last(self, account_id: int) -> dict[str, Visit]:
        sql = "SELECT viewer, at, warned FROM visits WHERE account_id = ?"
        rows = self._premises.ask(lambda office: office.execute(sql, (account_id,)).fetchall())
        return {viewer: Visit(account_id, viewer, at, warned) for viewer, at, warned in rows}

    async def forget(self, account_id: int, viewer: str) -> None:
        await self._premises.committer.run(ForgetVisits(account_id, viewer))

    async def with_devices(self) -> list[Account]:
        sql = (
            "SELECT account_id, address, created FROM accounts WHERE account_id IN"
            " (SELECT account_id FROM visits WHERE viewer != '') ORDER BY account_id"
        )
        return [Account(*row) for row in await self._premises.far.run(lambda office: office.execute(sql).fetchall())]
