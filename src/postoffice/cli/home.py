"""Mail at home: what is in a mailbox file is listed and read, with no network."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from postoffice.cli.loop import with_file
from postoffice.errors import UsageError
from postoffice.home.mailbox import opening
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.protocols.dots import Unstuffer
from postoffice.store.model import CHUNK_OCTETS

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

T = TypeVar("T")

FLIGHT_OCTETS = 4 * 1024 * 1024
"""How much of a mailbox is looked at in one go."""

_NUMBER, _DATE, _FROM, _OCTETS = 5, 16, 24, 9  # the widths of the columns of `ls`; the subject has the rest

file_argument = click.argument("file", type=click.Path(path_type=Path, readable=False))


@click.command()
@file_argument
@click.option("--there", is_flag=True, help="What is not here: letters left on the server, by their unique-ids.")
def ls(file: Path, there: bool) -> None:
    """List the letters of a mailbox FILE: number, date, from, subject, octets."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    with_file(opening(file), lambda mailbox: _list_what_is_there(mailbox, width) if there else _list(mailbox, width))


@click.command()
@file_argument
@click.argument("number", type=click.IntRange(min=1))
@click.option("--raw", is_flag=True, help="Write the letter's octets exactly as they are.")
def read(file: Path, number: int, raw: bool) -> None:
    """Read letter NUMBER, as `ls` counts, of a mailbox FILE."""
    with_file(opening(file), lambda mailbox: _show(mailbox, number, raw=raw))


# --- ls -----------------------------------------------------------------------------------------------------------


async def _list(mailbox: MailboxFile, width: int) -> None:
    snapshot = await mailbox.snapshot()
    for numbers in _flights(snapshot.octets):
        keys = [snapshot.keys[number - 1] for number in numbers]
        entries = await mailbox.describe(keys)
        pieces = await mailbox.read(keys)
        for number, entry, piece in zip(numbers, entries, pieces, strict=True):
            if entry is not None and piece is not None:
                head = Unstuffer().feed(piece.wire[:HEAD_OCTETS])
                click.echo(_row(f"{number:>{_NUMBER}}", head, entry.internal_date, entry.octets, width))


async def _list_what_is_there(mailbox: MailboxFile, width: int) -> None:
    """Letters that were met on servers and not fetched, or not given."""
    for source in await mailbox.sources():
        waiting = {name: one for name, one in (await mailbox.pulled(source)).items() if one.fetched is None}
        for name, one in waiting.items():
            if one.gone is None:
                unique_id = header.safe(name.partition("\n")[0])
                click.echo(_row(unique_id, one.head, one.seen or 0.0, one.octets or 0, width))


def _flights(octets: Sequence[int]) -> Iterator[list[int]]:
    """Letters' numbers, so many together as may be read together."""
    flight: list[int] = []
    room = FLIGHT_OCTETS
    for number, size in enumerate(octets, 1):
        room -= min(size, CHUNK_OCTETS) + 1024
        flight.append(number)
        if room <= 0:
            yield flight
            flight, room = [], FLIGHT_OCTETS
    if flight:
        yield flight


def _row(name: str, head: bytes, came: float, octets: int, width: int) -> str:
    """One letter in one line, `width` columns wide; 0: as wide as it is."""
    subject = header.decoded(head, b"Subject") or "(no subject)"
    if width:
        rest = width - len(name) - _DATE - _FROM - _OCTETS - 8
        subject = cut(subject, max(rest, 8))
    sender = cut(header.decoded(head, b"From") or "(nobody)", _FROM)
    date = _date(header.decoded(head, b"Date"), came)
    return f"{name}  {date}  {sender}  {subject}  {octets:>{_OCTETS}}"


def _date(written: str, internal_date: float) -> str:
    """The letter's own date in this machine's time; where it has none that can be read, when it came."""
    try:
        date = parsedate_to_datetime(written).astimezone()
    except (ValueError, TypeError, OverflowError, OSError):
        date = datetime.fromtimestamp(internal_date).astimezone()
    return date.strftime("%Y-%m-%d %H:%M")


def cut(text: str, columns: int) -> str:
    """Text in exactly so many columns of a terminal; wide characters take two, combining ones none."""
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


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


# --- read ---------------------------------------------------------------------------------------------------------


async def _show(mailbox: MailboxFile, number: int, *, raw: bool) -> None:
    snapshot = await mailbox.snapshot()
    if number > len(snapshot.keys):
        raise UsageError(f"there is no letter {number}; there are {len(snapshot.keys)}", os.EX_NOINPUT)
    from postoffice.client.reading import LOOK_OCTETS, view

    key, octets = snapshot.keys[number - 1], snapshot.octets[number - 1]
    if raw:
        await _pour(mailbox, key, sys.stdout.buffer.write, octets)
        sys.stdout.buffer.flush()
        return
    beginning = bytearray()
    await _pour(mailbox, key, beginning.extend, LOOK_OCTETS)
    shown = view(bytes(beginning))
    for name, value in shown.fields:
        click.echo(f"{name}: {value}")
    click.echo()
    click.echo(shown.text.rstrip("\n"))
    for attachment in shown.attachments:
        click.echo(f"[{attachment.name}, {attachment.kind}, {attachment.octets} octets]")
    if octets > len(beginning):
        click.echo(f"[the first {len(beginning)} of {octets} octets; --raw writes all of them]")


async def _pour(mailbox: MailboxFile, key: int, write: Callable[[bytes], object], octets: int) -> None:
    """A letter, un-stuffed, piece by piece, until about so many octets were written."""
    unstuffer, index, written, more = Unstuffer(), 0, 0, True
    while more and written <= octets:
        [piece] = await mailbox.read([key], index)
        if piece is None:
            raise UsageError("the letter was removed meanwhile", os.EX_NOINPUT)
        plain = unstuffer.feed(piece.wire)
        write(plain)
        index, written, more = index + 1, written + len(plain), piece.more
