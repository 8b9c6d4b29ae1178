"""`postoffice status`: how the office is, for a person, a program, or a monitor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from postoffice.cli.folder import data_option, with_store

if TYPE_CHECKING:
    from postoffice.app.status import Status
    from postoffice.store.base import Store

NAME_COLUMNS = 13


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="For a program: one object with a member for each section.")
@click.option("--check", is_flag=True, help="Print problems only.")
def status(data: Path | None, as_json: bool, check: bool) -> None:
    """Say how the office is: processes, doors, queue, who is kept out, disk, certificate, last troubles.

    Works with and without a running office. Exit status: 0 all is well, 69 no office runs, 75 it runs and somebody
    should look at it.
    """
    from postoffice.app.board import ask
    from postoffice.app.status import look
    from postoffice.clock import system_clock

    async def see(store: Store) -> Status:
        return await look(store, ask(), system_clock())

    found = with_store(data, see)
    if as_json:
        facts = {section.name: section.facts for section in found.sections}
        click.echo(json.dumps({**facts, "problems": found.problems}, indent=2))
    else:
        for line in found.problems if check else _lines(found):
            click.echo(line)
    sys.exit(found.exit_status)


def _lines(found: Status) -> list[str]:
    """Sections with their names before the first line; what nobody has anything to say about is left out."""
    lines = []
    for section in found.sections:
        for index, line in enumerate(section.lines):
            name = section.name if index == 0 else ""
            lines.append(f"{name:{NAME_COLUMNS}}{line}")
    problems = [line for problem in found.problems for line in wrap(problem, 80 - NAME_COLUMNS)]
    lines += [f"{'look at' if index == 0 else '':{NAME_COLUMNS}}{line}" for index, line in enumerate(problems)]
    return lines
