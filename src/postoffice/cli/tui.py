"""`tui`: a mailbox file read on a terminal, with no network."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from postoffice.cli.home import file_argument
from postoffice.errors import UsageError
from postoffice.home.mailbox import opening

EXTRA = "the terminal reader needs Textual, which is not installed: pip install 'postoffice[tui]'"


@click.command()
@file_argument
def tui(file: Path) -> None:
    """Read a mailbox FILE on a terminal: folders, letters, conversations, attachments, search; ? tells every key."""
    if find_spec("textual") is None:
        raise UsageError(EXTRA, os.EX_UNAVAILABLE)
    opened = opening(file, sweeps=False)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a terminal is needed to read on; `ls` and `read` need none", os.EX_USAGE)
    from postoffice.tui.app import Reader
    from postoffice.tui.mail import Mail

    Reader(Mail(opened())).run()
