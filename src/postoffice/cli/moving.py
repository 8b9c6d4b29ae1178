"""Moving in: letters and unique-ids of another server come into an account here, and passwords (`hashes`)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.folder import data_option, with_store
from postoffice.cli.hashes import passwords
from postoffice.cli.residents import known, normalized
from postoffice.errors import UsageError
from postoffice.message.header import safe
from postoffice.moving.letters import Complaint, OldStore
from postoffice.moving.taking import Report, Witness, take_in

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox, Store

MOVER = "\0import"
"""In whose name an account is locked while letters move in."""

LINE_SECONDS, PLAIN_SECONDS = 0.2, 10.0
"""How often progress is told: on a terminal, and elsewhere."""

path_argument = click.argument("path", type=click.Path(path_type=Path, readable=False))
account_option = click.option("--account", "address", required=True, help="Whose mailbox it goes into.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


class Telling:
    """Says how it goes: one line that is renewed on a terminal, now and then a line elsewhere, or JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._renews = sys.stderr.isatty() and not as_json
        self._began = self._told = time.monotonic()
        self._has_line = False

    def witness(self) -> Witness:
        return Witness(self.complain, self.progress)

    def complain(self, complaint: Complaint) -> None:
        self._clear()
        if self._as_json:
            self._say("complaint", where=complaint.where, what=complaint.what, loses=complaint.loses)
        else:
            click.echo(f"postoffice: {safe(str(complaint))}", err=True)

    def progress(self, report: Report) -> None:
        now = time.monotonic()
        if now - self._told < (LINE_SECONDS if self._renews else PLAIN_SECONDS):
            return
        self._told = now
        rate = report.done / max(now - self._began, 0.001)
        if self._as_json:
            self._say("progress", done=report.done, total=report.total, octets=report.octets)
            return
        text = f"{report.done} of {report.total} letters, {report.octets / 1e6:.1f} MB, {rate:.0f} letters/s"
        if self._renews:
            click.echo(f"\r{text:<70}", nl=False, err=True)
            self._has_line = True
        else:
            click.echo(text, err=True)

    def end(self, report: Report) -> None:
        """What came of it."""
        self._clear()
        if self._as_json:
            names = ("total", "letters", "octets", "known", "renamed", "unnamed", "lost")
            self._say("done", **{name: getattr(report, name) for name in names})
            return
        words = [f"{report.letters} letters, {report.octets} octets, already had {report.known}"]
        if report.unnamed:
            words.append(f"{report.unnamed} without a known unique-id")
        if report.renamed:
            words.append(f"{report.renamed} with a new unique-id")
        if report.lost:
            words.append(f"{report.lost} could not be read")
        click.echo("; ".join(words))

    def _say(self, event: str, **facts: object) -> None:
        click.echo(json.dumps({"event": event, **facts}))

    def _clear(self) -> None:
        if self._has_line:
            click.echo(f"\r{'':70}\r", nl=False, err=True)
            self._has_line = False


@click.group(name="import")
def import_() -> None:
    """Letters of another server, with the unique-ids that its clients know, and passwords as it kept them."""


@import_.command()
@path_argument
@account_option
@data_option
@json_option
def maildir(path: Path, address: str, data: Path | None, as_json: bool) -> None:
    """The letters of a Maildir, without unique-ids of its server."""
    _from_maildir(path, address, data, Telling(as_json=as_json), kind="maildir")


@import_.command()
@path_argument
@account_option
@data_option
@json_option
@click.option(
    "--uidl-format", default="%08Xu%08Xv", show_default=True, help="What Dovecot's pop3_uidl_format is set to."
)
def dovecot(path: Path, address: str, data: Path | None, as_json: bool, uidl_format: str) -> None:
    """The letters of a Maildir that Dovecot kept, with its unique-ids."""
    _from_maildir(path, address, data, Telling(as_json=as_json), kind="dovecot", uidl_format=uidl_format)


@import_.command()
@path_argument
@account_option
@data_option
@json_option
def courier(path: Path, address: str, data: Path | None, as_json: bool) -> None:
    """The letters of a Maildir that Courier kept, with its unique-ids."""
    _from_maildir(path, address, data, Telling(as_json=as_json), kind="courier")


import_.add_command(passwords)


def _from_maildir(path: Path, address: str, data: Path | None, telling: Telling, **how: Any) -> None:
    from postoffice.moving.maildir import Maildir
    from postoffice.moving.tree import Tree

    with closing(Tree(path)) as tree:
        tree.stay_root()
        move_in(address, data, telling, lambda: Maildir(tree, **how))


def move_in(address: str, data: Path | None, telling: Telling, opened: Callable[[], OldStore]) -> None:
    """Take letters in and say what came of it. Letters that could not be read make the status 66."""

    async def work(store: Store, mailbox: Mailbox) -> Report:
        return await take_in(opened(), mailbox, telling.witness(), store.office.free_octets)

    report = with_mailbox(address, data, work)
    telling.end(report)
    if report.lost:
        raise UsageError(f"{report.lost} letters could not be read; mend that and run it again", os.EX_NOINPUT)


def with_mailbox(address: str, data: Path | None, work: Callable[[Store, Mailbox], Awaitable[Report]]) -> Report:
    """`work` on an account's mailbox, which nobody else moves letters into meanwhile."""
    name = normalized(address)

    async def locked(store: Store) -> Report:
        account = await known(store, name)
        lock = await store.office.lock(account.account_id, MOVER)
        if lock is None:
            raise UsageError(f"{name}: another import into this account is under way", os.EX_TEMPFAIL)
        try:
            return await work(store, await store.office.mailbox(account.account_id))
        finally:
            await lock.release()

    return with_store(data, locked)
