"""Who lives at the office, from `office.db`: looked up at once, changed by jobs of the committer."""

from __future__ import annotations

from collections.abc import Mapping

from postoffice.store.embedded.jobs import (
    AddAccount,
    AddDomain,
    ChangeSettings,
    RemoveAccount,
    RemoveCredential,
    SetCredential,
)
from postoffice.store.embedded.office import EmbeddedOffice
from postoffice.store.embedded.premises import Premises
from postoffice.store.model import Account, Credential

ROLES = ("postmaster", "abuse")
"""The addresses that every domain answers to (RFC 5321 §4.5.1, RFC 2142)."""

FIRST_OF = "SELECT account_id, address, created FROM accounts ORDER BY domain != ?, account_id LIMIT 1"


class EmbeddedDirectory:
    """A `Directory`."""

    def __init__(self, premises: Premises, office: EmbeddedOffice) -> None:
        self._premises = premises
        self._office = office

    async def domains(self) -> list[str]:
        sql = "SELECT domain FROM domains ORDER BY domain_id"
        return [domain for (domain,) in self._premises.ask(lambda db: db.execute(sql).fetchall())]

    async def has_domain(self, domain: str) -> bool:
        sql = "SELECT 1 FROM domains WHERE domain = ?"
        return self._premises.ask(lambda db: db.execute(sql, (domain,)).fetchone()) is not None

    async def add_domain(self, domain: str) -> None:
        await self._premises.committer.run(AddDomain(domain))

    async def find(self, address: str) -> Account | None:
        sql = "SELECT account_id, address, created FROM accounts WHERE address = ?"
        row = self._premises.ask(lambda db: db.execute(sql, (address,)).fetchone())
        if row is None:
            local, _, domain = address.rpartition("@")
            if local not in ROLES or not await self.has_domain(domain):
                return None
            row = self._premises.ask(lambda db: db.execute(FIRST_OF, (domain,)).fetchone())
        return Account(*row) if row is not None else None

    async def accounts(self) -> list[Account]:
        sql = "SELECT account_id, address, created FROM accounts ORDER BY account_id"
        return [Account(*row) for row in self._premises.ask(lambda db: db.execute(sql).fetchall())]

    async def add_account(self, address: str, now: float) -> Account:
        return await self._premises.committer.run(AddAccount(address, now))

    async def remove_account(self, account_id: int) -> None:
        moving = await self._premises.moving(account_id)
        try:
            spooled = await self._premises.committer.run(RemoveAccount(account_id))
            self._premises.spool.discard(spooled)
            self._office.forget_mailbox(account_id)
        finally:
            moving.give_back()

    async def credentials(self, account_id: int) -> list[Credential]:
        sql = "SELECT account_id, name, verifier FROM credentials WHERE account_id = ? ORDER BY name"
        rows = self._premises.ask(lambda db: db.execute(sql, (account_id,)).fetchall())
        return [Credential(*row) for row in rows]

    async def set_credential(self, credential: Credential, instead_of: str | None = None) -> bool:
        job = SetCredential(credential.account_id, credential.name, credential.verifier, instead_of)
        return await self._premises.committer.run(job)

    async def remove_credential(self, account_id: int, name: str) -> None:
        await self._premises.committer.run(RemoveCredential(account_id, name))

    async def everybody_has(self, scheme: str) -> bool:
        sql = (
            "SELECT EXISTS (SELECT 1 FROM credentials)"
            " AND NOT EXISTS (SELECT 1 FROM credentials WHERE instr(verifier, ?) = 0)"
        )
        return bool(self._premises.ask(lambda db: db.execute(sql, (scheme,)).get))

    async def secret(self) -> bytes:
        return bytes(self._premises.ask(lambda db: db.execute("SELECT secret FROM office").get))

    async def settings(self) -> dict[str, dict[str, str]]:
        rows = self._premises.ask(lambda db: db.execute("SELECT owner, key, value FROM settings").fetchall())
        settings: dict[str, dict[str, str]] = {}
        for owner, key, value in rows:
            settings.setdefault(owner, {})[key] = value
        return settings

    async def change_settings(self, owner: str, changes: Mapping[str, str]) -> bool:
        return await self._premises.committer.run(ChangeSettings(owner, dict(changes)))

    async def generation(self) -> int:
        return self._premises.residents.generation()
