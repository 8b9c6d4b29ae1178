"""The mailbox file of a person: opened with a sentence for whatever stands in the way, and held by one pull at a time.

Who pulls holds a lock of the kernel on an octet of the file that SQLite never looks at. It belongs to the open file and
ends with the process, however that ends (fcntl(2), open file description locks); nobody has to take it away.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.database.key import MARK, PLAIN, Key, beginning, salt_of
from postoffice.errors import DamagedStore, UsageError

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile
    from postoffice.store.embedded.draft import Draft

PULLING_OCTET: Final = 2**63 - 2
"""Of a mailbox file; whoever has it locked may pull into the file."""
SESSION_OCTET: Final = 2**63 - 3
"""Whoever has it locked has the file as a maildrop (`maildrops`)."""
_BEGINNING_OCTETS: Final = 256
_OTHERS: Final = (
    (b"From ", "is an mbox, not a mailbox file; `postoffice import mbox` brings its letters into one"),
    (b"PK\x03\x04", "is a zip, not a mailbox file; `postoffice import zip` brings the letters in it into one"),
)
_TEXT: Final = re.compile(rb"[\t\n\r -~\x80-\xff]+")
_SET: Final = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)


def opening(
    file: Path, *, create: bool = False, sweeps: bool = True, key: Key | None = None, is_spool: bool = False
) -> Callable[[], MailboxFile]:
    """Opens `file`; whether that can be is looked at now. Unless it `sweeps`, that changes nothing in it. A spool, that
    is where letters only pass through, begins no chain.

    If it is locked and no `key` is given, `locking.finding.key_of` is asked now, which may ask a person.
    """
    from postoffice.store.embedded import MailboxFile

    is_there = must_be_possible(file, create=create)
    if create and (not is_there or not file.stat().st_size):
        _must_not_be_missed(file)
    found = key or (_key_of(file) if is_there else None)

    def opened() -> MailboxFile:
        try:
            return MailboxFile.open(file, create=create, sweeps=sweeps, key=found, begins_chain=not is_spool)
        except DamagedStore:
            if found is None and salt_of(file):
                raise UsageError(f"{file}: was locked just now; try again", os.EX_TEMPFAIL) from None
            raise
        except OSError as error:
            status = os.EX_CANTCREAT if create else os.EX_NOINPUT
            raise UsageError(f"{file}: cannot be opened: {error.strerror}", status) from error

    return opened


def must_be_possible(file: Path, *, create: bool = False, may_be_other: bool = False) -> bool:
    """A sentence for what keeps `file` from being opened, as far as can be seen from outside; whether it is there."""
    try:
        is_there = bool(file.stat())
    except FileNotFoundError:
        is_there = False
    except OSError as error:
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_NOINPUT
        raise UsageError(f"{file}: cannot be read: {error.strerror}", status) from error
    if file.is_dir():
        raise UsageError(f"{file}: is a folder, not a mailbox file", os.EX_NOINPUT)
    if is_there and not os.access(file, os.R_OK):
        raise UsageError(f"{file}: cannot be read: you may not", os.EX_NOPERM)
    if not is_there and not create:
        raise UsageError(f"{file}: there is no such file", os.EX_NOINPUT)
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}", os.EX_CANTCREAT)
    if is_there and not may_be_other:
        must_be_no_other(file)
    return is_there


def must_be_no_other(file: Path, *, may_be_pack: bool = False) -> None:
    """A sentence for a file of another kind, which would be called damaged and is not."""
    found = _foreign_beginning(file)
    if may_be_pack and _begins_pack(found):
        return
    _must_not_begin_pack(file, found)
    sentence = next((sentence for mark, sentence in _OTHERS if found.startswith(mark)), "")
    if not sentence and b"\n" in found and _TEXT.fullmatch(found):
        sentence = "is text, not a mailbox file; `postoffice import eml` brings a letter into one"
    if sentence:
        raise UsageError(f"{file}: {sentence}", os.EX_DATAERR)


def must_not_be_pack(file: Path) -> None:
    """The same for a pack alone: what looks like something else may have been a mailbox file before it was damaged."""
    _must_not_begin_pack(file, _foreign_beginning(file))


def _must_not_begin_pack(file: Path, found: bytes) -> None:
    if _begins_pack(found):
        because = f"is a pack; postoffice open {file} --into NEW makes a mailbox file of it"
        raise UsageError(f"{file}: {because}", os.EX_DATAERR)


def _foreign_beginning(file: Path) -> bytes:
    """The first octets of what does not begin as a mailbox file."""
    try:
        found = beginning(file, _BEGINNING_OCTETS)
    except OSError:
        return b""  # whoever opens it says why
    return b"" if found.startswith((PLAIN, MARK)) else found


def _begins_pack(found: bytes) -> bool:
    """Imports nothing for a mailbox file."""
    if not found:
        return False
    from postoffice.home.packing.container import is_pack

    return is_pack(found)


def _key_of(file: Path) -> Key | None:
    """Imports little for a plain file."""
    from postoffice.home.locking.recognizing import is_locked

    try:
        if not is_locked(file):
            return None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}", os.EX_NOINPUT) from error
    from postoffice.home.locking.finding import key_of

    return key_of(file)


def _must_not_be_missed(file: Path) -> None:
    """Whoever has keys there believes that what comes is locked: no plain file is made beside them."""
    from postoffice.home.locking.recognizing import keys_path

    keys = keys_path(file)
    if keys.exists():
        because = f"{keys} lies there, but the locked mailbox that it opens does not"
        raise UsageError(f"{file}: {because}; put that back, or move the keys away", os.EX_CANTCREAT)


@asynccontextmanager
async def pulling_into(
    file: Path, key: Key | None = None, *, is_spool: bool = False, may_wait: bool = False
) -> AsyncIterator[MailboxFile]:
    """The mailbox in `file`, which is made if it is not there, while nobody else pulls into it. If it `may_wait`, a new
    one is there when it is settled, or closed, for the first time.

    Raises UsageError; its status is 75 where somebody else does. The lock is taken before the mailbox is opened and
    given back after it is closed: when a process closes any descriptor of a file, SQLite's locks there are lost.
    """
    opened = opening(file, create=True, key=key, is_spool=is_spool)
    if may_wait and key is None and (draft := _drafted(file)) is not None:
        from postoffice.store.embedded import MailboxFile

        with closing(draft):
            async with _closing(MailboxFile.begin(draft)) as mailbox:
                yield mailbox
        return
    if not file.exists():
        await opened().close()
    descriptor = hold_pulls(file)
    try:
        async with _closing(opened()) as mailbox:
            yield mailbox
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _closing(mailbox: MailboxFile) -> AsyncIterator[MailboxFile]:
    try:
        yield mailbox
    finally:
        await mailbox.close()


def _drafted(file: Path) -> Draft | None:
    """A draft into which nobody else pulls, neither when it has its name; None: the file is made at once. Raises
    UsageError, 75 if somebody else pulls into one."""
    from postoffice.store.embedded.draft import Draft

    return Draft.begin(file, partial(_must_be_ours, file))


def hold_pulls(file: Path) -> int:
    """A descriptor; until it is closed nobody else pulls into the file. Raises UsageError, 75 if somebody does."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error
    try:
        _must_be_ours(file, descriptor)
        if not _is_still(file, descriptor):
            raise UsageError(f"{file}: another file was put in its place just now; try again", os.EX_TEMPFAIL)
    except UsageError:
        os.close(descriptor)
        raise
    return descriptor


def _must_be_ours(file: Path, descriptor: int) -> None:
    """Take the lock of whoever pulls into `file`. Raises UsageError, 75."""
    try:
        is_ours = lock_octet(descriptor, PULLING_OCTET)
    except OSError as error:
        raise UsageError(f"{file}: cannot be locked: {error.strerror}", os.EX_TEMPFAIL) from error
    if not is_ours:
        raise UsageError(f"{file}: somebody else pulls into it now", os.EX_TEMPFAIL)


def _is_still(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def lock_octet(descriptor: int, octet: int) -> bool:
    """Lock an octet for this open file, which may be written; False if somebody else has it."""
    try:
        _set(descriptor, octet, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):
        return False
    return True


def free_octet(descriptor: int, octet: int) -> None:
    _set(descriptor, octet, fcntl.F_UNLCK)


def _set(descriptor: int, octet: int, kind: int) -> None:
    # struct flock: l_type, l_whence, l_start, l_len, l_pid
    fcntl.fcntl(descriptor, _SET, struct.pack("hhqqi4x", kind, os.SEEK_SET, octet, 1, 0))
