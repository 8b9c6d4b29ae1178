"""`postoffice lock`, `unlock`, `passwd`: a mailbox file that nobody reads who has no key."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from postoffice.cli.check import Progress
from postoffice.cli.finite import FiniteRange
from postoffice.cli.home import file_argument
from postoffice.database.key import salt_of
from postoffice.errors import UsageError
from postoffice.home.locking import changing, holding
from postoffice.home.locking.asking import asking
from postoffice.home.locking.beside import read_slots
from postoffice.home.locking.finding import key_anew, key_by_asking, key_of
from postoffice.home.locking.recognizing import is_locked, keys_path
from postoffice.home.locking.slots import Way
from postoffice.home.locking.transcribing import sweep
from postoffice.home.mailbox import must_be_possible
from postoffice.quantities import counted, size
from postoffice.store.embedded.soundness import Tally

T = TypeVar("T")

MOST_MINUTES = 60 * 24 * 30


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, readable=False))
@click.option("--create", is_flag=True, help="Make FILE, an empty mailbox that is locked from its beginning.")
def lock(file: Path | None, *, create: bool) -> None:
    """Lock a mailbox FILE.

    The first time: FILE is encrypted, with its index and its log, by a passphrase that is asked for twice; a recovery
    key is printed once. From then on: FILE can be read again only with what opens it, `unlock` is over. Without FILE:
    this holds for every file that is unlocked now.

    FILE.keys, which is made, belongs to FILE: without it, or a pack, nobody can open FILE.
    """
    if file is None:
        holding.forget()
        click.echo("nothing is unlocked now")
        return
    is_there = must_be_possible(file, create=create)
    if is_there and create:
        raise UsageError(f"{file}: is there already", os.EX_CANTCREAT)
    if is_there and is_locked(file):
        holding.forget(salt_of(file) or read_slots(file).mailbox)
        sweep(file.resolve())
        has_keyring = read_slots(file).of(Way.KEYRING) is not None
        opener = ", and the keyring opens it while that is open" if has_keyring else ""
        click.echo(f"{file}: is locked{opener}")
        return
    passphrase = _new_passphrase(file)
    if create:
        locked = changing.make_locked(file, passphrase)
    else:
        locked = _watched(lambda tick: changing.lock_first(file, passphrase, tick))
    written = locked.written
    click.echo(f"{file}: {counted(written.letters, 'letter')}, {size(written.octets)}, encrypted")
    click.echo(f"{keys_path(file)}: opens it with the passphrase; keep both together, and a copy of it elsewhere")
    _tell_aside(locked.aside)
    if written.other_names:
        click.echo(f"postoffice: the plain file has {counted(written.other_names, 'other name')} still", err=True)
    _show_recovery_key(locked.recovery_key)


@click.command()
@file_argument
@click.option(
    "--for",
    "minutes",
    type=FiniteRange(min=0, min_open=True, max=MOST_MINUTES),
    default=30,
    show_default=True,
    metavar="MINUTES",
    help="When it locks itself again, also if the machine sleeps meanwhile.",
)
@click.option("--for-good", is_flag=True, help="Make FILE a plain file that everybody can read.")
def unlock(file: Path, minutes: float, *, for_good: bool) -> None:
    """Unlock a mailbox FILE: its passphrase, or its recovery key, is asked for once, and not again for a while.

    The key is held in memory by a process of yours, until the time is over or `postoffice lock` is said.
    """
    _must_be_locked(file)
    if for_good:
        key = key_of(file)
        assert key is not None
        written = _watched(lambda tick: changing.unlock_for_good(file, key, tick))
        holding.forget(key.salt)
        click.echo(f"{file}: {counted(written.letters, 'letter')}, {size(written.octets)}, not encrypted any more")
        click.echo(f"{keys_path(file)}: stays for copies of the locked file; it can go when there are none")
        return
    seconds = max(1, round(minutes * 60))
    holding.hold(key_anew(file), seconds)
    until = datetime.fromtimestamp(time.time() + seconds).astimezone()
    click.echo(f"{file}: is unlocked until {until:%Y-%m-%d %H:%M}")


@click.command()
@file_argument
@click.option("--recovery-key", is_flag=True, help="Print a new recovery key; the old one opens nothing then.")
@click.option(
    "--keyring/--no-keyring", default=None, help="Let the keyring of the desktop open FILE (package keyring), or not."
)
@click.option(
    "--keys-from",
    "source",
    type=click.Path(path_type=Path, readable=False),
    help="Put the keys of a PACK, or of a copy of FILE.keys, beside FILE, if they are its own.",
)
@click.option("--new-passphrase-command", "command", metavar="CMD", help="What a shell command writes is the new one.")
@click.option(
    "--new-passphrase-file",
    "path",
    type=click.Path(path_type=Path, readable=False),
    help="The new one stands in a file that nobody else may read.",
)
def passwd(
    file: Path, command: str | None, path: Path | None, source: Path | None, *, recovery_key: bool, keyring: bool | None
) -> None:
    """Change the passphrase of a locked mailbox FILE, or what else opens it.

    The old passphrase, or the recovery key, is asked for. Mail is not encrypted anew: who had the old passphrase and a
    copy of FILE.keys keeps a way in. `unlock --for-good` and `lock` shut it.
    """
    named = (source is not None, keyring is not None, recovery_key, command is not None or path is not None)
    if sum(named) > 1:
        raise UsageError("one thing is changed at a time: keys, keyring, recovery key or passphrase")
    if source is not None:
        must_be_possible(file)
        aside = changing.take_keys(file, source)
        click.echo(f"{keys_path(file)}: has the keys of {source}, which open it as on the day when that was made")
        _tell_aside(aside)
        return
    _must_be_locked(file)
    if keyring is False:
        key_by_asking(file)
        changing.close_by_keyring(file)
        click.echo(f"{file}: the keyring does not open it any more")
        return
    key = key_by_asking(file)
    if keyring:
        changing.open_by_keyring(file, key)
        click.echo(f"{file}: the keyring opens it now")
    elif recovery_key:
        _show_recovery_key(changing.change_recovery_key(file, key))
    else:
        changing.change_passphrase(file, key, _new_passphrase(file, command, path, is_change=True))
        click.echo(f"{file}: the new passphrase opens it")


def _tell_aside(aside: Path | None) -> None:
    if aside is not None:
        click.echo(f"{aside}: keys that lay there before; a copy of before may need them")


def _must_be_locked(file: Path) -> None:
    must_be_possible(file)
    if not is_locked(file):
        raise UsageError(f"{file}: is not locked", os.EX_USAGE)


def _new_passphrase(
    file: Path, command: str | None = None, path: Path | None = None, *, is_change: bool = False
) -> str:
    """From where it is said to be, or from a person who types it twice."""
    from postoffice.cli.secrets import typed
    from postoffice.client.secrets import of_command, of_file

    if command is not None and path is not None:
        raise UsageError("the new passphrase comes from one place: name only one of them")
    if command is not None:
        return of_command(command)
    if path is not None:
        return of_file(path)
    if not is_change and (said := asking.get().said()) is not None:
        return said
    if not sys.stdin.isatty():
        if not is_change:
            return asking.get().person(file, False)
        raise UsageError("there is no terminal to ask for the new passphrase; use --new-passphrase-file", os.EX_USAGE)
    return typed(f"New passphrase for {file}", is_new=True)


def _show_recovery_key(recovery_key: str) -> None:
    """Behind everything else, so that what is durable is told before."""
    click.echo(f"\n    recovery key   {recovery_key}\n")
    click.echo("It opens the mailbox if the passphrase is lost. Write it down now: it is shown this once.")


def _watched(work: Callable[[Callable[[int], None]], T]) -> T:
    """Says on a terminal how far it is; what a disk refuses is one sentence."""
    tally = Tally()
    progress = Progress(tally)
    if sys.stderr.isatty():
        tally.tick = progress.tick
    try:
        return work(tally.count)
    except OSError as error:
        raise UsageError(f"{error.filename or 'the disk'}: {error.strerror}", os.EX_IOERR) from error
    finally:
        progress.clear()
