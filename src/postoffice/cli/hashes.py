"""Passwords move in as the old server kept them: its users go on with them, and notice nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from postoffice.accounts import imported, verifiers
from postoffice.accounts.devices import OWN
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.residents import normalized_domain
from postoffice.errors import UsageError
from postoffice.message.printable import safe
from postoffice.moving.letters import Complaint
from postoffice.moving.passwd import Entry, entries
from postoffice.store.base import Store
from postoffice.store.model import Account, Credential

AT_ONCE = 200
"""How many accounts are written in one go: the committer makes them one transaction."""
STANDARD_INPUT = Path("-")


@dataclass(slots=True)
class Taken:
    """What came of the lines. `kept` had a password of their own here; `locked` have none there."""

    taken: int = 0
    added: int = 0
    known: int = 0
    kept: int = 0
    locked: int = 0
    lost: int = 0
    complaints: list[Complaint] = field(default_factory=list)

    def complain(self, complaint: Complaint) -> None:
        self.complaints.append(complaint)
        if complaint.loses:
            self.lost += 1
        else:
            self.locked += 1

    def told(self) -> str:
        words = [f"{self.taken} passwords taken"]
        counted = {
            "accounts added": self.added,
            "already had": self.known,
            "kept, because they were set here": self.kept,
            "locked": self.locked,
            "not taken": self.lost,
        }
        return "; ".join([*words, *(f"{number} {what}" for what, number in counted.items() if number)])


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@data_option
@click.option("--domain", metavar="DOMAIN", help="The domain of names that have none.")
@click.option("--add", is_flag=True, help="Make accounts and domains that are not here.")
@click.option("--replace", is_flag=True, help="Also in place of passwords that were set here.")
@click.option(
    "--scheme", default="CRYPT", show_default=True, metavar="SCHEME", help="Of hashes that do not name their scheme."
)
def passwords(file: Path, data: Path | None, domain: str | None, add: bool, replace: bool, scheme: str) -> None:
    """Password hashes of another server: each is replaced by argon2id when its owner first logs in.

    FILE (or - for standard input) is a passwd-file of Dovecot, a file like /etc/shadow, or has an address and a hash
    in each line.
    """
    octets = _octets(file)
    found = list(entries(file, octets, normalized_domain(domain) if domain else ""))
    taken = with_store(data, lambda store: _take(store, found, _Rules(scheme, add=add, replace=replace)))
    for complaint in taken.complaints:
        click.echo(f"postoffice: {safe(str(complaint))}", err=True)
    click.echo(taken.told())
    if taken.lost:
        raise UsageError(f"{taken.lost} lines gave no password; mend that and run it again", os.EX_DATAERR)


def _octets(file: Path) -> bytes:
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}", os.EX_NOINPUT) from error


@dataclass(frozen=True, slots=True)
class _Rules:
    scheme: str
    add: bool
    replace: bool


async def _take(store: Store, found: Sequence[Entry | Complaint], rules: _Rules) -> Taken:
    """Take every line, so many at once; what is wrong with one stops no other."""
    taking = _Taking(store, rules)
    for begin in range(0, len(found), AT_ONCE):
        portion = found[begin : begin + AT_ONCE]
        for complaint in await asyncio.gather(*(taking.take(one) for one in portion)):
            if complaint is not None:
                taking.taken.complain(complaint)
    return taking.taken


class _Taking:
    def __init__(self, store: Store, rules: _Rules) -> None:
        self.taken = Taken()
        self._directory = store.directory
        self._rules = rules
        self._adding_domain = asyncio.Lock()

    async def take(self, one: Entry | Complaint) -> Complaint | None:
        """Give an account its old password. What cannot be is the complaint."""
        if isinstance(one, Complaint):
            return one
        account = await self._directory.find(one.address)
        if account is not None and account.address != one.address:
            account = None  # it only answers for that address
        if account is None and not self._rules.add:
            return Complaint(one.where, f"{one.address}: there is no such account; --add makes it", loses=True)
        before = await self._verifier(account)
        if before is not None and imported.scheme_of(before) is None and not self._rules.replace:
            self.taken.kept += 1
            return None
        try:
            verifier = verifiers.of_imported(one.kept, self._rules.scheme)
        except ValueError as error:
            return Complaint(one.where, f"{one.address}: {error}", loses=True)
        if verifier == before:
            self.taken.known += 1
            return None
        account = account or await self._add(one.address)
        await self._directory.set_credential(Credential(account.account_id, OWN, verifier))
        self.taken.taken += 1
        return None

    async def _verifier(self, account: Account | None) -> str | None:
        """How its own password is kept now."""
        credentials = await self._directory.credentials(account.account_id) if account else []
        return next((credential.verifier for credential in credentials if credential.name == OWN), None)

    async def _add(self, address: str) -> Account:
        """An account, and its domain if that is new."""
        domain = address.rpartition("@")[2]
        async with self._adding_domain:
            if not await self._directory.has_domain(domain):
                await self._directory.add_domain(domain)
        self.taken.added += 1
        return await self._directory.add_account(address, time.time())
