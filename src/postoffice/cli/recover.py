"""Letters that were deleted and can be had back: listed, and put into the maildrop again.

A letter is named by its uid in the folder of removed letters, which is never used again, so what a list showed means
the same letter later on. One that is recovered comes behind all others and under a new unique-id: clients that
leave letters on the server have its old one in their books, and would pass it over.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from postoffice.accounts.terms import DAY_SECONDS, Bylaws
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.residents import known, normalized
from postoffice.errors import UsageError
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.protocols.dots import unstuff
from postoffice.store.base import Mailbox, Store
from postoffice.store.model import INBOX, REMOVED, Entry


@click.command()
@click.argument("address")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[NUMBER]...")
@click.option("--all", "everything", is_flag=True, help="Recover everything that is listed.")
@data_option
def recover(address: str, numbers: tuple[int, ...], everything: bool, data: Path | None) -> None:
    """List the deleted letters of ADDRESS that can be recovered, or put those with these NUMBERs back.

    Letters are kept for that as many days as `recovery` says (`postoffice account set ADDRESS recovery=14`).
    """
    name = normalized(address)
    for line in with_store(data, lambda store: _recover(store, name, frozenset(numbers), everything=everything)):
        click.echo(line)


async def _recover(store: Store, address: str, numbers: frozenset[int], *, everything: bool) -> list[str]:
    account = await known(store, address)
    mailbox = await store.office.mailbox(account.account_id)
    days = (await Bylaws(store.directory).of(account)).recovery_days
    removed = await removed_letters(mailbox)
    if not numbers and not everything:
        return [await _line(mailbox, entry, days) for entry in removed] or [f"nothing of {address} can be recovered"]
    missing = numbers - {entry.uid for entry in removed}
    if missing:
        words = ", ".join(map(str, sorted(missing)))
        raise UsageError(f"{address}: nothing that can be recovered has the number {words}", os.EX_DATAERR)
    wanted = [entry.key for entry in removed if everything or entry.uid in numbers]
    back = await mailbox.move(wanted, INBOX)
    return [f"recovered {sum(map(bool, back))} into the maildrop of {address}"]


async def removed_letters(mailbox: Mailbox) -> list[Entry]:
    """What can be recovered, in the order in which it was removed."""
    if REMOVED not in [folder.name for folder in await mailbox.folders()]:
        return []
    entries = await mailbox.describe((await mailbox.snapshot(folder=REMOVED)).keys)
    return [entry for entry in entries if entry is not None]


async def _line(mailbox: Mailbox, entry: Entry, days: int) -> str:
    [piece] = await mailbox.read([entry.key])
    head = unstuff(piece.wire[:HEAD_OCTETS]) if piece is not None else b""
    sender = header.decoded(head, b"From") or "(nobody)"
    subject = header.decoded(head, b"Subject") or "(no subject)"
    until = f"until {_day(entry.saved + days * DAY_SECONDS)}"
    return f"{entry.uid:>5}  deleted {_day(entry.saved)}  {until}  {entry.octets:>9}  {sender}  {subject}"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
