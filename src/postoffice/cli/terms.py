"""The terms on which accounts are kept, as a person sets them (`key=value`) and reads them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from postoffice.accounts.retention import tend
from postoffice.accounts.terms import RULES, Bylaws, checked, merged
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.recover import removed_letters
from postoffice.cli.residents import known, known_domain, normalized, normalized_domain
from postoffice.errors import UsageError
from postoffice.store.base import Store
from postoffice.store.model import Account, Snapshot

TAKE_BACK = "default"
"""The value that takes a setting back: the domain's holds again, or everybody's."""


@click.command(name="show")
@click.argument("address")
@data_option
def show_account(address: str, data: Path | None) -> None:
    """What is known of an account, and the terms on which it is kept."""

    async def look(store: Store) -> tuple[Account, Snapshot, int, dict[str, dict[str, str]]]:
        account = await known(store, normalized(address))
        mailbox = await store.office.mailbox(account.account_id)
        removed = len(await removed_letters(mailbox))
        return account, await mailbox.snapshot(), removed, await store.directory.settings()

    account, snapshot, removed, settings = with_store(data, look)
    own, of_domain = settings.get(account.address, {}), settings.get(account.address.rpartition("@")[2], {})
    kept = merged(of_domain, own)
    letters, octets = len(snapshot.keys), sum(snapshot.octets)
    click.echo(f"address        {account.address}")
    click.echo(f"created        {datetime.fromtimestamp(account.created, UTC):%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"letters        {letters}{_share(letters, kept.quota_letters)}")
    click.echo(f"octets         {octets}{_share(octets, kept.quota_octets)}")
    click.echo(f"recoverable    {removed}")
    for line in lines(own, of_domain):
        click.echo(line)


def _share(used: int, quota: int) -> str:
    return f"  ({used * 100 // quota} % of the quota)" if quota else ""


@click.command(name="set")
@click.argument("address")
@click.argument("words", nargs=-1, required=True, metavar="KEY=VALUE...")
@data_option
def set_account(address: str, words: tuple[str, ...], data: Path | None) -> None:
    """Set how an account is kept: retain=30 quota-octets=2G protocols=pop3. KEY=default takes a setting back."""
    name, wanted = normalized(address), changes(words)

    async def change(store: Store) -> int:
        return await _change(store, [await known(store, name)], name, wanted)

    _tell(name, with_store(data, change))


@click.command(name="show")
@click.argument("name")
@data_option
def show_domain(name: str, data: Path | None) -> None:
    """The terms on which the accounts of a domain are kept, where they have none of their own."""
    domain = normalized_domain(name)

    async def look(store: Store) -> dict[str, str]:
        await known_domain(store, domain)
        return (await store.directory.settings()).get(domain, {})

    for line in lines(with_store(data, look)):
        click.echo(line)


@click.command(name="set")
@click.argument("name")
@click.argument("words", nargs=-1, required=True, metavar="KEY=VALUE...")
@data_option
def set_domain(name: str, words: tuple[str, ...], data: Path | None) -> None:
    """Set how the accounts of a domain are kept that have no setting of their own. KEY=default takes one back."""
    domain, wanted = normalized_domain(name), changes(words)

    async def change(store: Store) -> int:
        await known_domain(store, domain)
        everybody = await store.directory.accounts()
        there = [account for account in everybody if account.address.endswith(f"@{domain}")]
        return await _change(store, there, domain, wanted)

    _tell(domain, with_store(data, change))


async def _change(store: Store, accounts: list[Account], owner: str, wanted: dict[str, str]) -> int:
    """Set it. Where nothing can be recovered any more, what still could is gone at once; gives how many letters."""
    bylaws = Bylaws(store.directory)
    before = [await bylaws.of(account) for account in accounts]
    await store.directory.change_settings(owner, wanted)
    gone = 0
    for account, old in zip(accounts, before, strict=True):
        new = await bylaws.of(account)
        if old.recovery_days and not new.recovery_days:
            gone += (await tend(store.office, account, new, time.time())).forgotten
    return gone


def _tell(owner: str, gone: int) -> None:
    click.echo(f"{owner} is kept as said")
    if gone:
        click.echo(f"letters that could be recovered until now and are gone: {gone}")


def changes(words: Sequence[str]) -> dict[str, str]:
    """Settings from `key=value` words; an empty value takes one back. A `UsageError` names everything wrong at once."""
    found: dict[str, str] = {}
    problems = []
    for word in words:
        key, is_there, value = word.partition("=")
        try:
            if not is_there or not value:
                raise ValueError(f"{word}: is not key=value; to take a setting back: {key or 'key'}={TAKE_BACK}")
            if key in found:
                raise ValueError(f"{key}: is set twice")
            found[key] = "" if value == TAKE_BACK and key in RULES else checked(key, value)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems), os.EX_USAGE)
    return found


def lines(own: Mapping[str, str], domain: Mapping[str, str] | None = None) -> Iterator[str]:
    """Every setting with its value, and whose it is if it is not the usual one."""
    for key, rule in RULES.items():
        if key in own:
            yield f"{key:<13}  {own[key]}"
        elif domain is not None and key in domain:
            yield f"{key:<13}  {domain[key]}  (of the domain)"
        else:
            yield f"{key:<13}  {rule.usual}  (as everybody)"
