"""A mailbox file into a pack, and out of it again: what gets a name is whole, durable and its owner's alone.

    mailbox file ─▶ copy of one moment ─▶ is it sound? ─▶ pack ─▶ its SHA-256 is right ─▶ mailbox file

A copy lies beside the mailbox file, or in the temporary folder where nothing can be written there; its name is taken
away as soon as it is open, so that whatever ends the program ends the copy too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

import apsw

from postoffice.database.key import Key
from postoffice.database.sqlite import Connection, open_untouched, store_error, sync_directory
from postoffice.errors import DamagedStore, UsageError
from postoffice.home.locking.beside import put_slots, read_slots
from postoffice.home.locking.finding import key_of
from postoffice.home.locking.recognizing import keys_path
from postoffice.home.locking.slots import read_record
from postoffice.home.packing.container import Sink, Source, Tick, disclose, enclose, is_pack
from postoffice.store.embedded.chain import Commit
from postoffice.store.embedded.copying import bring_to_today, copy_mailbox, is_of_today, must_be_mailbox
from postoffice.store.embedded.soundness import Tally, mailbox_findings
from postoffice.store.model import Damage

_IDENTITY_OCTETS = 100
BESIDE = ("-wal", "-journal", "-shm")
"""What SQLite keeps beside a file of that name, and would take for a part of any other that gets the name."""


@dataclass(slots=True)
class Packed:
    """What is in a pack: letters, the octets of the database, its SHA-256, and what of it is damaged.

    `commit` is the last one of its chain, None for a file that has none.
    """

    letters: int
    octets: int
    commit: Commit | None = None
    sha256: bytes = b""
    damages: list[Damage] = field(default_factory=list)


def pack(file: Path, sink: Sink, tick: Tick) -> Packed:
    """Write a pack of a mailbox file as it is now. What is damaged in it is told, and is in the pack as it is.

    That of a locked file is locked, and opens by the same slots. A page that cannot be read at all is a DamagedStore.
    """
    key = key_of(file)
    record = read_slots(file).record() if key is not None else b""
    folder = _room_for_copy(file)
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", suffix=".pack", dir=folder) as private:
        copy = Path(private) / "copy"
        _copy(file, copy, tick, key)
        tally = Tally()
        with closing(open_untouched(copy, key)) as connection:
            found = [one for one in mailbox_findings(connection, str(file), tally) if not one.is_harmless]
        database = copy.open("rb")
    with database:
        packed = Packed(tally.letters, os.fstat(database.fileno()).st_size, tally.commit, damages=found)
        packed.sha256 = enclose(database, packed.octets, sink, tick, record)
    return packed


def _copy(file: Path, copy: Path, tick: Tick, key: Key | None) -> None:
    """A page that SQLite cannot read, as one of a locked file in which an octet was changed, cannot be copied."""
    try:
        copy_mailbox(file, copy, tick, key)
    except DamagedStore as error:
        if isinstance(error.__cause__, apsw.Error):
            raise DamagedStore(f"{error}; postoffice repair {file} saves what can be saved") from error
        raise


def unpack(source: Source, file: Path, where: str, tick: Tick) -> bytes:
    """A new mailbox file of a pack, which gets its name when all of it was found right. Gives its SHA-256.

    The slots of a locked one lie beside it before it is there; no key is needed for that.
    """
    with named_last(file) as fresh:
        digest, record = disclose(source, fresh, where, tick)
        fresh.seek(0)
        beginning = fresh.read(_IDENTITY_OCTETS)
        if not record:
            must_be_mailbox(beginning, where)
            if os.path.lexists(keys_path(file)):
                raise UsageError(f"{keys_path(file)}: lies there, and may open another mailbox", os.EX_CANTCREAT)
            return digest
        slots = read_record(record, where)
        if not beginning.startswith(slots.mailbox):
            raise DamagedStore(f"{where} is damaged: its keys are those of another mailbox")
        put_slots(file, slots)
        return digest


@contextmanager
def opened_to_read(other: Path, beside: Path) -> Iterator[Connection]:
    """Another mailbox file, or the one in a pack, as this version knows it. `other` is not changed.

    A pack, or a file of an older version, is copied into the folder of `beside` meanwhile; a locked one stays locked.
    """
    with other.open("rb") as source:
        is_packed = is_pack(source.read(_IDENTITY_OCTETS))
    key = None if is_packed else key_of(other)
    if not is_packed and is_of_today(other, key):
        with _read(other, other, key) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(prefix=f".{beside.name}.", suffix=".merge", dir=beside.parent) as private:
        copy = Path(private) / "copy"
        if is_packed:
            with other.open("rb") as source:
                unpack(source, copy, str(other), _quietly)
            key = key_of(copy, other)
        else:
            copy_mailbox(other, copy, _quietly, key)
        bring_to_today(copy, key)
        with _read(copy, other, key) as connection:
            yield connection


@contextmanager
def _read(file: Path, other: Path, key: Key | None) -> Iterator[Connection]:
    """What SQLite finds damaged there is told of `other`."""
    try:
        with closing(open_untouched(file, key)) as connection:
            yield connection
    except apsw.Error as error:
        raise store_error(error, other) from error


def _quietly(_: int) -> None:
    return None


@contextmanager
def named_last(path: Path) -> Iterator[BinaryIO]:
    """A new file that gets its name at the end, durably; if that is taken, or something fails, there is none."""
    must_be_free(path)
    fresh = path.with_name(f".{path.name}.{token_hex(8)}.new")
    try:
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}", os.EX_CANTCREAT) from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        must_be_free(path)
        path.hardlink_to(fresh)
    except FileExistsError as error:
        raise _is_taken(path) from error
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()
    sync_directory(path.parent)


def must_be_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _is_taken(path)
    for ending in BESIDE:
        beside = path.with_name(path.name + ending)
        if os.path.lexists(beside):
            because = f"{beside.name} lies there, which SQLite would take for a part of it; take it away first"
            raise UsageError(f"{path}: {because}", os.EX_CANTCREAT)
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}", os.EX_CANTCREAT)


def _is_taken(path: Path) -> UsageError:
    return UsageError(f"{path}: is there already; name a file that is not", os.EX_CANTCREAT)


def _room_for_copy(file: Path) -> Path | None:
    return file.parent if os.access(file.parent, os.W_OK) else None
