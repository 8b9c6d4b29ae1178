"""`scan`: letters of a mailbox file are scanned that were not, or by other signatures; what is withheld is let out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.cli.accounts import config_option, scanning_in_settings
from postoffice.cli.home import cut, file_argument
from postoffice.cli.loop import with_file
from postoffice.cli.scan_options import by_options
from postoffice.cli.verdicts import facts_of, told, when
from postoffice.errors import UsageError
from postoffice.events import Fact, listen
from postoffice.home.mailbox import opening
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.printable import safe
from postoffice.protocols.dots import Unstuffer
from postoffice.store.model import QUARANTINE, UNSCANNED, Verdict

if TYPE_CHECKING:
    from postoffice.home.scanning.outcome import Again
    from postoffice.home.scanning.policy import Scanning
    from postoffice.home.scanning.withheld import Withheld
    from postoffice.store.embedded import MailboxFile

TOLD_LETTERS = 2000
"""How far it is, is told from so many letters on."""

_NUMBER, _FROM = 5, 24


@click.command()
@file_argument
@click.option("--all", "everything", is_flag=True, help="Also letters that have a verdict by the same signatures.")
@click.option("--list", "lists", is_flag=True, help="Show what is withheld: in quarantine, and held.")
@click.option("--release", "number", type=click.IntRange(min=1), metavar="NUMBER", help="Let this letter out.")
@click.option(
    "--folder",
    type=click.Choice([QUARANTINE, UNSCANNED]),
    default=QUARANTINE,
    show_default=True,
    help="Of which folder the letter is that is let out.",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="For programs: one object a line.")
@by_options
def scan(
    file: Path,
    everything: bool,
    lists: bool,
    number: int | None,
    folder: str,
    config: Path | None,
    as_json: bool,
    by: str | None,
    scan_patience: float | None,
    unscanned: str | None,
    too_large: str | None,
) -> None:
    """Scan the letters of a mailbox FILE that have no verdict, or one by other signatures.

    What is found goes into the folder Quarantine, held letters that are clean are seen from now on. Who scans is what
    the settings say for the account that is pulled into FILE, or --by.
    """
    if (number is not None) + lists + everything > 1:
        raise UsageError("scan, --list or --release: one at a time")
    opened = opening(file)
    if lists:
        _list(with_file(opened, _shown), as_json=as_json)
    elif number is not None:
        _release(opened, folder, number, as_json=as_json)
    else:
        scanning = _scanning(file, config, (by, scan_patience, unscanned, too_large))
        click.get_current_context().exit(_scan(file, opened, scanning, everything=everything, as_json=as_json))


# --- scanning -----------------------------------------------------------------------------------------------------


def _scanning(
    file: Path, config: Path | None, said: tuple[str | None, float | None, str | None, str | None]
) -> Scanning:
    """How the letters of a file are scanned: as is said here, else as the settings say for it."""
    from postoffice.home.places import usual_path
    from postoffice.home.scanning.policy import UNSAID, wrong_scanner

    if said[0] is not None and (because := wrong_scanner(said[0])):
        raise UsageError(because)
    wanted = (scanning_in_settings(file, config) or UNSAID).otherwise(*said).wanted
    if wanted is None:
        where = config or usual_path()
        raise UsageError(f"{file}: nothing says who scans it: --by clamd:/path/of/its/socket, or [scan] in {where}")
    return wanted


def _scan(file: Path, opened: Callable[[], MailboxFile], scanning: Scanning, *, everything: bool, as_json: bool) -> int:
    from postoffice.home.scanning.again import LookAgain
    from postoffice.home.scanning.inspector import Inspector

    telling = _Telling(as_json=as_json)

    async def work(mailbox: MailboxFile) -> Again:
        inspector = Inspector(scanning, file.absolute().parent if mailbox.key is None else None)
        look = LookAgain(mailbox, inspector, everything=everything, progress=telling.progress)
        return await look.at_all()

    stop = listen(telling.hear)
    try:
        report = with_file(opened, work)
    finally:
        stop()
        telling.end()
    if as_json:
        click.echo(json.dumps({"event": "scanned", **vars(report)}))
    else:
        click.echo(_summary(report))
    if report.trouble:
        click.echo(f"postoffice: {safe(report.trouble)}; run it again later, and it goes on there", err=True)
    return os.EX_TEMPFAIL if report.trouble or report.left else os.EX_OK


def _summary(report: Again) -> str:
    words = [f"{report.letters} letters scanned"]
    for count, what in (
        (report.infected, "found infected and put into quarantine"),
        (report.released, "held before and seen now"),
        (report.cleared, "in quarantine in which nothing is found any more (--list, --release)"),
        (report.unreadable, "damaged and not scanned"),
        (report.left, "not scanned yet"),
    ):
        if count:
            words.append(f"{count} {what}")
    return "; ".join(words)


class _Telling:
    """A line for what is found; on a terminal, where it takes long, one that says how far it is."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._renews = sys.stderr.isatty() and not as_json
        self._has_line = False

    def hear(self, name: str, facts: dict[str, Fact]) -> None:
        if name not in ("home.found", "home.not_scanned"):
            return
        if self._as_json:
            click.echo(json.dumps({"event": name.removeprefix("home."), **facts}))
            return
        self._clear()
        what = f"found {facts['said']}" if name == "home.found" else f"not scanned: {facts['because']}"
        click.echo(f"letter {safe(str(facts['letter']))}: {safe(what)}")

    def progress(self, report: Again, left: int) -> None:
        if self._renews and report.letters + left >= TOLD_LETTERS:
            click.echo(f"\r\x1b[K{report.letters} letters scanned, {max(left, 0)} to go", err=True, nl=False)
            self._has_line = True

    def end(self) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._has_line:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._has_line = False


