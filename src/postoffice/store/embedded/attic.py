"""Accounts that were removed and may come back: what to keep of them, and how that is done by `removal`."""

from __future__ import annotations

from postoffice.errors import StoreError
from postoffice.store.embedded.directory import EmbeddedDirectory
from postoffice.store.embedded.office import EmbeddedOffice
from postoffice.store.embedded.removal import Deed
from postoffice.store.embedded.visits import EmbeddedVisits
from postoffice.store.model import Account, RemovedAccount


class EmbeddedAttic:
    """An `Attic`."""

    def __init__(self, office: EmbeddedOffice, directory: EmbeddedDirectory, visits: EmbeddedVisits) -> None:
        self._office = office
        self._directory = directory
        self._visits = visits

    async def set_aside(self, account_id: int, now: float, until: float) -> None:
        found = [account for account in await self._directory.accounts() if account.account_id == account_id]
        if not found:
            raise StoreError(f"there is no account {account_id}")
        [account] = found
        await (await self._office.mailbox(account_id)).absorb()
        deed = Deed(
            account_id=account_id,
            address=account.address,
            created=account.created,
            removed=now,
            until=until,
            credentials={one.name: one.verifier for one in await self._directory.credentials(account_id)},
            settings=(await self._directory.settings()).get(account.address, {}),
            visits={viewer: visit.at for viewer, visit in (await self._visits.last(account_id)).items()},
        )
        await self._office.removal.set_aside(deed)
        self._office.forget_mailbox(account_id)

    async def accounts(self) -> list[RemovedAccount]:
        deeds = await self._office.removal.standing()
        return [
            RemovedAccount(Account(deed.account_id, deed.address, deed.created), deed.removed, deed.until)
            for deed in deeds
        ]

    async def bring_back(self, account_id: int) -> Account:
        return await self._office.removal.bring_back(account_id)

    async def forget(self, account_id: int) -> None:
        await self._office.removal.forget(account_id)
