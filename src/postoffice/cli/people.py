"""Who lives in an office: accounts and domains."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from postoffice.accounts.devices import OWN
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.leaving import recover, remove, removed_lines
from postoffice.cli.passwords import Kept, given, kept, password, verifier
from postoffice.cli.residents import normalized, normalized_domain
from postoffice.cli.secrets import clear, generate, password_stdin, scram
from postoffice.cli.terms import set_account, set_domain, show_account, show_domain
from postoffice.errors import DamagedStore, StoreError, StoreUnavailable, UsageError
from postoffice.store.base import Store
from postoffice.store.model import Account, Credential


@click.group()
def account() -> None:
    """People of this office."""


@account.command()
@click.argument("address")
@data_option
@password_stdin
@scram
@clear
@generate
def add(address: str, data: Path | None, password_stdin: bool, scram: bool, clear: bool, generate: bool) -> None:
    """Add an account; its domain is added with it if it is new."""
    name = normalized(address)
    secret = given(name, from_stdin=password_stdin, generate=generate)
    kind = kept(scram=scram, clear=clear, generate=generate)
    with_store(data, lambda store: add_account(store, name, secret, kind))
    click.echo(secret if generate else f"{name} added")


@account.command(name="list")
@data_option
@click.option("--removed", is_flag=True, help="Those that were removed and can be had back by `account recover`.")
def list_accounts(data: Path | None, removed: bool) -> None:
    """One address a line."""

    async def names(store: Store) -> list[str]:
        if removed:
            return await removed_lines(store)
        return [account.address for account in await store.directory.accounts()]

    for name in with_store(data, names):
        click.echo(name)


account.add_command(show_account)
account.add_command(set_account)
account.add_command(password)
account.add_command(remove)
account.add_command(recover)


@click.group()
def domain() -> None:
    """Domains of this office."""


@domain.command(name="add")
@click.argument("name")
@data_option
def add_domain(name: str, data: Path | None) -> None:
    """Take letters for a domain."""
    ascii_name = normalized_domain(name)

    async def do(store: Store) -> None:
        try:
            await store.directory.add_domain(ascii_name)
        except StoreError as error:
            raise _said(error) from error

    with_store(data, do)
    click.echo(f"{ascii_name} added")


@domain.command(name="list")
@data_option
def list_domains(data: Path | None) -> None:
    """One domain a line."""

    async def names(store: Store) -> list[str]:
        return await store.directory.domains()

    for name in with_store(data, names):
        click.echo(name)


domain.add_command(show_domain)
domain.add_command(set_domain)


async def add_account(store: Store, address: str, secret: str, kind: Kept = Kept.OWN) -> Account:
    """Domain, account and password."""
    made = await verifier(store, address, secret, kind)
    name = address.rpartition("@")[2]
    try:
        if not await store.directory.has_domain(name):
            await store.directory.add_domain(name)
        account = await store.directory.add_account(address, time.time())
    except StoreError as error:
        raise _said(error) from error
    await store.directory.set_credential(Credential(account.account_id, OWN, made))
    return account


def _said(error: StoreError) -> StoreError | UsageError:
    """What a verb of the directory refuses is a person's mistake; damage is not."""
    return error if isinstance(error, DamagedStore | StoreUnavailable) else UsageError(str(error), os.EX_DATAERR)
