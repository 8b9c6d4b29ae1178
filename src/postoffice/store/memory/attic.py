"""Accounts that were removed and may come back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from postoffice.errors import StoreError
from postoffice.store.memory.directory import MemoryDirectory
from postoffice.store.memory.mailbox import MemoryMailbox
from postoffice.store.memory.office import MemoryOffice
from postoffice.store.memory.visits import MemoryVisits
from postoffice.store.model import (
    Account,
    Credential,
    RemovedAccount,
    Visit,
)


@dataclass(frozen=True, slots=True)
class _Aside:
    """All of an account that was removed and may come back."""

    removed: RemovedAccount
    mailbox: MemoryMailbox
    credentials: list[Credential]
    settings: dict[str, str]
    visits: list[Visit]


class MemoryAttic:
    """What was set aside, by the id that it had."""

    def __init__(self, office: MemoryOffice, directory: MemoryDirectory, visits: MemoryVisits) -> None:
        self._office = office
        self._directory = directory
        self._visits = visits
        self._aside: dict[int, _Aside] = {}

    async def set_aside(self, account_id: int, now: float, until: float) -> None:
        found = [account for account in await self._directory.accounts() if account.account_id == account_id]
        if not found:
            raise StoreError(f"there is no account {account_id}")
        [account] = found
        self._aside[account_id] = _Aside(
            RemovedAccount(account, now, until),
            await self._office.mailbox(account_id),
            await self._directory.credentials(account_id),
            (await self._directory.settings()).get(account.address, {}),
            list((await self._visits.last(account_id)).values()),
        )
        await self._directory.remove_account(account_id)

    async def accounts(self) -> list[RemovedAccount]:
        return [aside.removed for aside in self._aside.values()]

    async def bring_back(self, account_id: int) -> Account:
        aside = self._known(account_id)
        before = aside.removed.account
        account = self._directory.move_in(before.address, before.created, aside.mailbox)
        for credential in aside.credentials:
            await self._directory.set_credential(replace(credential, account_id=account.account_id))
        await self._directory.change_settings(account.address, aside.settings)
        await self._visits.note([Visit(account.account_id, visit.viewer, visit.at) for visit in aside.visits])
        del self._aside[account_id]
        return account

    async def forget(self, account_id: int) -> None:
        self._known(account_id)
        del self._aside[account_id]

    def _known(self, account_id: int) -> _Aside:
        if account_id not in self._aside:
            raise StoreError(f"no account {account_id} was removed that can be had back")
        return self._aside[account_id]
