"""Letters at home are read, and what they bring is saved; nothing of it is fetched, run or believed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.cli.home import Telling, file_argument, folder_option, json_option
from postoffice.cli.loop import with_file
from postoffice.errors import UsageError
from postoffice.home.mailbox import opening
from postoffice.quantities import counted

if TYPE_CHECKING:
    from postoffice.home.saving import Saved
    from postoffice.message.mime.view import View
    from postoffice.store.embedded import MailboxFile

MARK = "(!)"
"""Stands before what is wrong."""

number_argument = click.argument("number", type=click.IntRange(min=1))


@click.command()
@file_argument
@number_argument
@folder_option
@click.option("--html", "prefers_html", is_flag=True, help="The text of the HTML form, where there is a plain one too.")
@click.option("--headers", "form", flag_value="headers", help="Every field of the header instead.")
@click.option("--html-source", "form", flag_value="html", help="The HTML as it was written instead.")
@click.option("--raw", "form", flag_value="raw", help="Write the letter's octets exactly as they are.")
def read(file: Path, number: int, folder: str, *, prefers_html: bool, form: str | None) -> None:
    """Read letter NUMBER, as `ls` counts, of a mailbox FILE: text, links, what is attached, what is wrong with it."""
    with_file(
        opening(file, sweeps=False),
        lambda mailbox: _show(mailbox, number, folder, prefers_html=prefers_html, form=form),
    )


@click.command()
@file_argument
@number_argument
@click.argument("attachments", metavar="[ATTACHMENT]...", type=click.IntRange(min=1), nargs=-1)
@folder_option
@click.option("--to", "into", type=click.Path(path_type=Path), default=".", help="The folder for files; default: here.")
@click.option("--eml", "is_letter", is_flag=True, help="The whole letter, as an .eml file.")
@json_option
def save(
    file: Path, number: int, attachments: tuple[int, ...], folder: str, into: Path, *, is_letter: bool, as_json: bool
) -> None:
    """Save what is attached to letter NUMBER of a mailbox FILE: all of it, or ATTACHMENTs by their numbers in `read`.

    Names are made safe, no file is written over, and none can be run.
    """
    saved = with_file(
        opening(file, sweeps=False),
        lambda mailbox: _save(mailbox, number, folder, into, attachments, is_letter=is_letter),
    )
    for one in saved:
        if as_json:
            told = {"number": one.number, "path": str(one.path), "octets": one.octets, "warnings": list(one.warnings)}
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            click.echo(f"{one.path}  {counted(one.octets, 'octet')}")
            for sentence in one.warnings:
                click.echo(_warning(sentence), err=True)
    if not saved:
        raise UsageError(f"nothing is attached to letter {number}; --eml saves the letter itself", os.EX_NOINPUT)


@click.command()
@file_argument
@number_argument
@folder_option
@json_option
def thread(file: Path, number: int, folder: str, *, as_json: bool) -> None:
    """Show the conversation that letter NUMBER of a mailbox FILE belongs to: answers below what they answer."""
    telling = Telling(as_json=as_json)

    async def work(mailbox: MailboxFile) -> None:
        from postoffice.home.conversations import conversation
        from postoffice.home.letters import find

        place = await find(mailbox, number, folder)
        for voice in await conversation(mailbox, place.key, folder):
            telling.say_voice(voice, folder)

    with_file(opening(file, sweeps=False), work)


# --- read ---------------------------------------------------------------------------------------------------------


async def _show(mailbox: MailboxFile, number: int, folder: str, *, prefers_html: bool, form: str | None) -> None:
    from postoffice.home.letters import beginning, find, pour
    from postoffice.message.mime.view import LOOK_OCTETS, view

    place = await find(mailbox, number, folder)
    if form == "raw":
        async for plain in pour(mailbox, place.key):
            sys.stdout.buffer.write(plain)
        sys.stdout.buffer.flush()
        return
    octets = await beginning(mailbox, place.key, LOOK_OCTETS)
    match form:
        case "headers":
            _print_header(octets)
        case "html":
            _print_html(octets)
        case _:
            behind = place.octets - len(octets)
            _print_view(view(octets, prefers_html=prefers_html, is_cut=behind > 0), behind)


def _print_view(shown: View, behind: int) -> None:
    """`behind`: so many octets were not looked at."""
    width = _width()
    for name, value in shown.fields:
        click.echo(folded(f"{name}: {value}", width, "  "))
    for sentence in shown.warnings:
        click.echo(_warning(sentence))
    text = "\n".join(folded(line, width) for line in shown.text.rstrip("\n").split("\n"))
    click.echo(f"\n{text}")
    if shown.links:
        click.echo("\nLinks:")
    for link in shown.links:
        click.echo(f"[{link.number}] {link.address}")
        for sentence in link.warnings:
            click.echo(_warning(sentence))
    if shown.attachments:
        click.echo("\nAttached:")
    for one in shown.attachments:
        least = "at least " if one.is_cut else ""
        click.echo(f"{one.number:>3}  {one.name}, {one.kind}, {least}{counted(one.octets, 'octet')}")
        for sentence in one.warnings:
            click.echo(_warning(sentence))
    if behind > 0:
        click.echo(f"\n[{behind} octets more were not looked at: save saves all that is attached, --raw writes all]")


def _print_header(octets: bytes) -> None:
    from postoffice.message import header
    from postoffice.message.charsets import text_of
    from postoffice.message.content import HEAD_OCTETS
    from postoffice.message.printable import safe

    width = _width()
    for name, value in header.fields(octets[:HEAD_OCTETS]):
        text = safe(header.decode_words(text_of(header.unfolded(value), "").strip()))
        click.echo(folded(f"{name.decode()}: {text}", width, "  "))


def _print_html(octets: bytes) -> None:
    from postoffice.message.mime.parts import parts
    from postoffice.message.printable import safe

    html = [part.text(len(octets)) for part in parts(octets) if part.kind == "text/html" and not part.is_attached]
    if not html:
        raise UsageError("the letter has no HTML", os.EX_NOINPUT)
    for one in html:
        click.echo("\n".join(safe(line) for line in one.splitlines()))


def _warning(sentence: str) -> str:
    return click.style(f"     {MARK} {sentence}", fg="red", bold=True)


def _width() -> int:
    """Of the terminal; 0 where there is none, and lines stay as long as they are."""
    return max(shutil.get_terminal_size().columns, 20) if sys.stdout.isatty() else 0


def folded(line: str, width: int, indent: str = "") -> str:
    """A line in lines of so many columns, broken at blanks; its quotes and indents are repeated, unless they leave no
    room."""
    from postoffice.message.mime.rendering import width as columns

    if not width or columns(line) <= width:
        return line
    body = line.lstrip("> ")
    before = line[: len(line) - len(body)]
    lines, current, used = [], before, columns(before)
    repeated = before if len(before) <= width // 2 else ""
    rest = (repeated if ">" in before else " " * len(repeated)) + indent
    if body.startswith(("* ", "- ")):
        rest += "  "
    is_empty = True
    for word in body.split(" "):
        size = columns(word)
        if not is_empty and used + 1 + size > width:
            lines.append(current.rstrip())
            current, used, is_empty = rest, columns(rest), True
        current += word if is_empty else " " + word
        used += size + (not is_empty)
        is_empty = False
    lines.append(current)
    return "\n".join(lines)


# --- save ---------------------------------------------------------------------------------------------------------


async def _save(
    mailbox: MailboxFile, number: int, folder: str, into: Path, attachments: tuple[int, ...], *, is_letter: bool
) -> list[Saved]:
    from postoffice.home.letters import find
    from postoffice.home.saving import save_attachments, save_letter

    place = await find(mailbox, number, folder)
    saved = []
    if attachments or not is_letter:
        saved += await save_attachments(mailbox, place.key, into, attachments)
    if is_letter:
        saved.append(await save_letter(mailbox, place.key, into, number))
    return saved
