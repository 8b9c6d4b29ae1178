"""`why`: the life of a letter at home. When it was met where, when it came, and why and when it went from there."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.home import file_argument
from postoffice.cli.loop import with_file
from postoffice.cli.verdicts import facts_of, told
from postoffice.errors import UsageError
from postoffice.home.mailbox import opening
from postoffice.message.printable import safe
from postoffice.store.model import INBOX, Pulled, Scan

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

Life = tuple[str, str, Pulled, Scan | None]
"""A source, the name of a letter there, what is remembered of it, and what a scanner said."""


@click.command()
@file_argument
@click.argument("letter")
@click.option("--folder", default=INBOX, show_default=True, help="Of which folder a number is.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def why(file: Path, letter: str, folder: str, as_json: bool) -> None:
    """Tell the life of LETTER: its number, as `ls` counts, or its unique-id on the server it came from.

    A unique-id also tells of letters that were removed here, or that the server has not given yet.
    """
    lives = with_file(opening(file, sweeps=False), lambda mailbox: _lives(mailbox, letter, folder))
    if not lives:
        raise UsageError(f"{file}: nothing was pulled that is called {letter!r}", os.EX_NOINPUT)
    for source, source_id, pulled, scan in lives:
        if as_json:
            facts: dict[str, Any] = {"source": source, "source_id": source_id} | pulled._asdict()
            facts["head"] = pulled.head.decode("utf-8", "replace")
            facts["scan"] = facts_of(scan) if scan is not None else None
            click.echo(json.dumps(facts, default=bytes.hex))
        else:
            click.echo("\n".join(_told(source, source_id, pulled, scan)))


async def _lives(mailbox: MailboxFile, letter: str, folder: str) -> list[Life]:
    email_id = await _email_id(mailbox, int(letter), folder) if letter.isascii() and letter.isdigit() else None
    lives = []
    for source in await mailbox.sources():
        for source_id, pulled in (await mailbox.pulled(source)).items():
            is_named = letter in (source_id, source_id.partition("\n")[0])
            if (email_id is not None and pulled.email_id == email_id) or (is_named and email_id is None):
                [scan] = await mailbox.scans([pulled.sha256 or b""])
                lives.append((source, source_id, pulled, scan))
    if email_id is not None and not lives:
        raise UsageError(f"letter {letter} was not pulled, or before it was noted from where", os.EX_NOINPUT)
    return lives


async def _email_id(mailbox: MailboxFile, number: int, folder: str) -> str | None:
    """Of the letter with this number in a folder; None, where there is none."""
    if folder not in [one.name for one in await mailbox.folders()]:
        raise UsageError(f"{folder}: there is no such folder", os.EX_NOINPUT)
    keys = (await mailbox.snapshot(folder=folder)).keys
    [entry] = await mailbox.describe([keys[number - 1]]) if 0 < number <= len(keys) else [None]
    return entry.email_id if entry is not None else None


def _told(source: str, source_id: str, pulled: Pulled, scan: Scan | None) -> list[str]:
    """A line for each thing that happened, in the order in which it does."""
    unique_id, _, ordinal = source_id.partition("\n")
    name = f"as {safe(unique_id)}" if unique_id else "without a unique-id"
    size = f", {pulled.octets} octets" if pulled.octets is not None else ""
    again = f" (number {safe(ordinal)} of that name)" if ordinal and unique_id else ""
    lines = [_line("seen", pulled.seen, f"at {safe(source)} {name}{size}{again}")]
    if pulled.tries:
        words = f", the last time: {safe(pulled.words)}" if pulled.words else ""
        lines.append(_line("refused", None, f"{pulled.tries} times{words}"))
    if pulled.fetched is None:
        lines.append(_line("fetched", None, "not yet; the next pull asks for it again"))
    else:
        since = "" if pulled.is_here else ", and removed here since"
        lines.append(_line("fetched", pulled.fetched, f"durable here{since}"))
    if scan is not None:
        lines.append(_line("scanned", scan.at, told(scan)))
    if pulled.deleting is not None:
        lines.append(_line("DELE", pulled.deleting, f"by the rule: {pulled.rule}"))
    elif pulled.fetched is not None:
        lines.append(_line("DELE", None, "never said: no rule asked for it"))
    if pulled.confirmed is not None:
        lines.append(_line("QUIT", pulled.confirmed, "the server said that it is removed"))
    if pulled.gone is not None:
        by = "it has gone" if pulled.deleting is not None else "somebody else removed it, or the server hides it"
        lines.append(_line("gone", pulled.gone, f"the server does not list it any more: {by}"))
    return lines


def _line(what: str, at: float | None, said: str) -> str:
    when = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""
    return f"{what:<8} {when:<19}  {said}"
