"""`search`: letters of a mailbox file by what is in them, the best first, each with a line of its text."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.cli.home import cut, file_argument
from postoffice.cli.loop import with_loop
from postoffice.home.mailbox import opening
from postoffice.message.printable import safe
from postoffice.store.model import INBOX

if TYPE_CHECKING:
    from postoffice.home.search.face import Result, Results
    from postoffice.home.search.snippet import Snippet

TOLD_LETTERS = 2000
"""That an index is being made is told from so many letters on: it takes about a second."""

_NUMBER, _DATE, _FROM, _INDENT = 5, 16, 24, 7


# What begins with a - is part of a question, so this command has no -h.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@file_argument
@click.argument("question", nargs=-1)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many are shown.")
@click.option("--rebuild", is_flag=True, help="Make the index anew before.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a line for each letter.")
def search(file: Path, question: tuple[str, ...], limit: int, *, rebuild: bool, as_json: bool) -> None:
    """Search the letters of a mailbox FILE: words, "phrases", -not, OR, from: to: cc: subject:WORD, has:attachment,
    has:pdf, before: after: on:2026-01-31, larger: smaller:5M, in:FOLDER.

    In all folders but those for what was put aside (in:all looks there too). Numbers are those of `ls`; before the
    subject stands the folder, if it is not INBOX.
    """
    asked = " ".join(question)
    if not rebuild or asked:
        from postoffice.home.search.query import read_question

        read_question(asked)  # before the file is looked at, and its index made
    results = with_loop(lambda: _searched(file, asked, limit, rebuild=rebuild))
    if results is not None:
        _show(results, as_json=as_json)


async def _searched(file: Path, asked: str, limit: int, *, rebuild: bool) -> Results | None:
    from postoffice.home.search.face import Search

    mailbox = opening(file, sweeps=False)()
    await mailbox.close()
    opened = Search(file, mailbox.key)
    telling = _Telling()
    try:
        await (opened.rebuild(telling.hear) if rebuild else opened.catch_up(telling.hear))
        telling.end()
        return await opened.find(asked, limit) if asked else None
    finally:
        await opened.close()


class _Telling:
    """That the index is being made, where that takes long: on a line of a terminal that is empty in the end."""

    def __init__(self) -> None:
        self._renews = sys.stderr.isatty()
        self._has_told = False

    def hear(self, done: int, letters: int) -> None:
        if letters < TOLD_LETTERS:
            return
        if self._renews:
            click.echo(f"\r\x1b[Kmaking the index: {done} of {letters} letters", err=True, nl=False)
        elif not self._has_told:
            click.echo(f"making the index of {letters} letters", err=True)
        self._has_told = True

    def end(self) -> None:
        if self._has_told and self._renews:
            click.echo("\r\x1b[K", err=True, nl=False)


def _show(results: Results, *, as_json: bool) -> None:
    if as_json:
        for one in results.shown:
            click.echo(json.dumps(_facts(one), ensure_ascii=False))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for one in results.shown:
        _show_one(one, width)
    if results.letters > len(results.shown):
        least = "at least " if results.is_cut else ""
        click.echo(f"{len(results.shown)} of {least}{results.letters} letters; --limit shows more", err=True)
    if not results.shown:
        click.echo("nothing was found", err=True)


def _facts(one: Result) -> dict[str, object]:
    return {
        "number": one.hit.number,
        "folder": one.hit.folder,
        "date": datetime.fromtimestamp(one.hit.date).astimezone().isoformat(timespec="seconds"),
        "from": one.sender,
        "subject": one.subject,
        "octets": one.hit.octets,
        "attachments": list(one.names),
        "snippet": one.snippet.text,
        "marked": [list(place) for place in one.snippet.marked],
    }


def _show_one(one: Result, width: int) -> None:
    date = datetime.fromtimestamp(one.hit.date).astimezone().strftime("%Y-%m-%d %H:%M")
    subject = one.subject or "(no subject)"
    if one.hit.folder != INBOX:
        subject = f"[{safe(one.hit.folder)}] {subject}"
    row = f"{one.hit.number:>{_NUMBER}}  {date}  {cut(one.sender or '(nobody)', _FROM)}  "
    if width:
        subject = cut(subject, max(width - _NUMBER - _DATE - _FROM - 7, 8))
    click.echo(f"{row}{subject}".rstrip())
    if one.snippet.text:
        click.echo(" " * _INDENT + _bright(one.snippet))


def _bright(shown: Snippet) -> str:
    """What was looked for stands out on a terminal."""
    pieces, position = [], 0
    for first, last in shown.marked:
        pieces += [shown.text[position:first], click.style(shown.text[first:last], bold=True)]
        position = last
    return "".join(pieces) + shown.text[position:]
