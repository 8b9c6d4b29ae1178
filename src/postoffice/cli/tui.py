"""`tui`: a mailbox file read on a terminal, with no network."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.cli.home import file_argument
from postoffice.errors import UsageError
from postoffice.home.mailbox import must_be_possible, opening

if TYPE_CHECKING:
    from postoffice.database.key import Key
    from postoffice.tui.app import Lock
    from postoffice.tui.mail import Mail

EXTRA = "the terminal reader needs Textual, which is not installed: pip install 'postoffice[tui]'"


@click.command()
@file_argument
@click.option(
    "--lock-after",
    type=click.IntRange(1, 1440),
    default=10,
    show_default=True,
    metavar="MINUTES",
    help="Without a key pressed, a locked file is locked again.",
)
def tui(file: Path, lock_after: int) -> None:
    """Read a mailbox FILE on a terminal: folders, letters, conversations, attachments, search; ? tells every key."""
    if find_spec("textual") is None:
        raise UsageError(EXTRA, os.EX_UNAVAILABLE)
    must_be_possible(file)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a terminal is needed to read on; `ls` and `read` need none", os.EX_USAGE)
    from postoffice.home.locking.recognizing import is_locked
    from postoffice.tui.app import Reader

    if is_locked(file):
        key = _key_without_asking(file)
        reader = Reader(None if key is None else _opened(file, key), _lock(file, lock_after * 60.0))
    else:
        reader = Reader(_opened(file, None))
    reader.run(mouse=False)  # so that the terminal's own way to mark and copy text works
    if reader.failure is not None:
        raise reader.failure
    if reader.return_code:  # Textual has told what went wrong
        sys.exit(os.EX_SOFTWARE)


def _opened(file: Path, key: Key | None) -> Mail:
    from postoffice.tui.mail import Mail

    return Mail(opening(file, sweeps=False, key=key)())


def _key_without_asking(file: Path) -> Key | None:
    """Of a locked file, if it is unlocked now or the command line says where its passphrase is."""
    from postoffice.home.locking.asking import asking
    from postoffice.home.locking.finding import key_at_hand, key_by

    said = asking.get().said()
    return key_by(file, said) if said is not None else key_at_hand(file)


def _lock(file: Path, idle_seconds: float) -> Lock:
    from postoffice.home.locking.finding import key_by
    from postoffice.tui.app import Lock

    def forget() -> None:
        from postoffice.database.key import salt_of
        from postoffice.home.locking import holding

        if (salt := salt_of(file)) is not None:
            holding.forget(salt)

    return Lock(file.name, lambda typed: _opened(file, key_by(file, typed)), forget, idle_seconds)
