"""The options of commands that have letters scanned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from postoffice.cli.finite import FiniteRange

Command = TypeVar("Command", bound=Callable[..., Any])

_LACK = click.Choice(["hold", "pass"])
_POLICY = (
    click.option(
        "--scan-patience",
        type=FiniteRange(min=0.1),
        default=None,
        metavar="SECONDS",
        help="How long a scanner is waited for, for each letter (60).",
    ),
    click.option(
        "--unscanned", type=_LACK, help="A letter that cannot be scanned now is held out of sight (hold), or seen."
    ),
    click.option(
        "--too-large", type=_LACK, help="One that is too large for the scanner is held out of sight (hold), or seen."
    ),
)
_SCANNER = "clamd:/path/of/its/socket, clamd:HOST:PORT, command:CMD"


def scan_options(command: Command) -> Command:
    """Those of a command that pulls."""
    by = click.option("--scan", metavar="SCANNER", help=f"Have letters scanned before they are seen: {_SCANNER}, none.")
    return _with((by, *_POLICY), command)


def by_options(command: Command) -> Command:
    """Those of a command that does nothing else."""
    by = click.option("--by", metavar="SCANNER", help=f"Who scans, if not whom the settings name: {_SCANNER}.")
    return _with((by, *_POLICY), command)


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
