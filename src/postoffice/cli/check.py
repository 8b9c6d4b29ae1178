"""`postoffice check`, or `verify`: all that is kept is looked at, and what is not sound is told with what it means and
what helps.

It may run while the office serves: it changes nothing, and holds nobody up.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from postoffice.app.privilege import settle_in
from postoffice.cli.folder import data_folder, data_option, has_office, with_store
from postoffice.cli.residents import known, normalized
from postoffice.errors import UsageError
from postoffice.home.locking.beside import is_whole_twice
from postoffice.home.locking.finding import key_of
from postoffice.home.locking.recognizing import keys_path
from postoffice.home.mailbox import must_be_no_other
from postoffice.net.tls_server import server_context
from postoffice.quantities import counted, size
from postoffice.store.base import Store
from postoffice.store.embedded.chain import SHOWN_DIGITS, Commit
from postoffice.store.embedded.following import Noted
from postoffice.store.embedded.inspection import inspect, inspect_mailbox
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import Damage

PROGRESS_SECONDS = 0.5
PRIVATE = stat.S_IRWXG | stat.S_IRWXO


@click.command()
@click.argument("what", nargs=-1, metavar="[ADDRESS... | FILE]")
@data_option
@click.option("--after", metavar="COMMIT", help="Does FILE go on from a commit that was noted? As 17-3f9a0b12c4d5e6f7.")
@click.option("--json", "as_json", is_flag=True, help="For a program: one object, with all that was found.")
def check(what: tuple[str, ...], data: Path | None, after: str | None, as_json: bool) -> None:
    """Look at all that an office keeps, at the mailboxes of some ADDRESSes alone, or at a mailbox FILE at home.

    Every page, index, hash and reference, every file and who may read it. A running office may go on meanwhile.

    The last line names the last commit of FILE. Note it elsewhere: --after tells later whether FILE goes on from it, or
    an older or another one was put in its place.

    A line for each thing that is found: where, what, what it means for letters, what helps. Exit status: 0 all is
    sound, or only untidy, 65 something is damaged.
    """
    begun = time.monotonic()
    tally = Tally()
    progress = Progress(tally)
    if sys.stderr.isatty():
        tally.tick = progress.tick
    found = []
    for one in _look(what, data, tally, _noted(after)):
        found.append(one)
        if not as_json:
            progress.clear()
            click.echo(_line(one))
    progress.clear()
    damages = sum(not one.is_harmless for one in found)
    seconds = round(time.monotonic() - begun, 1)
    if as_json:
        facts = {name: getattr(tally, name) for name in ("accounts", "mailboxes", "letters", "octets")}
        commit = _commit_of(tally)
        facts["commit"] = f"{commit.number}-{commit.link.hex()}" if commit is not None else None
        told = {"sound": not damages, **facts, "seconds": seconds, "found": [one._asdict() for one in found]}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(_summary(tally, damages, len(found) - damages, seconds))
    sys.exit(os.EX_DATAERR if damages else 0)


def _noted(after: str | None) -> Noted | None:
    noted = Noted.read(after) if after is not None else None
    if after is not None and noted is None:
        wanted = f"its number and {SHOWN_DIGITS} to 64 hexadecimal digits, as 17-3f9a0b12c4d5e6f7"
        raise UsageError(f"--after wants a commit as check names it: {wanted}", os.EX_USAGE)
    return noted


def _look(what: tuple[str, ...], data: Path | None, tally: Tally, noted: Noted | None) -> Iterator[Damage]:
    files = [word for word in what if Path(word).is_file() or "@" not in word]
    if noted is not None and not files:
        raise UsageError("--after is about a mailbox FILE at home; name one", os.EX_USAGE)
    if files:
        if len(what) > 1:
            raise UsageError("a file is looked at alone, without others or addresses", os.EX_USAGE)
        path = Path(files[0])
        _must_be_readable(path)
        must_be_no_other(path)
        key = key_of(path)
        yield from inspect_mailbox(path, str(path), tally, key=key, noted=noted)
        yield from _keys(path, is_locked=key is not None)
        return
    names = [normalized(word) for word in what]
    folder = data_folder(data)
    if not has_office(folder):
        raise UsageError(f"{folder}: there is no office here; make one with: postoffice init", os.EX_NOINPUT)
    settle_in(folder)
    only = _accounts(names)
    if only is None:
        yield from _private()
        yield from _pair()
    yield from inspect(Path(), tally, only)


def _must_be_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such mailbox file, and it is no address", os.EX_NOINPUT) from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; for an office: postoffice check --data {path}", os.EX_USAGE) from None
    except PermissionError as error:
        raise UsageError(f"{path}: {error.strerror}", os.EX_NOPERM) from error


def _keys(path: Path, *, is_locked: bool) -> Iterator[Damage]:
    """What lies beside a mailbox file and opens it."""
    beside = keys_path(path)
    if is_locked and not is_whole_twice(path):
        means = "one of its two copies is damaged; the other one opens the mailbox"
        yield Damage(str(beside), "it is not what was written", means, f"postoffice passwd {path} writes it anew")
    elif not is_locked and beside.exists():
        means = "whoever believes that the mailbox is locked is wrong: everybody can read it"
        help_ = f"postoffice lock {path}, or take the keys away, if no copy needs them"
        yield Damage(str(beside), "keys lie beside a mailbox that is not locked", means, help_, is_harmless=True)


def _accounts(names: list[str]) -> list[int] | None:
    """The accounts of these addresses; None for everything."""

    async def find(store: Store) -> list[int]:
        return [(await known(store, name)).account_id for name in names]

    return with_store(Path(), find) if names else None


# --- what is around the store ----------------------------------------------------------------------------------


def _private() -> Iterator[Damage]:
    """The folder and the key are their owner's alone: then nothing below them is anybody else's."""
    for path, means in ((Path(), "others may read letters"), (Path("tls/key.pem"), "others may pose as this office")):
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        if mode & PRIVATE:
            name, right = (str(path), 0o600) if path.is_file() else ("the data folder", 0o700)
            where = path.absolute()
            yield Damage(name, f"others may look into it ({mode:04o})", means, f"chmod {right:o} {where}")


def _pair() -> Iterator[Damage]:
    """The certificate that lies in the folder, if one does."""
    certificate, key = Path("tls/certificate.pem"), Path("tls/key.pem")
    if not certificate.exists() and not key.exists():
        return  # the settings name another one
    try:
        server_context(certificate, key)
    except UsageError as error:
        means = "the office does not start; letters wait where they come from"
        yield Damage("tls", str(error), means, "put certificate and key back, or name others in the settings")


# --- how it is told --------------------------------------------------------------------------------------------


def _line(one: Damage) -> str:
    grade = "untidy " if one.is_harmless else "DAMAGED"
    return "; ".join(part for part in (f"{grade}  {one.where}: {one.what}", one.means, one.remedy) if part)


def _commit_of(tally: Tally) -> Commit | None:
    """The last one of the only mailbox that was looked at."""
    return tally.commit if tally.mailboxes == 1 and not tally.accounts else None


def _summary(tally: Tally, damages: int, untidy: int, seconds: float) -> str:
    seen = [counted(tally.letters, "letter"), size(tally.octets), f"{seconds:.1f} s"]
    if tally.accounts:
        seen.insert(0, counted(tally.accounts, "account"))
    if (commit := _commit_of(tally)) is not None:
        seen.append(f"commit {commit}")
    found = [f"{damages} damaged" if damages else "all is sound", *([f"{untidy} untidy"] if untidy else [])]
    return f"{', '.join(found)}: {', '.join(seen)}"


class Progress:
    """What was looked at so far, in one line of the terminal that is written over."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._next = time.monotonic() + PROGRESS_SECONDS
        self._columns = 0

    def tick(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._write(f"{size(self._tally.octets)} looked at")

    def clear(self) -> None:
        if self._columns:
            self._write("")

    def _write(self, text: str) -> None:
        click.echo(f"\r{text:<{self._columns}}\r", nl=False, err=True)
        self._columns = len(text)
