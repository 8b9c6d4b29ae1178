"""The file beside a locked mailbox that holds its slots: `mail.mailbox.keys`. Without it, or a pack, nobody reads it.

It holds the record (`slots`) twice, at 0 and at 4096, so that one bad place on a disk does not lock everybody out. It
is only ever replaced as a whole, durably. Its name follows the mailbox file that a symbolic link leads to.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from postoffice.database.key import salt_of
from postoffice.database.sqlite import sync_directory
from postoffice.errors import DamagedStore, UsageError
from postoffice.home.locking.recognizing import keys_path
from postoffice.home.locking.slots import RECORD_OCTETS, NewerRecord, Slots, read_record

_SECOND_AT: Final = 4096


def read_slots(file: Path) -> Slots:
    """The slots of a locked file.

    Raises UsageError, 66 where they are not there and 65 where they are another mailbox's, and DamagedStore.
    """
    path = keys_path(file)
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"{file}: is locked, and its keys are not beside it: {path} is not there; {_remedy(file)}",
            os.EX_NOINPUT,
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", os.EX_NOPERM) from error
    try:
        slots = _first_that_is_whole(octets, path)
    except NewerRecord:
        raise
    except DamagedStore as error:
        raise DamagedStore(f"{error}; {_remedy(file)}") from None
    salt = salt_of(file)
    if salt is not None and slots.mailbox != salt:
        raise UsageError(f"{path}: holds the keys of another mailbox, not of {file}", os.EX_DATAERR)
    return slots


def is_whole_twice(file: Path) -> bool:
    """Whether both records are what was written. Raises OSError."""
    octets = keys_path(file).read_bytes()
    return octets == octets[:RECORD_OCTETS].ljust(_SECOND_AT, b"\0") * 2


def write_slots(file: Path, slots: Slots, like: os.stat_result | None = None) -> None:
    """Put slots beside a file, in the place of those that are there. Durable; there is always the one or the other.

    They are readable by whoever owns the file that is `like` it. Raises UsageError (73).
    """
    path = keys_path(file)
    fresh = path.with_name(f".{path.name}.{token_hex(8)}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                if like is not None:
                    be_like(opened.fileno(), like)
                opened.write(slots.record().ljust(_SECOND_AT, b"\0") * 2)
                opened.flush()
                os.fsync(opened.fileno())
            fresh.rename(path)
        finally:
            with suppress(FileNotFoundError):
                fresh.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error


def put_slots(file: Path, slots: Slots) -> None:
    """The same for a file that is being made: other slots that lie there stay, and are a UsageError (73)."""
    path = keys_path(file)
    if os.path.lexists(path):
        try:
            is_same = _first_that_is_whole(path.read_bytes(), path) == slots
        except (OSError, DamagedStore):
            is_same = False
        if not is_same:
            raise UsageError(
                f"{path}: lies there, and may be what opens another mailbox; move it away", os.EX_CANTCREAT
            )
    write_slots(file, slots)


def set_aside(file: Path) -> Path | None:
    """Give slots that others will replace, and that may open a copy of the file, one more name. Gives that name."""
    path = keys_path(file)
    if not os.path.lexists(path):
        return None
    aside = path.with_name(f"{path.name}.{token_hex(4)}")
    try:
        aside.hardlink_to(path)
        sync_directory(path.parent)
    except OSError as error:
        raise UsageError(f"{path}: cannot be set aside: {error.strerror}", os.EX_CANTCREAT) from error
    return aside


def be_like(descriptor: int, other: os.stat_result) -> None:
    """Its owner and its mode, as far as one may."""
    if (other.st_uid, other.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):
            os.fchown(descriptor, other.st_uid, other.st_gid)
    os.fchmod(descriptor, other.st_mode & 0o777)


def _remedy(file: Path) -> str:
    return f"a pack of it has them too: postoffice passwd {file} --keys-from PACK"


def _first_that_is_whole(octets: bytes, path: Path) -> Slots:
    try:
        return read_record(octets[:RECORD_OCTETS], str(path))
    except DamagedStore as error:
        try:
            return read_record(octets[_SECOND_AT : _SECOND_AT + RECORD_OCTETS], str(path))
        except DamagedStore:
            raise error from None
