"""Moving out: the letters of an account, or of a mailbox file at home, in files that other programs read."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
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
from postoffice.moving.to_eml import to_eml
from postoffice.moving.to_maildir import to_maildir
from postoffice.moving.to_mbox import to_mbox
from postoffice.moving.to_zip import to_zip, to_zip_file
from postoffice.quantities import counted
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


folders_option = click.option(
    "--folder", "folders", multiple=True, help="Only this folder; more than once for more. Else all."
)
replace_option = click.option(
    "--replace", "replaces", is_flag=True, help="Put it in the place of a file that is there."
)


@exporting
def maildir(path: Path, **where: Any) -> None:
    """A Maildir with all folders, flags, dates, and a list of the unique-ids, which Dovecot reads too.

    Run again, it adds what is new.
    """
    _give_out(path, to_maildir, **where)


@exporting
@click.option("--folder", default=INBOX, show_default=True, help="The folder that it holds.")
@replace_option
def mbox(path: Path, folder: str, replaces: bool, **where: Any) -> None:
    """An mbox (mboxrd), with the unique-ids in X-UIDL fields."""

    async def work(mailbox: Mailbox, outlet: Outlet, witness: Witness) -> Report:
        if folder not in [one.name for one in await mailbox.folders()]:
            raise UsageError(f"{folder}: there is no such folder", os.EX_NOINPUT)
        return await to_mbox(mailbox, outlet, witness, folder=folder, replaces=replaces)

    _give_out(path, work, **where)


@exporting
@folders_option
def eml(path: Path, folders: tuple[str, ...], **where: Any) -> None:
    """A folder of .eml files, a letter each, in folders, and a list of their flags and dates."""
    _give_out(path, partial(to_eml, wanted=folders), **where)


@exporting
@folders_option
@replace_option
def zip(path: Path, folders: tuple[str, ...], replaces: bool, **where: Any) -> None:  # noqa: A001 what people call it
    """The same in one zip; `-` writes it to standard output."""
    if str(path) != "-":
        _give_out(path, partial(to_zip_file, wanted=folders, replaces=replaces), **where)
        return
    if sys.stdout.isatty():
        raise UsageError("a zip is no text for a terminal; send it into a file: postoffice export zip - > mail.zip")
    _give(path, lambda mailbox, witness: to_zip(mailbox, _Pipe(), witness, folders), _Origin(**where), is_piped=True)


@exporting
@folders_option
@click.option("--title", default=None, help="What it is called; else as the file or the account.")
def html(path: Path, folders: tuple[str, ...], title: str | None, **where: Any) -> None:
    """An archive of pages for any browser, with a search of its own, that needs no server and asks no network.

    `index.html` in it is where it begins. Run it again to a new place.
    """
    from postoffice.home.archive.writing import Plan, to_html

    plan = Plan(title or _called(**where), folders, time.time())
    _give_out(path, partial(to_html, plan=plan), **where)


def _called(file: Path | None, address: str | None, **_: Any) -> str:
    return file.stem if file is not None else str(address)


class _Pipe:
    """Standard output, which is written from its beginning to its end, whatever it is."""

    def write(self, octets: bytes) -> int:
        try:
            return sys.stdout.buffer.write(octets)
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise UsageError("standard output was closed before the zip was whole", os.EX_IOERR) from error

    def flush(self) -> None:
        try:
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise UsageError("standard output was closed before the zip was whole", os.EX_IOERR) from error


@dataclass(frozen=True, slots=True)
class _Origin:
    """Which mailbox goes out, as the options of `exporting` say it: that of an account, or a file at home."""

    address: str | None
    file: Path | None
    data: Path | None
    as_json: bool


def _give_out(path: Path, work: Work, **where: Any) -> None:
    """Into files at `path`, which belong to whom the place belongs."""
    with closing(Outlet(path)) as outlet:
        _give(
            path,
            lambda mailbox, witness: work(mailbox, outlet, witness),
            _Origin(**where),
            goes_on=work is to_maildir,
        )


def _give(
    path: Path,
    work: Callable[[Mailbox, Witness], Awaitable[Report]],
    origin: _Origin,
    *,
    goes_on: bool = False,
    is_piped: bool = False,
) -> None:
    """What `goes_on` where it broke off says so; of what `is_piped` nothing else is on standard output."""
    if (origin.address is None) == (origin.file is None):
        raise UsageError("say either --account, of an office, or --file, of a mailbox at home")
    telling = Telling(as_json=origin.as_json, is_piped=is_piped)
    witness = Witness(telling.complain, telling.progress)
    opened = opening(origin.file, sweeps=False) if origin.file is not None else None

    async def given(mailbox: Mailbox) -> Report:
        try:
            return await work(mailbox, witness)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error

    async def of_account(store: Store) -> Report:
        account = await known(store, normalized(origin.address or ""))
        return await given(await store.office.mailbox(account.account_id))

    try:
        report = with_file(opened, given) if opened is not None else with_store(origin.data, of_account)
    except PostofficeError:
        if goes_on:
            telling.broken_off()
        raise
    telling.end(report)
    if bad := report.lost + report.damaged:
        raise UsageError(f"damaged here: {counted(bad, 'letter')}, each named above; docs/damage.md", os.EX_DATAERR)
