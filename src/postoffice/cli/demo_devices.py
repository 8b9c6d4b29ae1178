"""`postoffice demo --devices`: three devices at one maildrop for a month, played in seconds (`testing.month`).

A line a day: what each device pulled (and deleted), what the office still keeps for somebody, and how long its file is.
The exit status is 0 only if every letter came to every device exactly once and none stayed that nobody waited for.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from postoffice.testing.month import Day

INTRODUCTION = """\
Three devices pull from bob's maildrop, and delete what they pulled. Each has a
password of its own (postoffice device add), so a letter leaves the office when
every device has deleted it. On day {lost} the phone is lost.

day  {names}   kept   on disk
"""


def play(*, as_json: bool) -> int:
    """Let the month pass; gives the exit status."""
    return asyncio.run(_play(_as_json if as_json else _as_line, with_words=not as_json))


async def _play(told: Callable[[Day], str], *, with_words: bool) -> int:
    from postoffice.testing.month import EVERY, LOST_ON, Month, WrongMonth

    if with_words:
        names = "".join(f"{name:>8}" for name in EVERY)
        click.echo(INTRODUCTION.format(names=names, lost=LOST_ON), nl=False)
    try:
        with tempfile.TemporaryDirectory(prefix="postoffice-month-") as folder:
            async for day in Month(Path(folder)).days():
                click.echo(told(day))
    except WrongMonth as wrong:
        click.echo(f"postoffice: {wrong}", err=True)
        return os.EX_SOFTWARE
    if with_words:
        click.echo("\nEvery letter came to every device exactly once, and nothing is kept that")
        click.echo("nobody waits for.")
    return os.EX_OK


def _as_line(day: Day) -> str:
    from postoffice.testing.month import EVERY

    pulled = "".join(f"{f'+{day.pulled[name]}' if name in day.pulled else '':>8}" for name in EVERY)
    line = f"{day.number:>3}  {pulled}  {day.kept:>5}  {day.octets / 1e6:>5.1f} MB"
    return "\n".join([line, *(f"     {words}" for words in day.told)])


def _as_json(day: Day) -> str:
    return json.dumps(
        {
            "day": day.number,
            "pulled": dict(day.pulled),
            "waiting": dict(day.waiting),
            "kept": day.kept,
            "octets": day.octets,
            "told": list(day.told),
        },
        ensure_ascii=False,
    )
