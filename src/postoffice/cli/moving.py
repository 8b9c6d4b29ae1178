"""Moving in: letters and unique-ids of another server come into an account here, and are compared with those there.

Its passwords come by `hashes`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.accounts.devices import count_owner
from postoffice.cli.elsewhere import entrance, entrance_options, explained
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.hashes import passwords
from postoffice.cli.residents import known, normalized
from postoffice.cli.telling import Telling
from postoffice.client.survey import survey
from postoffice.errors import PostofficeError, UsageError
from postoffice.moving.comparing import Comparison, compare, doubtful
from postoffice.moving.letters import OldStore
from postoffice.moving.maildir import Maildir
from postoffice.moving.mbox import Mbox
from postoffice.moving.pulling import pull_in
from postoffice.moving.taking import Report, Witness, take_in
from postoffice.moving.tree import Tree
from postoffice.store.model import INBOX, MOVER

if TYPE_CHECKING:
    from postoffice.client.collect import Options
    from postoffice.client.url import Source
    from postoffice.store.base import Mailbox, Store


MEASURED = 1000
"""So many letters whose size differs are fetched, to see whether the old server had announced it wrongly."""

path_argument = click.argument("path", type=click.Path(path_type=Path, readable=False))
account_option = click.option("--account", "address", required=True, help="Whose mailbox it goes into.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
check_option = click.option("--check", "url", metavar="URL", help="Compare it afterwards with the old server.")


@click.group(name="import")
def import_() -> None:
    """Letters of another server, with the unique-ids that its clients know, and passwords as it kept them."""


def importing(command: Callable[..., Any]) -> click.Command:
    """A command that takes in what lies at PATH."""
    command = entrance_options(command)
    for option in reversed((path_argument, account_option, data_option, json_option, check_option)):
        command = option(command)
    return import_.command()(command)


unnumbered_option = click.option(
    "--unnumbered",
    "takes_unnumbered",
    is_flag=True,
    help="Also letters that the old server has not shown yet, and so has given no unique-id.",
)


@importing
def maildir(path: Path, **where: Any) -> None:
    """The letters of a Maildir, without unique-ids of its server."""
    _from_maildir(path, Move(**where), kind="maildir")


@importing
@click.option("--folder", default=INBOX, show_default=True, help="Where in the mailbox they go.")
@click.option(
    "--as-kept", "is_as_kept", is_flag=True, help="Leave >From lines and the fields of mail programs in the letters."
)
def mbox(path: Path, folder: str, is_as_kept: bool, **where: Any) -> None:
    """The letters of an mbox file; their unique-ids where X-UIDL fields tell them."""
    _from_mbox(path, Move(**where), folder=folder, is_as_kept=is_as_kept)


@importing
@click.option(
    "--uidl-format", default="%08Xu%08Xv", show_default=True, help="What Dovecot's pop3_uidl_format is set to."
)
@unnumbered_option
def dovecot(path: Path, uidl_format: str, takes_unnumbered: bool, **where: Any) -> None:
    """The letters of a Maildir or an mbox that Dovecot kept, with its unique-ids."""
    if path.is_file():
        _from_mbox(path, Move(**where), uidl_format=uidl_format)
    else:
        how = {"uidl_format": uidl_format, "takes_unnumbered": takes_unnumbered}
        _from_maildir(path, Move(**where), kind="dovecot", **how)


@importing
@unnumbered_option
def courier(path: Path, takes_unnumbered: bool, **where: Any) -> None:
    """The letters of a Maildir that Courier kept, with its unique-ids."""
    _from_maildir(path, Move(**where), kind="courier", takes_unnumbered=takes_unnumbered)


@import_.command()
@click.argument("url")
@account_option
@data_option
@json_option
@click.option("--check", "is_checked", is_flag=True, help="Compare it afterwards with the same server.")
@entrance_options
def pop3(url: str, is_checked: bool, **where: Any) -> None:
    """The letters of a POP3 server that runs, with its unique-ids; nothing is deleted there.

    URL is pops://USER@HOST, or pop://USER@HOST, where TLS is used if the server has it.
    """
    Move(url=url, **where).pull(is_checked=is_checked)


@import_.command()
@click.argument("url")
@account_option
@data_option
@json_option
@entrance_options
def check(url: str, **where: Any) -> None:
    """Compare an account, UIDL by UIDL, with the maildrop at URL from which it moved in."""
    Move(url=url, **where).compare()


import_.add_command(passwords)


def _from_maildir(path: Path, move: Move, **how: Any) -> None:
    with closing(Tree(path)) as tree:
        tree.stay_root()
        move.take(lambda: Maildir(tree, **how))


def _from_mbox(path: Path, move: Move, **how: Any) -> None:
    with closing(Mbox(path, **how)) as box:
        move.take(lambda: box)


class Move:
    """One run: whose mailbox the letters go into, who is told, and which maildrop elsewhere is asked.

    Whatever root alone may read, and whatever a person is asked for, is had before the office is opened.
    """

    def __init__(self, address: str, data: Path | None, as_json: bool, url: str | None = None, **how: Any) -> None:
        self._name = normalized(address)
        self._data = data
        self._telling = Telling(as_json=as_json)
        self._has_ca = bool(how["ca"] or how["pin"])
        self._there = entrance(url, **how) if url else None

    def take(self, opened: Callable[[], OldStore]) -> None:
        """What lies in files."""
        witness = Witness(self._telling.complain, self._telling.progress)
        self._move(
            lambda store, mailbox: take_in(opened(), mailbox, witness, store.office.free_octets),
            is_checked=self._there is not None,
        )

    def pull(self, *, is_checked: bool) -> None:
        """What the maildrop elsewhere has."""
        source, options = self._elsewhere()
        witness = Witness(self._telling.complain, self._telling.progress)
        self._move(
            lambda store, mailbox: pull_in(source, mailbox, options, witness, store.office.free_octets),
            is_checked=is_checked,
        )

    def compare(self) -> None:
        """Nothing moves."""

        async def look(store: Store) -> Comparison:
            account = await known(store, self._name)
            return await self._compared(await store.office.mailbox(account.account_id))

        with self._explained():
            comparison = with_store(self._data, look)
        self._judge(comparison)

    def _move(self, work: Callable[[Store, Mailbox], Awaitable[Report]], *, is_checked: bool) -> None:
        """Letters that could not be had make the status 66, others that are not the same 65."""

        async def locked(store: Store) -> tuple[Report, Comparison | None]:
            account = await known(store, self._name)
            lock = await store.office.lock(account.account_id, MOVER)
            if lock is None:
                raise UsageError(f"{self._name}: another import into this account is under way", os.EX_TEMPFAIL)
            try:
                mailbox = await store.office.mailbox(account.account_id)
                report = await work(store, mailbox)
                await count_owner(store, account, time.time())
                return report, await self._compared(mailbox) if is_checked else None
            finally:
                await lock.release()

        try:
            with self._explained():
                report, comparison = with_store(self._data, locked)
        except PostofficeError:
            self._telling.broken_off()
            raise
        self._telling.end(report)
        if comparison is not None and not report.lost:
            self._judge(comparison)
        if report.lost:
            raise UsageError(f"{report.lost} letters could not be had; mend that and run it again", os.EX_NOINPUT)

    async def _compared(self, mailbox: Mailbox) -> Comparison:
        ours = await mailbox.snapshot()
        found = await survey(*self._elsewhere(), lambda theirs: doubtful(theirs, ours)[:MEASURED])
        return compare(found.listed, found.measured, ours)

    def _judge(self, comparison: Comparison) -> None:
        host = self._elsewhere()[0].host
        self._telling.compared(host, comparison)
        if not comparison.is_good:
            raise UsageError(f"{self._name} does not show what {host} shows", os.EX_DATAERR)

    def _elsewhere(self) -> tuple[Source, Options]:
        assert self._there is not None
        return self._there

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if self._there is None:
            yield
            return
        with explained(self._there[0], has_ca=self._has_ca):
            yield
