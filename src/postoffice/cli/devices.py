"""Devices of an account: each has a generated password of its own, and deletes letters for itself alone.

The password is printed once, when it is made: only what can check it is kept. Whoever loses a telephone removes that
device by its name; all others stay good, and no letter waits for it any more.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from postoffice.accounts import verifiers
from postoffice.accounts.devices import NO_DEVICES, OWN, dismiss, idle, viewer_of
from postoffice.accounts.terms import DAY_SECONDS, Bylaws
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.passwords import kept, verifier
from postoffice.cli.residents import known, normalized
from postoffice.cli.secrets import clear, generated_password
from postoffice.errors import UsageError
from postoffice.store.base import Mailbox, Store
from postoffice.store.model import OWNER, Account, Credential, Sight, Viewer, Visit

NAME_CHARACTERS: Final = 64


@click.group()
def device() -> None:
    """Devices of an account, each with a password and a view of the maildrop of its own."""


@device.command()
@click.argument("address")
@click.argument("name")
@data_option
@clear
def add(address: str, name: str, data: Path | None, clear: bool) -> None:
    """Make a password for one more device and print it, once.

    It opens the maildrop, and submission too. From its first login on, the device sees every letter until it deletes
    it itself.
    """
    whose, called, secret = normalized(address), _name(name), generated_password()

    async def make(store: Store) -> None:
        account = await known(store, whose)
        if called in [credential.name for credential in await store.directory.credentials(account.account_id)]:
            raise UsageError(f"{whose} has a device named {called} already; remove it first", os.EX_CANTCREAT)
        await _forget_former(store, account, called)
        made = await verifier(store, whose, secret, kept(scram=False, clear=clear, generate=True))
        await store.directory.set_credential(Credential(account.account_id, called, made))

    with_store(data, make)
    click.echo(secret)


async def _forget_former(store: Store, account: Account, name: str) -> None:
    """A new device does not see with the eyes of one that had its name."""
    viewers = await (await store.office.mailbox(account.account_id)).viewers()
    if name not in {viewer.name for viewer in viewers} and name not in await store.visits.last(account.account_id):
        return
    terms = await Bylaws(store.directory).of(account)
    if await dismiss(store, account, name, terms) is None:
        raise UsageError(
            f"a device that was named {name} has a session still; try again when it is over, or take another name",
            os.EX_TEMPFAIL,
        )


@device.command(name="list")
@click.argument("address")
@data_option
def list_devices(address: str, data: Path | None) -> None:
    """The devices of an account: when each last came, what waits for it, and until when.

    The first line is the account's own password, which is a device too.
    """
    whose = normalized(address)

    async def look(store: Store) -> list[Device]:
        return await devices_of(store, await known(store, whose))

    rows = [("device", "kept as", "last came", "waiting", "lapses"), *(_row(each) for each in with_store(data, look))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


@device.command()
@click.argument("address")
@click.argument("name")
@data_option
def remove(address: str, name: str, data: Path | None) -> None:
    """Remove a device: its password opens nothing any more, and no letter waits for it."""
    whose, called = normalized(address), unicodedata.normalize("NFC", name)

    async def do(store: Store) -> int | None:
        account = await known(store, whose)
        devices = await store.directory.credentials(account.account_id)
        last = await store.visits.last(account.account_id)
        if viewer_of(called) == OWNER:
            raise UsageError(f"{called} is the account itself; see: postoffice account", os.EX_USAGE)
        is_new = called in [credential.name for credential in devices]
        if not is_new and called not in last:
            raise UsageError(f"{whose} has no device named {called}", os.EX_NOUSER)
        if is_new:
            await store.directory.remove_credential(account.account_id, called)
        terms = await Bylaws(store.directory).of(account)
        return await dismiss(store, account, called, terms)

    letters = with_store(data, do)
    if letters is None:
        click.echo(f"the device {called} of {whose} opens nothing any more; it has a session still, and what waits for")
        click.echo("it is released within an hour of its end")
    else:
        click.echo(f"the device {called} of {whose} is removed; letters that waited for it alone and went: {letters}")


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of one: `waiting` letters that it has not deleted, None where nothing waits for it.

    `lapses` is when it will not be waited for any more if it does not come, None for never.
    """

    name: str
    kept_as: str
    came: float | None
    waiting: int | None
    lapses: float | None


async def devices_of(store: Store, account: Account) -> list[Device]:
    """All devices of an account, its own password first."""
    mailbox = await store.office.mailbox(account.account_id)
    viewers, last = await mailbox.viewers(), await store.visits.last(account.account_id)
    days = (await Bylaws(store.directory).of(account)).lapse_days
    credentials = await store.directory.credentials(account.account_id)
    made = {credential.name: verifiers.told(credential.verifier) for credential in credentials}
    names = [OWN, *sorted(set(made) - {OWN})]
    return [await _device(mailbox, name, made.get(name, "none"), viewers, last, days) for name in names]


async def _device(
    mailbox: Mailbox, name: str, kept_as: str, viewers: list[Viewer], last: Mapping[str, Visit], days: int
) -> Device:
    viewer = viewer_of(name)
    visit = last.get(viewer)
    came = visit.at if visit else None
    if Viewer(viewer, Sight.HOLDS) not in viewers:
        return Device(name, kept_as, came, None, None)
    waiting = len((await mailbox.snapshot(viewer)).keys)
    may_lapse = bool(days) and came is not None and viewer in idle(viewers, last, time.time())
    return Device(name, kept_as, came, waiting, came + days * DAY_SECONDS if came and may_lapse else None)


def _row(device: Device) -> tuple[str, ...]:
    came = _moment(device.came) if device.came is not None else "never"
    if device.waiting is None:
        return device.name, device.kept_as, came, "-", "has lapsed" if device.came is not None else "-"
    lapses = _moment(device.lapses) if device.lapses is not None else "-"
    return device.name, device.kept_as, came, str(device.waiting), lapses


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z"


def _name(text: str) -> str:
    """A name that can stand in a list and in a log."""
    name = unicodedata.normalize("NFC", text)
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= NAME_CHARACTERS:
        raise UsageError(f"a device's name is 1 to {NAME_CHARACTERS} characters that can be printed", os.EX_USAGE)
    if name in NO_DEVICES:
        raise UsageError(f"no device can be named {name}", os.EX_USAGE)
    return name
