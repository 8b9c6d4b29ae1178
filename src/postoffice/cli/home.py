"""Mail at home: what is in a mailbox file is listed, with no network. Also how commands open such a file."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from postoffice.cli.loop import with_file
from postoffice.home.mailbox import opening
from postoffice.message import header
from postoffice.message.printable import safe
from postoffice.store.model import INBOX

if TYPE_CHECKING:
    from postoffice.home.conversations import Voice
    from postoffice.home.letters import Line
    from postoffice.store.embedded import MailboxFile

T = TypeVar("T")

_NUMBER, _DATE, _FROM, _OCTETS = 5, 16, 24, 9  # the widths of the columns of `ls`; the subject has the rest
_DEPTH = 8  # how deep answers are indented at most

file_argument = click.argument("file", type=click.Path(path_type=Path, readable=False))
folder_option = click.option("--folder", default=INBOX, show_default=True, help="The folder whose letters are meant.")
json_option = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line.")


@click.command()
@file_argument
@folder_option
@click.option("--newest", type=click.IntRange(min=1), help="Only so many, the newest first.")
@click.option("--threads", is_flag=True, help="By conversations, the one with the latest letter last.")
@click.option("--folders", is_flag=True, help="The folders instead, with how many letters each has.")
@click.option("--there", is_flag=True, help="What is not here: letters left on the server, by their unique-ids.")
@json_option
def ls(
    file: Path, folder: str, newest: int | None, *, threads: bool, folders: bool, there: bool, as_json: bool
) -> None:
    """List the letters of a mailbox FILE: number, date, from, subject, octets."""
    telling = Telling(as_json=as_json)

    async def work(mailbox: MailboxFile) -> None:
        if folders:
            await _list_folders(mailbox, telling)
        elif there:
            await _list_what_is_there(mailbox, telling)
        elif threads:
            await _list_threads(mailbox, folder, newest, telling)
        else:
            await _list(mailbox, folder, newest, telling)

    with_file(opening(file, sweeps=False), work)


# --- ls -----------------------------------------------------------------------------------------------------------


async def _list(mailbox: MailboxFile, folder: str, newest: int | None, telling: Telling) -> None:
    from postoffice.home.letters import flights, lines, snapshot

    keys = (await snapshot(mailbox, folder)).keys
    numbers = range(1, len(keys) + 1)
    if newest is not None:
        numbers = numbers[: -newest - 1 : -1]
    for flight in flights(len(numbers)):
        some = numbers[flight.start : flight.stop]
        wanted = [keys[number - 1] for number in some]
        telling.say([one async for one in lines(mailbox, wanted, some)], folder)


async def _list_threads(mailbox: MailboxFile, folder: str, newest: int | None, telling: Telling) -> None:
    from postoffice.home.conversations import conversations
    from postoffice.home.letters import lines

    found, where = await conversations(mailbox, folder)
    for thread in found if newest is None else found[: -newest - 1 : -1]:
        keys = [key for key, _ in thread]
        depths = {where[key][1]: depth for key, depth in thread}
        some = [one async for one in lines(mailbox, keys, [where[key][1] for key in keys])]
        telling.say(some, folder, [depths[one.number] for one in some])


async def _list_folders(mailbox: MailboxFile, telling: Telling) -> None:
    for one in await mailbox.folders():
        letters = await mailbox.snapshot(folder=one.name)
        telling.say_folder(one.name, len(letters.keys), sum(letters.octets))


async def _list_what_is_there(mailbox: MailboxFile, telling: Telling) -> None:
    """Letters that were met on servers and not fetched, or not given."""
    from postoffice.home.letters import date_of

    for source in await mailbox.sources():
        waiting = {name: one for name, one in (await mailbox.pulled(source)).items() if one.fetched is None}
        for name, one in waiting.items():
            if one.gone is None:
                date = date_of(one.head, one.seen or 0.0)
                sender, subject = header.decoded(one.head, b"From"), header.decoded(one.head, b"Subject")
                telling.say_there(safe(name.partition("\n")[0]), date, sender, subject, one.octets or 0)


class Telling:
    """Prints lists of letters: for people in columns, as wide as the terminal; for programs as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0

    def say(self, lines: Iterable[Line], folder: str, depths: Iterable[int | None] | None = None) -> None:
        """Letters of one folder; with `depths` each is indented by its own."""
        rows = []
        for one, depth in zip(lines, depths or repeat(None), strict=False):
            if self._as_json:
                rows.append(json.dumps(facts(one, folder, depth), ensure_ascii=False))
            else:
                name = f"{one.number:>{_NUMBER}}"
                rows.append(self._row(name, one.date, one.sender, one.subject, one.octets, depth or 0))
        if rows:
            click.echo("\n".join(rows))

    def say_voice(self, voice: Voice, folder: str) -> None:
        """A letter of a conversation; where it lies, if that is not `folder`."""
        one = voice.line
        if self._as_json:
            click.echo(json.dumps(facts(one, voice.folder, voice.depth), ensure_ascii=False))
            return
        subject = one.subject if voice.folder == folder else f"[{safe(voice.folder)}] {one.subject}"
        click.echo(self._row(f"{one.number:>{_NUMBER}}", one.date, one.sender, subject, one.octets, voice.depth))

    def say_folder(self, name: str, letters: int, octets: int) -> None:
        if self._as_json:
            click.echo(json.dumps({"folder": name, "letters": letters, "octets": octets}, ensure_ascii=False))
        else:
            click.echo(f"{letters:>8}  {octets:>14}  {safe(name)}")

    def say_there(self, unique_id: str, date: datetime, sender: str, subject: str, octets: int) -> None:
        if self._as_json:
            told = {"unique_id": unique_id, "date": _iso(date), "from": sender, "subject": subject, "octets": octets}
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            click.echo(self._row(unique_id, date, sender, subject, octets, 0))

    def _row(self, name: str, date: datetime, sender: str, subject: str, octets: int, depth: int) -> str:
        """One letter in one line, as wide as the terminal; if there is none, as it is."""
        subject = "  " * min(depth, _DEPTH) + (subject or "(no subject)")
        if self._width:
            rest = self._width - len(name) - _DATE - _FROM - _OCTETS - 8
            subject = cut(subject, max(rest, 8))
        who = cut(sender or "(nobody)", _FROM)
        return f"{name}  {date:%Y-%m-%d %H:%M}  {who}  {subject}  {octets:>{_OCTETS}}"


def facts(one: Line, folder: str, depth: int | None = None) -> dict[str, object]:
    """What programs are told of a letter."""
    told: dict[str, object] = {
        "number": one.number,
        "folder": folder,
        "date": _iso(one.date),
        "from": one.sender,
        "subject": one.subject,
        "octets": one.octets,
        "flags": [flag.name.lower() for flag in one.flags if flag.name],
    }
    return told if depth is None else told | {"depth": depth}


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="seconds")


def cut(text: str, columns: int) -> str:
    """Text in exactly so many columns of a terminal; wide characters take two, combining ones none."""
    if text.isascii():
        return text.ljust(columns) if len(text) <= columns else text[: columns - 1] + "…"
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > columns:
            break
        kept.append(character)
    else:
        return text + " " * (columns - used)
    while kept and sum(map(_columns, kept)) > columns - 1:
        kept.pop()
    cut = "".join(kept) + "…"
    return cut + " " * (columns - sum(map(_columns, cut)))


@cache
def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
