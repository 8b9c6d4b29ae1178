"""Who lives in an office: accounts and domains."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from postoffice.cli.folder import data_option, with_store
from postoffice.cli.secrets import generate, generated_password, new_password, password_stdin, scram
from postoffice.errors import DamagedStore, Refusal, StoreError, StoreUnavailable, UsageError
from postoffice.message.address import parse_address, parse_domain
from postoffice.store.base import Store
from postoffice.store.model import Account, Credential

PASSWORD = "password"  # noqa: S105 - the name of a credential
"""The name of the credential that is the account's own password."""


@click.group()
def account() -> None:
    """People of this office."""


@account.command()
@click.argument("address")
@data_option
@password_stdin
@scram
@generate
def add(address: str, data: Path | None, password_stdin: bool, scram: bool, generate: bool) -> None:
    """Add an account; its domain is added with it if it is new."""
    name = normalized(address)
    password = _password(name, from_stdin=password_stdin, generate=generate)
    with_store(data, lambda store: add_account(store, name, password, with_scram=scram or generate))
    click.echo(password if generate else f"{name} added")


@account.command(name="list")
@data_option
def list_accounts(data: Path | None) -> None:
    """One address a line."""

    async def names(store: Store) -> list[str]:
        return [account.address for account in await store.directory.accounts()]

    for name in with_store(data, names):
        click.echo(name)


@account.command()
@click.argument("address")
@data_option
def show(address: str, data: Path | None) -> None:
    """What is known of an account."""

    async def look(store: Store) -> tuple[Account, int, int]:
        account = await _known(store, normalized(address))
        snapshot = await (await store.office.mailbox(account.account_id)).snapshot()
        return account, len(snapshot.keys), sum(snapshot.octets)

    account, letters, octets = with_store(data, look)
    click.echo(f"address  {account.address}")
    click.echo(f"created  {datetime.fromtimestamp(account.created, UTC):%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"letters  {letters}")
    click.echo(f"octets   {octets}")


@account.command()
@click.argument("address")
@data_option
@password_stdin
@scram
@generate
def password(address: str, data: Path | None, password_stdin: bool, scram: bool, generate: bool) -> None:
    """Give an account another password."""
    name = normalized(address)
    secret = _password(name, from_stdin=password_stdin, generate=generate)

    async def change(store: Store) -> None:
        account = await _known(store, name)
        verifier = await _verifier(store, name, secret, with_scram=scram or generate)
        await store.directory.set_credential(Credential(account.account_id, PASSWORD, verifier))

    with_store(data, change)
    click.echo(secret if generate else f"{name} has a new password")


@account.command()
@click.argument("address")
@data_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(address: str, data: Path | None, yes: bool) -> None:
    """Remove an account and all its letters."""
    name = normalized(address)

    async def do(store: Store) -> None:
        account = await _known(store, name)
        if not yes:
            count = len((await (await store.office.mailbox(account.account_id)).snapshot()).keys)
            if not sys.stdin.isatty():
                raise UsageError(f"there is no terminal to ask whether {name} may go; use --yes", os.EX_USAGE)
            click.confirm(f"Remove {name} and {count} letters for ever?", abort=True, err=True)
        await store.directory.remove_account(account.account_id)

    with_store(data, do)
    click.echo(f"{name} removed")


@click.group()
def domain() -> None:
    """Domains of this office."""


@domain.command(name="add")
@click.argument("name")
@data_option
def add_domain(name: str, data: Path | None) -> None:
    """Take letters for a domain."""
    try:
        ascii_name = parse_domain(name)
    except Refusal as refusal:
        raise UsageError(f"{name}: {refusal.public}", os.EX_USAGE) from refusal

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


def normalized(address: str) -> str:
    """An address as the directory spells it. One that is none is a `UsageError`."""
    try:
        return parse_address(address).normalized()
    except Refusal as refusal:
        raise UsageError(f"{address}: {refusal.public}", os.EX_USAGE) from refusal


def _password(name: str, *, from_stdin: bool, generate: bool) -> str:
    if generate and from_stdin:
        raise UsageError("--generate and --password-stdin are two ways to a password; choose one", os.EX_USAGE)
    return generated_password() if generate else new_password(name, from_stdin=from_stdin)


async def add_account(store: Store, address: str, password: str, *, with_scram: bool = False) -> Account:
    """Domain, account and password."""
    verifier = await _verifier(store, address, password, with_scram=with_scram)
    name = address.rpartition("@")[2]
    try:
        if not await store.directory.has_domain(name):
            await store.directory.add_domain(name)
        account = await store.directory.add_account(address, time.time())
    except StoreError as error:
        raise _said(error) from error
    await store.directory.set_credential(Credential(account.account_id, PASSWORD, verifier))
    return account


async def _verifier(store: Store, address: str, password: str, *, with_scram: bool) -> str:
    import unicodedata

    if with_scram:
        from postoffice.accounts.scram import make_verifiers

        try:
            return make_verifiers(password, address, await store.directory.secret())
        except ValueError as error:
            raise UsageError(f"this password cannot be used with SCRAM: {error}", os.EX_DATAERR) from error
    from postoffice.accounts.passwords import make_verifier

    return make_verifier(unicodedata.normalize("NFC", password))


async def _known(store: Store, address: str) -> Account:
    account = await store.directory.find(address)
    if account is None or account.address != address:
        raise UsageError(f"{address}: there is no such account", os.EX_NOUSER)
    return account


def _said(error: StoreError) -> StoreError | UsageError:
    """What a verb of the directory refuses is a person's mistake; damage is not."""
    return error if isinstance(error, DamagedStore | StoreUnavailable) else UsageError(str(error), os.EX_DATAERR)
