"""Moving out: the letters of an account, or of a mailbox file at home, as a Maildir or an mbox."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.folder import data_option, with_store
from postoffice.cli.loop import with_file
from postoffice.cli.residents import known, normalized
from postoffice.cli.telling import Telling
from postoffice.errors import PostofficeError, UsageError
from postoffice.home.mailbox import opening
from postoffice.moving.outlet import Outlet
from postoffice.moving.taking import Report, Witness
from postoffice.moving.to_maildir import to_maildir
from postoffice.moving.to_mbox import to_mbox
from postoffice.store.model import INBOX

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox, Store

Work = Callable[["Mailbox", Outlet, Witness], Awaitable[Report]]


@click.group()
def export() -> None:
    """Letters in files that any mail program knows."""


def exporting(command: Callable[..., Any]) -> click.Command:
    """A command that makes PATH of a mailbox."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        data_option,
        click.option(
            "--file",
            type=click.Path(path_type=Path, readable=False),
            default=None,
            help="The mailbox file at home that it comes from.",
        ),
        click.option("--account", "address", default=None, help="The account that it comes from."),
        click.argument("path", type=click.Path(path_type=Path, readable=False)),
    ):
        command = option(command)
    return export.command()(command)


@exporting
def maildir(path: Path, **where: Any) -> None:
    """A Maildir with all folders, flags, dates, and a list of the unique-ids, which Dovecot reads too.

    Run again, it adds what is new.
    """
    _give_out(path, to_maildir, **where)


@exporting
@click.option("--folder", default=INBOX, show_default=True, help="The folder that it holds.")
@click.option("--replace", "replaces", is_flag=True, help="Put it in the place of a file that is there.")
def mbox(path: Path, folder: str, replaces: bool, **where: Any) -> None:
    """An mbox (mboxrd), with the unique-ids in X-UIDL fields."""

    async def work(mailbox: Mailbox, outlet: Outlet, witness: Witness) -> Report:
        if folder not in [one.name for one in await mailbox.folders()]:
            raise UsageError(f"{folder}: there is no such folder", os.EX_NOINPUT)
        return await to_mbox(mailbox, outlet, witness, folder=folder, replaces=replaces)

    _give_out(path, work, **where)


def _give_out(path: Path, work: Work, address: str | None, file: Path | None, data: Path | None, as_json: bool) -> None:
    if (address is None) == (file is None):
        raise UsageError("say either --account, of an office, or --file, of a mailbox at home")
    telling = Telling(as_json=as_json)
    witness = Witness(telling.complain, telling.progress)
    opened = opening(file) if file is not None else None
    with closing(Outlet(path)) as outlet:

        async def given(mailbox: Mailbox) -> Report:
            try:
                return await work(mailbox, outlet, witness)
            except OSError as error:
                raise UsageError(f"{path}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error

        async def of_account(store: Store) -> Report:
            account = await known(store, normalized(address or ""))
            return await given(await store.office.mailbox(account.account_id))

        try:
            report = with_file(opened, given) if opened is not None else with_store(data, of_account)
        except PostofficeError:
            if work is to_maildir:
                telling.broken_off()
            raise
    telling.end(report)
