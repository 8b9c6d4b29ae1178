"""Accounts that go, and come back: `postoffice account remove`, `account recover`, `account list --removed`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from postoffice.accounts.leaving import Belongings, belongings, kept_until, leave
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.residents import known, normalized
from postoffice.errors import DamagedStore, StoreError, StoreUnavailable, UsageError
from postoffice.quantities import counted, size
from postoffice.store.base import Store
from postoffice.store.model import RemovedAccount

COLUMN = 12


@click.command()
@click.argument("address")
@data_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--forget", is_flag=True, help="Keep nothing of it, whatever its `recovery` is.")
def remove(address: str, data: Path | None, yes: bool, forget: bool) -> None:
    """Remove an account with all that it has: letters, passwords, settings. Says what that is, and asks.

    Where `recovery` is set for the account, it can be had back for as many days: postoffice account recover ADDRESS
    """
    name = normalized(address)

    async def do(store: Store) -> float | None:
        account = await known(store, name)
        now = time.time()
        until = None if forget else await kept_until(store, account, now)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(f"there is no terminal to ask whether {name} may go; use --yes", os.EX_USAGE)
            for line in _told(name, await belongings(store, account)):
                click.echo(line, err=True)
            click.echo(_back(name, until, forget=forget), err=True)
            click.confirm(f"Remove {name}?", abort=True, err=True)
        await leave(store, account, now, until)
        return until

    until = with_store(data, do)
    click.echo(f"{name} removed" if until is None else f"{name} removed; {_how(name, until)}")


def _told(name: str, those: Belongings) -> Iterator[str]:
    """A line for each thing that goes, or changes for others."""
    yield f"{name} goes, and with it:"
    if those.trouble:
        yield _line("letters", f"cannot be told: {those.trouble}")
    else:
        since = f", since {day(those.since)}" if those.since is not None else ""
        yield _line("letters", f"{counted(those.letters, 'letter')}, {size(those.octets)}{since}")
    if those.recoverable:
        yield _line("deleted", f"{counted(those.recoverable, 'letter')} that could be recovered")
    yield _line("passwords", ", ".join(those.passwords) or "none")
    if those.settings:
        yield _line("settings", " ".join(f"{key}={value}" for key, value in those.settings.items()))
    if those.queued:
        yield _line("on its way", f"{counted(those.queued, 'letter')} from it: they are carried all the same")
    domain = name.rpartition("@")[2]
    if those.is_last:
        yield _line("domain", f"nobody is left in {domain}; letters for it are refused")
    if those.heir is not None:
        yield _line("postmaster", f"letters for postmaster and abuse of {domain} go to {those.heir or 'nobody'} then")


def _line(what: str, text: str) -> str:
    return f"  {what:{COLUMN}}{text}"


def _back(name: str, until: float | None, *, forget: bool) -> str:
    if until is not None:
        return _how(name, until).replace("until", "Until", 1)
    return "Nothing of it can be had back" + ("." if forget else ", for its `recovery` is 0.")


def _how(name: str, until: float) -> str:
    return f"until {day(until)} it can be had back by: postoffice account recover {name}"


@click.command()
@click.argument("address")
@click.argument("number", required=False, type=click.IntRange(min=1))
@data_option
def recover(address: str, number: int | None, data: Path | None) -> None:
    """Bring back an account that was removed, with letters, passwords and settings.

    Of several that had the address it is the last one, or the NUMBER that `account list --removed` tells.
    """
    name = normalized(address)

    async def do(store: Store) -> int:
        found = [one for one in await store.attic.accounts() if one.account.address == name]
        if number is not None:
            found = [one for one in found if one.account.account_id == number]
        if not found:
            which = f" with the number {number}" if number is not None else ""
            raise UsageError(f"{name}: no such account{which} was removed that can be had back", os.EX_NOUSER)
        try:
            account = await store.attic.bring_back(found[-1].account.account_id)
        except (DamagedStore, StoreUnavailable):
            raise
        except StoreError as error:
            raise UsageError(str(error), os.EX_CANTCREAT) from error
        return len((await (await store.office.mailbox(account.account_id)).snapshot()).keys)

    letters = with_store(data, do)
    click.echo(f"{name} is here again, with {counted(letters, 'letter')}")


async def removed_lines(store: Store) -> list[str]:
    """Every account that can be had back."""
    return [_removed_line(one) for one in await store.attic.accounts()]


def _removed_line(one: RemovedAccount) -> str:
    number, address = one.account.account_id, one.account.address
    return f"{number:>5}  removed {day(one.removed)}  until {day(one.until)}  {address}"


def day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
