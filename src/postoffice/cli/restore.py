"""What backups are for: a whole office in a new folder, or the letters of one mailbox in an office that goes on.

One mailbox gets what is not in it any more, under the unique-ids that clients know, so that it is the same whether
this is done once or twice. Letters that were in the folder of removed ones at the backup are not brought back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.accounts.devices import count_owner
from postoffice.cli.folder import data_folder, data_option, with_store
from postoffice.cli.residents import normalized
from postoffice.cli.telling import Telling
from postoffice.errors import DamagedStore, UsageError
from postoffice.moving.letters import Complaint, Found, Opened, Unfit
from postoffice.moving.taking import Report, Witness, take_in
from postoffice.store.model import MOVER, REMOVED, Account, Credential

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox, Store
    from postoffice.store.embedded.backup import Contents, Kept, Vault


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, readable=False))
@data_option
@click.option("--backup", "name", default="", metavar="TIME", help="Which one, or how its name begins; else the last.")
@click.option("--account", "address", metavar="ADDRESS", help="Bring the letters of this mailbox back, and no others.")
@click.option("--without-queue", is_flag=True, help="Leave out letters to other offices: they may have gone since.")
@click.option("--list", "lists", is_flag=True, help="Only list the backups in DIR.")
@click.option("--check", "checks", is_flag=True, help="Only read every octet of the backup, and say what is damaged.")
def restore(
    directory: Path, data: Path | None, name: str, address: str | None, without_queue: bool, lists: bool, checks: bool
) -> None:
    """Make an office of a backup in DIR, in a data folder that has none.

    With --account, bring the letters of one mailbox that are not there any more into an office, running or not; an
    account that is gone is made again.

    What is damaged in the backup is named, and everything else restored; the exit status is 65 then.
    """
    from postoffice.store.embedded.backup import Contents, Vault, disk_errors

    if lists + checks + (address is not None) > 1 or (without_queue and (lists or checks or address is not None)):
        raise UsageError("--list, --check, --account and --without-queue do not go together", os.EX_USAGE)
    root = directory.absolute()
    with disk_errors(root), Vault.to_read(root) as vault:
        if lists:
            _list(vault)
            return
        found = Contents(vault, vault.find(name))
        if checks:
            damages = list(found.damages())
        elif address is not None:
            damages = _one_mailbox(found, normalized(address), data)
        else:
            damages = _office(found, data_folder(data), with_queue=not without_queue)
        for damage in damages:
            click.echo(f"postoffice: {damage}", err=True)
        if damages:
            raise DamagedStore(f"{found.backup.name}: what is named above is damaged; all else is sound")
        if checks:
            click.echo(f"{found.backup.name}: all {found.manifest.letters} letters are sound")


def _list(vault: Vault) -> None:
    for backup in vault.backups():
        try:
            found = backup.manifest()
        except DamagedStore as error:
            click.echo(f"{backup.name}  {error}")
            continue
        words = f"{found.accounts} accounts  {found.letters} letters  {found.octets} octets  {found.queued} queued"
        damaged = f"  {len(found.damages)} damaged" if found.damages else ""
        click.echo(f"{backup.name}  {words}{damaged}")


# --- all of it -------------------------------------------------------------------------------------------------


def _office(found: Contents, data: Path, *, with_queue: bool) -> list[str]:
    """Gives what is damaged."""
    from postoffice.app.privilege import check_way, give_away
    from postoffice.store.embedded.backup import day
    from postoffice.store.embedded.backup import restore as restore_office

    check_way(data)
    restored = restore_office(found, data, with_queue=with_queue)
    owner = give_away(data)
    belongs = f" and belongs to the user {owner}" if owner else ""
    click.echo(
        f"the office of {found.backup.name} is in {data}{belongs}: {restored.accounts} accounts,"
        f" {restored.letters} letters, {restored.octets} octets"
    )
    if restored.queued:
        first, last = map(day, restored.accepted)
        click.echo(
            f"{restored.queued} letters to other offices, accepted {first} to {last}, will be sent, again if they were"
            " since then; --without-queue leaves them out"
        )
    return restored.damages


# --- one mailbox -----------------------------------------------------------------------------------------------


def _one_mailbox(found: Contents, address: str, data: Path | None) -> list[str]:
    """Gives what is damaged."""
    there = {account.address: account for account in found.accounts}
    if address not in there:
        raise UsageError(f"{address}: is not in the backup {found.backup.name}", os.EX_NOUSER)
    then = there[address]
    if trouble := found.trouble(then):
        raise DamagedStore(f"{address}: {trouble}")
    telling = Telling(as_json=False)
    damages: list[str] = []

    def complain(complaint: Complaint) -> None:
        if complaint.loses:
            damages.append(f"{address}: {complaint}")
        else:
            telling.complain(complaint)

    async def bring_back(store: Store) -> Report:
        account = await _account(store, found, then)
        lock = await store.office.lock(account.account_id, MOVER)
        if lock is None:
            raise UsageError(f"{address}: letters are moved into this account just now", os.EX_TEMPFAIL)
        try:
            mailbox = await store.office.mailbox(account.account_id)
            missing = Missing(found, then, await _known(mailbox))
            witness = Witness(complain, telling.progress)
            report = await take_in(missing, mailbox, witness, store.office.free_octets)
            report.known = missing.known
            await count_owner(store, account, time.time())
            return report
        finally:
            await lock.release()

    telling.end(with_store(data, bring_back))
    return damages


class Missing:
    """The letters of an account in a backup that a mailbox has not, as an `OldStore`."""

    source = "backup"

    def __init__(self, found: Contents, account: Account, known: frozenset[str]) -> None:
        self._found = found
        letters = [letter for letter in found.letters(account) if letter.folder != REMOVED]
        self._letters = [one for one in letters if one.unique_id not in known and one.email_id not in known]
        self.known = len(letters) - len(self._letters)

    @property
    def total(self) -> int:
        return len(self._letters)

    def letters(self) -> Iterator[Found | Complaint]:
        for letter in self._letters:
            opened = partial(self._open, letter)
            yield Found(str(letter), None, letter.unique_id, opened, letter.flags, letter.folder)

    def _open(self, letter: Kept) -> Opened:
        return Opened(letter.internal_date, self._octets(letter.sha256), letter.prefix)

    def _octets(self, name: bytes) -> Iterator[bytes]:
        try:
            yield from self._found.vault.shelf.read(name)
        except DamagedStore as error:
            raise Unfit(str(error)) from error


async def _known(mailbox: Mailbox) -> frozenset[str]:
    """By what its letters are known, whoever sees them; those that were removed count as gone."""
    known: set[str] = set()
    for folder in await mailbox.folders():
        if folder.name != REMOVED:
            for entry in (await mailbox.changes(0, folder.name)).entries:
                known |= {entry.email_id, entry.unique_id}
    return frozenset(known)


async def _account(store: Store, found: Contents, then: Account) -> Account:
    """The account of that address; one that is gone is made again as it was."""
    account = await store.directory.find(then.address)
    if account is not None and account.address == then.address:
        return account
    domain = then.address.rpartition("@")[2]
    if not await store.directory.has_domain(domain):
        await store.directory.add_domain(domain)
    account = await store.directory.add_account(then.address, time.time())
    await store.directory.change_settings(then.address, found.settings(then.address))
    if found.secret() == await store.directory.secret():
        for one in found.credentials(then):
            await store.directory.set_credential(Credential(account.account_id, one.name, one.verifier))
        click.echo(f"{then.address} was gone, and is made again with its passwords", err=True)
    else:
        click.echo(f"{then.address} is new in this office; give it a password: postoffice account password", err=True)
    return account
