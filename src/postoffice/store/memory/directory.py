"""Who lives here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import count

from postoffice.errors import StoreError
from postoffice.store.memory.mailbox import MemoryMailbox
from postoffice.store.memory.office import MemoryOffice
from postoffice.store.model import (
    Account,
    Credential,
)


class MemoryDirectory:
    """Accounts by address, in the order in which they came."""

    def __init__(self, office: MemoryOffice) -> None:
        self._office = office
        self._domains: list[str] = []
        self._accounts: dict[str, Account] = {}
        self._credentials: dict[tuple[int, str], Credential] = {}
        self._settings: dict[str, dict[str, str]] = {}
        self._next_account = count(1)
        self._secret = secrets.token_bytes(32)
        self._generation = 1

    async def domains(self) -> list[str]:
        return list(self._domains)

    async def has_domain(self, domain: str) -> bool:
        return domain in self._domains

    async def add_domain(self, domain: str) -> None:
        if domain in self._domains:
            raise StoreError(f"the domain {domain} is here already")
        self._domains.append(domain)
        self._generation += 1

    async def find(self, address: str) -> Account | None:
        local, _, domain = address.rpartition("@")
        account = self._accounts.get(address)
        if account or domain not in self._domains or local not in ("postmaster", "abuse"):
            return account
        everybody = list(self._accounts.values())
        there = [account for account in everybody if account.address.endswith("@" + domain)]
        return next(iter(there or everybody), None)

    async def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    async def add_account(self, address: str, now: float) -> Account:
        return self.move_in(address, now)

    def move_in(self, address: str, created: float, mailbox: MemoryMailbox | None = None) -> Account:
        domain = address.rpartition("@")[2]
        if domain not in self._domains:
            raise StoreError(f"the domain {domain} is not here")
        if address in self._accounts:
            raise StoreError(f"the address {address} is taken")
        self._accounts[address] = account = Account(next(self._next_account), address, created)
        self._office.open_mailbox(account.account_id, mailbox)
        self._generation += 1
        return account

    async def remove_account(self, account_id: int) -> None:
        self._accounts = {
            address: account for address, account in self._accounts.items() if account.account_id != account_id
        }
        self._credentials = {
            name: credential for name, credential in self._credentials.items() if name[0] != account_id
        }
        here = {*self._accounts, *self._domains}
        self._settings = {owner: settings for owner, settings in self._settings.items() if owner in here}
        self._office.drop_mailbox(account_id)
        self._generation += 1

    async def credentials(self, account_id: int) -> list[Credential]:
        return [credential for credential in self._credentials.values() if credential.account_id == account_id]

    async def set_credential(self, credential: Credential, instead_of: str | None = None) -> bool:
        name = (credential.account_id, credential.name)
        if instead_of is not None:
            if self._credentials.get(name) != Credential(*name, instead_of):
                return False
        elif all(account.account_id != credential.account_id for account in self._accounts.values()):
            raise StoreError(f"there is no account {credential.account_id}")
        self._credentials[name] = credential
        self._generation += instead_of is None
        return True

    async def remove_credential(self, account_id: int, name: str) -> None:
        if self._credentials.pop((account_id, name), None) is None:
            raise StoreError(f"there is no credential {name!r}")
        self._generation += 1

    async def everybody_has(self, scheme: str) -> bool:
        verifiers = [credential.verifier for credential in self._credentials.values()]
        return bool(verifiers) and all(scheme in verifier for verifier in verifiers)

    async def secret(self) -> bytes:
        return self._secret

    async def settings(self) -> dict[str, dict[str, str]]:
        return {owner: dict(settings) for owner, settings in self._settings.items()}

    async def change_settings(self, owner: str, changes: Mapping[str, str]) -> bool:
        if owner not in self._accounts and owner not in self._domains:
            raise StoreError(f"there is no account or domain {owner}")
        before = self._settings.get(owner, {})
        after = {key: value for key, value in {**before, **changes}.items() if value}
        if after == before:
            return False
        self._settings[owner] = after
        self._settings = {owner: settings for owner, settings in self._settings.items() if settings}
        self._generation += 1
        return True

    async def generation(self) -> int:
        return self._generation
