"""What a person does with the lock of a mailbox file: first lock it, give it other ways in, take the lock off.

Every new way in is tried, as it is read back from the disk, before anybody is told of it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Final

from postoffice.database.key import Key, new_key, salt_of
from postoffice.database.migrate import prepare
from postoffice.database.sqlite import sync_directory
from postoffice.errors import StoreUnavailable, UsageError
from postoffice.home.locking.beside import put_slots, read_slots, set_aside, write_slots
from postoffice.home.locking.finding import keyring_name
from postoffice.home.locking.recognizing import is_locked, keys_path
from postoffice.home.locking.recovery import new_recovery_key, secret_of
from postoffice.home.locking.slots import (
    EFFORT,
    RECORD_OCTETS,
    Effort,
    Slots,
    Way,
    octets_of_passphrase,
    read_record,
    slot_for,
)
from postoffice.home.locking.transcribing import Written, be_durable, take_away, transcribe
from postoffice.store.embedded.copying import Tick
from postoffice.store.embedded.schema import MAILBOX

LEAST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Locked:
    """A file that was locked; `aside` is where keys lie now that lay beside it before, if there were."""

    recovery_key: str
    written: Written
    aside: Path | None


def lock_first(file: Path, passphrase: str, tick: Tick, effort: Effort = EFFORT) -> Locked:
    """Encrypt a plain file; `effort` is what a guess costs. Durable; the old octets are overwritten.

    Raises what `transcribe` does.
    """
    real = file.resolve()
    key = new_key()
    recovery_key, slots = _new_slots(key, passphrase, effort)
    aside: list[Path | None] = []

    def lay_down(like: os.stat_result) -> None:
        aside.append(set_aside(real))
        write_slots(real, slots, like)

    written = transcribe(real, None, key, lay_down, tick)
    return Locked(recovery_key, written, *aside)


def make_locked(file: Path, passphrase: str) -> Locked:
    """An empty mailbox that is locked from the beginning. Durable. Raises UsageError (73) if something is there."""
    from postoffice.home.packing.carrying import must_be_free

    real = file.resolve()
    must_be_free(real)
    key = new_key()
    recovery_key, slots = _new_slots(key, passphrase)
    fresh = real.with_name(f".{real.name}.{token_hex(8)}.new")
    try:
        prepare(fresh, MAILBOX, create=True, key=key)
        be_durable(fresh)
        put_slots(real, slots)
        real.hardlink_to(fresh)
    except FileExistsError as error:
        raise UsageError(f"{file}: is there already", os.EX_CANTCREAT) from error
    finally:
        take_away(fresh)
    sync_directory(real.parent)
    return Locked(recovery_key, Written(0, real.stat().st_size, 0), None)


def unlock_for_good(file: Path, key: Key, tick: Tick) -> Written:
    """Make a plain file of a locked one; its slots stay, for copies of it. Raises what `transcribe` does."""
    return transcribe(file.resolve(), key, None, lambda _: None, tick)


def change_passphrase(file: Path, key: Key, passphrase: str, effort: Effort = EFFORT) -> None:
    """From now on this one opens the file; the data key is the same. Durable. Raises UsageError."""
    _must_be_usable(passphrase)
    _change(file, key, Way.PASSPHRASE, octets_of_passphrase(passphrase), effort)


def change_recovery_key(file: Path, key: Key) -> str:
    """A new recovery key, the old one opens nothing from now on. Durable. Raises UsageError."""
    recovery_key = new_recovery_key()
    _change(file, key, Way.RECOVERY, secret_of(recovery_key) or b"")
    return recovery_key


def open_by_keyring(file: Path, key: Key) -> None:
    """Let the keyring of the desktop open the file. Raises UsageError (69) where there is none."""
    from postoffice.client.secrets import keep_in_keyring

    secret = token_bytes(32)
    keep_in_keyring(keyring_name(key.salt), secret.hex())
    _change(file, key, Way.KEYRING, secret)


def close_by_keyring(file: Path) -> None:
    """The keyring opens the file no more, nor a copy of its slots of before. Durable.

    Raises UsageError, 69 where the keyring cannot be told; the slot is gone then, and what opened it still there.
    """
    from postoffice.client.secrets import take_from_keyring

    with _alone(file):
        slots = read_slots(file)
        write_slots(file, slots.without(Way.KEYRING), keys_path(file).stat())
    if slots.of(Way.KEYRING) is not None:
        take_from_keyring(keyring_name(slots.mailbox))


def take_keys(file: Path, source: Path) -> Path | None:
    """Put the slots of a pack, or of another file with keys, beside a locked file that they are of. Durable.

    Gives the name under which those lie now that lay there before. Raises UsageError and DamagedStore.
    """
    from postoffice.home.packing.container import is_pack, read_front

    try:
        with source.open("rb") as opened:
            octets = opened.read(RECORD_OCTETS)
            if is_pack(octets):
                opened.seek(0)
                octets = read_front(opened, str(source)).record
                if not octets:
                    raise UsageError(
                        f"{source}: is a pack that is not locked, so there are no keys in it", os.EX_DATAERR
                    )
    except OSError as error:
        raise UsageError(f"{source}: cannot be read: {error.strerror}", os.EX_NOINPUT) from error
    slots = read_record(octets, str(source))
    salt = salt_of(file)
    if salt is not None and salt != slots.mailbox:
        raise UsageError(f"{source}: holds the keys of another mailbox, not of {file}", os.EX_DATAERR)
    with _alone(file):
        if salt is None and not is_locked(file):
            raise UsageError(f"{file}: is not locked", os.EX_DATAERR)
        aside = set_aside(file)
        try:
            write_slots(file, slots, file.stat())
        except UsageError:
            if aside is not None:
                aside.unlink()
            raise
    return aside


def _new_slots(key: Key, passphrase: str, effort: Effort = EFFORT) -> tuple[str, Slots]:
    """For a passphrase and a new recovery key, which is given."""
    _must_be_usable(passphrase)
    recovery_key = new_recovery_key()
    ways = ((Way.PASSPHRASE, octets_of_passphrase(passphrase)), (Way.RECOVERY, secret_of(recovery_key) or b""))
    slots = Slots(key.salt, tuple(slot_for(key, way, secret, effort) for way, secret in ways))
    for way, secret in ways:
        _must_open(slots, way, secret, key)
    return recovery_key, slots


def _change(file: Path, key: Key, way: Way, secret: bytes, effort: Effort = EFFORT) -> None:
    with _alone(file):
        slots = read_slots(file).with_slot(slot_for(key, way, secret, effort))
        _must_open(read_record(slots.record(), str(keys_path(file))), way, secret, key)
        write_slots(file, slots, keys_path(file).stat())
        _must_open(read_slots(file), way, secret, key)


def _must_open(slots: Slots, way: Way, secret: bytes, key: Key) -> None:
    slot = slots.of(way)
    if slot is None or slot.opened(key.salt, secret) != key:
        raise StoreUnavailable(f"the new {way} slot does not give the key back, so nothing is changed by it")


def _must_be_usable(passphrase: str) -> None:
    if len(passphrase) < LEAST_CHARACTERS:
        raise UsageError(f"a passphrase has {LEAST_CHARACTERS} characters at least; four random words are a good one")


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Nobody else of ours changes slots in the folder meanwhile."""
    try:
        descriptor = os.open(keys_path(file).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", os.EX_CANTCREAT) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
