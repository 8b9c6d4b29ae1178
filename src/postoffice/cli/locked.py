"""What commands that open a mailbox file say about its passphrase: options that each of them has, and the prompt.

The options are added to a command when it is asked for, so that none of them has to know that files may be locked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from postoffice.home.locking.asking import Asking, asking, nobody

TRIES: Final = 3


def can_be_told(command: click.Command) -> click.Command:
    """The command, and those below it, with the options for the passphrase of a locked file."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            can_be_told(below)
    elif _OPTIONS[0] not in command.params:
        command.params.extend(_OPTIONS)
    return command


def ask_person(file: Path, is_again: bool) -> str:
    """The passphrase of a file, from a terminal; a UsageError (77) where there is none."""
    if not sys.stdin.isatty():
        return nobody(file, is_again)
    if is_again:
        click.echo("That does not open it.", err=True)
    from postoffice.cli.secrets import typed

    return typed(f"Passphrase of {file}")


def _from_stdin(_file: Path, _is_again: bool) -> str:
    from postoffice.cli.secrets import known_password

    return known_password("", from_stdin=True)


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Called for each option, given or not."""
    told = asking.get()
    if parameter is _OPTIONS[0]:
        # Whatever another command of this process was told is forgotten.
        told = Asking(person=ask_person, tries=TRIES if sys.stdin.isatty() else 1)
    if parameter.name == "passphrase_stdin":
        told = told._replace(person=_from_stdin, tries=1) if value else told
    elif value is not None:
        from postoffice.client.secrets import Places

        if told.places is not None or told.person is _from_stdin:
            raise click.UsageError("the passphrase comes from one place: name only one of them", context)
        told = told._replace(places=Places(**{str(parameter.name).removeprefix("passphrase_"): value}))
    asking.set(told)


_OPTIONS = [
    click.Option(
        ["--passphrase-stdin"],
        is_flag=True,
        help="If FILE is locked: read its passphrase from standard input instead of asking.",
        expose_value=False,
        callback=_note,
        is_eager=True,
    ),
    *(
        click.Option([f"--passphrase-{name}"], help=text, expose_value=False, callback=_note, **facts)
        for name, text, facts in (
            ("command", "Take it from what a shell command writes.", {"metavar": "CMD"}),
            (
                "file",
                "Take it from a file that nobody else may read.",
                {"type": click.Path(path_type=Path, readable=False)},
            ),
            ("variable", "Take it from an environment variable.", {"metavar": "NAME"}),
            ("credential", "Take it from a credential of a systemd service.", {"metavar": "NAME"}),
        )
    ),
]
