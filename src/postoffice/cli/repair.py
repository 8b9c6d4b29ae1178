"""`postoffice repair`: letters that can be read of a damaged mailbox file go into a new one, the others are named."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from postoffice.cli.check import Progress
from postoffice.cli.loop import with_loop
from postoffice.errors import UsageError
from postoffice.home.locking.beside import put_slots, read_slots
from postoffice.home.locking.finding import key_of
from postoffice.home.locking.recognizing import keys_path
from postoffice.home.mailbox import must_not_be_pack
from postoffice.quantities import counted, size
from postoffice.store.embedded.salvage import FOUND, Report
from postoffice.store.embedded.salvage import repair as save
from postoffice.store.embedded.soundness import Tally


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--into", "new", required=True, type=click.Path(path_type=Path), help="The new file, which is made.")
@click.option("--json", "as_json", is_flag=True, help="For a program: one object, with all that was lost.")
def repair(file: Path, new: Path, as_json: bool) -> None:
    """Save what can be read of a damaged mailbox FILE into a new one.

    Flags, dates, unique-ids, folders and what was pulled come with the letters; the chain of commits begins anew. FILE
    is only read, and must not be in use. What is saved of a locked one is locked, and opens by the same passphrase.

    A line for each letter that could not be saved. Exit status: 0 all were, 65 some were not.
    """
    _must_be_possible(file, new)
    tally = Tally()
    progress = Progress(tally)
    if sys.stderr.isatty():
        tally.tick = progress.tick
    try:
        key = key_of(file)
        with _keys_beside(file, new) if key is not None else nullcontext():
            report = with_loop(lambda: save(file, new, tick=tally.count, key=key))
    except OSError as error:
        raise UsageError(f"{error.filename or file}: {error.strerror}", os.EX_IOERR) from error
    finally:
        progress.clear()
    if as_json:
        click.echo(json.dumps({"whole": not report.lost, **asdict(report)}, indent=2))
    else:
        for line in report.lost:
            click.echo(f"LOST  {line}")
        click.echo(_summary(report, new))
    sys.exit(os.EX_DATAERR if report.lost else 0)


@contextmanager
def _keys_beside(file: Path, new: Path) -> Iterator[None]:
    """Those of a locked file lie beside the new one before it is there; where that fails, none do that did not."""
    were_there = keys_path(new).exists()
    put_slots(new, read_slots(file))
    try:
        yield
    except BaseException:
        if not were_there:
            keys_path(new).unlink()
        raise


def _must_be_possible(file: Path, new: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except FileNotFoundError:
        raise UsageError(f"{file}: there is no such file", os.EX_NOINPUT) from None
    except IsADirectoryError:
        raise UsageError(f"{file}: is a folder, not a mailbox file", os.EX_NOINPUT) from None
    except PermissionError as error:
        raise UsageError(f"{file}: {error.strerror}", os.EX_NOPERM) from error
    must_not_be_pack(file)
    if new.exists():
        raise UsageError(f"{new}: is there already; name a file that is not", os.EX_CANTCREAT)
    if not new.parent.is_dir():
        raise UsageError(f"{new}: there is no folder {new.parent}", os.EX_CANTCREAT)
    if not os.access(new.parent, os.W_OK):
        raise UsageError(f"{new}: you may not write into {new.parent}", os.EX_CANTCREAT)


def _summary(report: Report, new: Path) -> str:
    told = [f"{counted(report.letters + report.found, 'letter')} saved ({size(report.octets)})"]
    if report.found:
        told.append(f"{report.found} of them in the folder {FOUND}")
    told.append(f"{report.pulled} pulls remembered")
    told.append("its chain of commits begins anew")
    if report.lost:
        told.append(f"{counted(len(report.lost), 'letter')} lost")
    wrong = report.damaged_pages + report.blank_pages
    if wrong or report.wrong_frames:
        told.append(f"{counted(wrong, 'page')} and {counted(report.wrong_frames, 'frame')} of the log are damaged")
    return f"{new}: {', '.join(told)}"