# --- what is withheld ---------------------------------------------------------------------------------------------


async def _shown(mailbox: MailboxFile) -> list[tuple[Withheld, bytes]]:
    """Each with the beginning of its octets."""
    from postoffice.home.scanning.withheld import withheld

    found = []
    for one in await withheld(mailbox):
        [piece] = await mailbox.read([one.entry.key])
        found.append((one, Unstuffer().feed(piece.wire[:HEAD_OCTETS]) if piece is not None else b""))
    return found


def _list(letters: list[tuple[Withheld, bytes]], *, as_json: bool) -> None:
    for one, head in letters:
        sender, subject = header.decoded(head, b"From"), header.decoded(head, b"Subject")
        if as_json:
            facts = {"folder": one.folder, "number": one.number, "from": sender, "subject": subject}
            click.echo(json.dumps(facts | {"octets": one.entry.octets} | facts_of(one.scan), ensure_ascii=False))
            continue
        who = cut(sender or "(nobody)", _FROM)
        click.echo(f"{one.folder:<10} {one.number:>{_NUMBER}}  {who}  {subject or '(no subject)'}")
        click.echo(f"{'':18}{when(one.scan)}{told(one.scan)}")
    if not letters and not as_json:
        click.echo("nothing is withheld", err=True)


def _release(opened: Callable[[], MailboxFile], folder: str, number: int, *, as_json: bool) -> None:
    async def work(mailbox: MailboxFile) -> Withheld:
        from postoffice.home.scanning.withheld import release

        return await release(mailbox, folder, number)

    one = with_file(opened, work)
    if as_json:
        click.echo(json.dumps({"event": "released", "folder": folder, "number": number} | facts_of(one.scan)))
        return
    name = one.scan.name if one.scan is not None and one.scan.verdict in (Verdict.INFECTED, Verdict.CLEAN) else ""
    click.echo("it is in INBOX now" + (f", and stays there if {safe(name)} is found in it again" if name else ""))
