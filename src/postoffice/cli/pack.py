"""`postoffice pack`, `open`, `merge`: a mailbox file is carried to another machine, and two of them become one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from postoffice.cli.check import Progress
from postoffice.clock import system_clock
from postoffice.errors import DamagedStore, UsageError
from postoffice.home.mailbox import must_be_no_other, must_be_possible, pulling_into
from postoffice.home.packing import carrying
from postoffice.message.printable import safe
from postoffice.quantities import counted, size
from postoffice.store.embedded.merging import Merged
from postoffice.store.embedded.merging import merge as take_in
from postoffice.store.embedded.soundness import Tally

Tick = Callable[[int], None]
STDIN = Path("-")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--into", "new", type=click.Path(path_type=Path), help="The pack, which is made; else standard output.")
def pack(file: Path, new: Path | None) -> None:
    """Make of a mailbox FILE one that is safe to carry away: `postoffice pack FILE > one.po`.

    FILE may be in use meanwhile; what is packed is one moment of it. `postoffice open` makes a mailbox file of a pack.

    A line for each letter that is damaged; the pack has it as it is. Exit status: 0 all is sound, 65 something is not.
    """
    if new is None and sys.stdout.isatty():
        raise UsageError("a pack is no text for a terminal; send it into a file: postoffice pack FILE > one.po")
    _must_be_readable(file)
    must_be_no_other(file)
    with _told(file) as tick, _sink(new) as sink:
        packed = carrying.pack(file, sink, tick)
    for one in packed.damages:
        click.echo(f"DAMAGED  {'; '.join(part for part in (f'{one.where}: {one.what}', one.means) if part)}", err=True)
    told = [counted(packed.letters, "letter"), size(packed.octets), f"SHA-256 {packed.sha256.hex()}"]
    if packed.commit is not None:
        told.append(f"commit {packed.commit}")
    click.echo(f"{new or 'pack'}: {', '.join(told)}", err=new is None)
    sys.exit(os.EX_DATAERR if packed.damages else 0)


@click.command("open")
@click.argument("pack", type=click.Path(path_type=Path, readable=False))
@click.option("--into", "file", required=True, type=click.Path(path_type=Path), help="The mailbox file, which is made.")
def open_(pack: Path, file: Path) -> None:
    """Make a mailbox file of a PACK; `-` reads it from standard input.

    The file is there as a whole, and its SHA-256 is that of the pack, or it is not there. It goes on where the one that
    was packed had been: a pull brings only what is new.
    """
    if pack != STDIN:
        _must_be_readable(pack)
    with _told(file) as tick:
        if pack == STDIN:
            digest = carrying.unpack(sys.stdin.buffer, file, "standard input", tick)
        else:
            with pack.open("rb") as source:
                digest = carrying.unpack(source, file, str(pack), tick)
    click.echo(f"{file}: {size(file.stat().st_size)}, SHA-256 {digest.hex()}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.argument("others", nargs=-1, required=True, metavar="OTHER...", type=click.Path(path_type=Path, readable=False))
@click.option("--json", "as_json", is_flag=True, help="For a program: an object a line, one for each OTHER.")
def merge(file: Path, others: tuple[Path, ...], as_json: bool) -> None:
    """Take into a mailbox FILE what each OTHER has and it has not: letters, and what was pulled from where.

    OTHER is a mailbox file or a pack, and is only read. Stopped at any moment, it goes on when it is run again; run
    twice, it changes nothing.

    A line for each letter that OTHER does not give whole. Exit status: 0 all came, 65 some did not, 75 somebody pulls
    into FILE now, or the disk is full.
    """
    must_be_possible(file)
    for other in others:
        _must_be_readable(other)
        must_be_no_other(other, may_be_pack=True)
        if other.samefile(file):
            raise UsageError(f"{other}: is the file that the others are merged into")
    is_whole = True
    for other in others:
        with _told(file) as tick:
            merged = asyncio.run(_merge(file, other, tick))
        is_whole = is_whole and not merged.lost
        _tell(other, merged, as_json=as_json)
    sys.exit(0 if is_whole else os.EX_DATAERR)


async def _merge(file: Path, other: Path, tick: Tick) -> Merged:
    async with pulling_into(file) as mailbox:
        with carrying.opened_to_read(other, file) as connection:
            return await take_in(connection, mailbox, system_clock(), tick)


def _tell(other: Path, merged: Merged, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"other": str(other), **asdict(merged)}))
        return
    for line in merged.lost:
        click.echo(f"LOST  {safe(line)}")
    told = [f"{counted(merged.letters, 'letter')} came ({size(merged.octets)})", f"{merged.known} were here"]
    if merged.renamed:
        told.append(f"{merged.renamed} with a new unique-id")
    told.append(f"{merged.pulled} pulls remembered")
    if merged.lost:
        told.append(f"{counted(len(merged.lost), 'letter')} cannot be read there")
    click.echo(f"{other}: {', '.join(told)}")


# --- what stands in the way -------------------------------------------------------------------------------------


def _must_be_readable(path: Path) -> None:
    must_be_possible(path, may_be_other=True)
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", os.EX_NOPERM) from error


@contextmanager
def _sink(new: Path | None) -> Iterator[BinaryIO]:
    """The new file, or standard output, as durable as it can be when it is left."""
    if new is not None:
        with carrying.named_last(new) as file:
            yield file
        return
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UsageError("standard output was closed before the pack was whole", os.EX_IOERR) from error
    with suppress(OSError):  # a pipe cannot be synced
        os.fsync(sys.stdout.fileno())


@contextmanager
def _told(where: Path) -> Iterator[Tick]:
    """Says on a terminal how far it is; what a disk refuses is one sentence."""
    tally = Tally()
    progress = Progress(tally)
    if sys.stderr.isatty():
        tally.tick = progress.tick
    try:
        yield tally.count
    except (UsageError, DamagedStore):
        raise
    except OSError as error:
        raise UsageError(f"{error.filename or where}: {error.strerror}", os.EX_IOERR) from error
    finally:
        progress.clear()
