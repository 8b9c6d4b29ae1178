"""A plain mailbox file becomes a locked one, or a locked one a plain one: a new file is written, verified, made durable
and put in the place of the old one. At every moment the name leads to a whole file, and its slots lie beside it before
it is there.

    nobody uses it ─▶ its log is written back ─▶ new file ─▶ every letter is read in it ─▶ slots ─▶ the name ─▶ the old
    octets are overwritten

A crash leaves the old file, or the new one, and perhaps slots that open nothing, or a hidden file `.NAME.….new`, which
the next `lock` or `unlock` takes away.
Whoever comes to the old file too late finds it empty and writes nothing into it. Overwriting is what a program can
do: a disk that writes elsewhere, a snapshot, a backup keep what they have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from postoffice.database.key import PLAIN, Key
from postoffice.database.migrate import prepare
from postoffice.database.rewriting import alone, write_anew
from postoffice.database.sqlite import Connection, open_untouched, open_writer, shut, sync_directory
from postoffice.errors import DamagedStore, StoreUnavailable
from postoffice.home.locking.beside import be_like
from postoffice.home.mailbox import hold_pulls
from postoffice.store.embedded.copying import Tick
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.soundness import Tally, mailbox_findings

_PORTION_OCTETS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """What is in the new file, and how many other names (hard links) still lead to the old one."""

    letters: int
    octets: int
    other_names: int


def transcribe(
    file: Path, old: Key | None, new: Key | None, put_slots: Callable[[os.stat_result], None], tick: Tick
) -> Written:
    """Write `file` anew with another key, or without one. When the new file is durable, `put_slots` is called with what
    is known of the old one, before it has its name.

    The file is not a symbolic link. Durable. Nothing is changed where somebody uses the file (75), or where it is
    damaged, a DamagedStore.
    """
    descriptor = hold_pulls(file)
    try:
        _sweep(file)
        before = os.fstat(descriptor)
        fresh = file.with_name(f".{file.name}.{token_hex(8)}.new")
        try:
            prepare(file, MAILBOX, create=False, key=old)
            with alone(file, old) as source:
                letters = _write(source, file, fresh, new, tick)
                shut(open_writer(fresh, key=new))  # it has a log from its beginning, so whoever opens it is seen
                be_durable(fresh, before)
                put_slots(before)
                fresh.rename(file)
                sync_directory(file.parent)
                names = os.fstat(descriptor).st_nlink
                if not names:
                    _overwrite(descriptor, before.st_size)
        finally:
            take_away(fresh)
        return Written(letters, file.stat().st_size, names)
    finally:
        os.close(descriptor)


def sweep(file: Path) -> None:
    """Overwrite and take away what was being made beside a file by who was killed then: it may be plain.

    Raises UsageError (75) while somebody makes it, or pulls into the file.
    """
    if any(_leftovers(file)):
        descriptor = hold_pulls(file)
        try:
            _sweep(file)
        finally:
            os.close(descriptor)


def _sweep(file: Path) -> None:
    for path in _leftovers(file):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            path.unlink()
            if not os.fstat(descriptor).st_nlink:
                _overwrite(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)


def _leftovers(file: Path) -> Iterator[Path]:
    made = re.compile(rf"\.{re.escape(file.name)}\.[0-9a-f]{{16}}\.new(-wal|-shm|-journal)?")
    return (path for path in file.parent.iterdir() if made.fullmatch(path.name))


def _write(source: Connection, file: Path, fresh: Path, key: Key | None, tick: Tick) -> int:
    """The new file. Gives how many letters are in it, after every one of them was read."""
    before = _telling(tick)
    _must_be_sound(source, file, before)
    write_anew(source, fresh, key)
    after = _telling(tick)
    with closing(open_untouched(fresh, key)) as target:
        _must_be_sound(target, fresh, after)
    with fresh.open("rb") as opened:
        is_plain = opened.read(len(PLAIN)) == PLAIN
    if (before.letters, before.octets) != (after.letters, after.octets) or is_plain != (key is None):
        raise StoreUnavailable(f"{file}: what was written is not what was read; nothing is changed")
    return after.letters


def _telling(tick: Tick) -> Tally:
    """Counts what is looked at, and tells how much that was since it told last."""
    tally, told = Tally(), 0

    def tell() -> None:
        nonlocal told
        tick(tally.octets - told)
        told = tally.octets

    tally.tick = tell
    return tally


def _must_be_sound(connection: Connection, file: Path, tally: Tally) -> None:
    for one in mailbox_findings(connection, str(file), tally):
        if not one.is_harmless:
            raise DamagedStore(f"{one.where}: {one.what}; postoffice repair {file} saves what can be saved")


def take_away(fresh: Path) -> None:
    """What was being made, and what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        fresh.with_name(fresh.name + ending).unlink(missing_ok=True)


def be_durable(fresh: Path, like: os.stat_result | None = None) -> None:
    """All octets of a file that nobody has open; its owner is that of another one."""
    descriptor = os.open(fresh, os.O_RDWR | os.O_CLOEXEC)
    try:
        if like is not None:
            be_like(descriptor, like)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int, octets: int) -> None:
    """The file that has no name any more: zeros on its octets, where the disk writes them in place, and its end."""
    with suppress(OSError):  # the new one is there already
        for start in range(0, octets, _PORTION_OCTETS):
            os.pwrite(descriptor, bytes(min(_PORTION_OCTETS, octets - start)), start)
        os.fsync(descriptor)
        os.ftruncate(descriptor, 0)
        os.fsync(descriptor)
