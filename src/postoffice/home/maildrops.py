"""Mailbox files at home as maildrops: each is an account's, to whom a mail program on this machine logs in.

    file ─▶ account ─▶ lock (RFC 1939 §4) ─▶ what the program has not deleted yet

A mail program deletes what it has pulled, because servers expect that of it; the file is where the letters are kept.
So the program looks at it with eyes of its own (`accounts.devices`): what it deletes is gone for it, and stays in the
file. Whoever wants that letters leave the file says so (`Deleting.FOR_ALL`). A file that cannot be written is shown as
it is, and nothing can be deleted from it.

One lock for a file, over all processes: an octet of it that SQLite never looks at, next to that of a pull, so that a
pull may go on meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from postoffice.accounts.devices import OWN
from postoffice.errors import StoreUnavailable, UsageError
from postoffice.home.mailbox import SESSION_OCTET, free_octet, lock_octet, opening
from postoffice.store.base import Mailbox, MaildropLock
from postoffice.store.model import Sight, Viewer

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

PROGRAM: Final = "mail program"
"""The viewer with whose eyes a mail program looks at a file; one that logs in by a name of its own is another."""


class Deleting(Enum):
    """What becomes of a letter that a mail program deletes."""

    FOR_ITSELF = auto()
    """It does not see it any more; the file keeps it."""
    FOR_ALL = auto()
    """It leaves the file."""


class FileMaildrop:
    """A mailbox file that is open, for as long as it is served."""

    def __init__(self, file: Path, deleting: Deleting, user: str = "") -> None:
        """`user` is the name of a program's own. Raises what `opening` raises, for a file that cannot be opened."""
        self.file = file
        self._viewer = f"{PROGRAM} {user}" if user else PROGRAM
        self._deleting = deleting
        self.is_writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
        opened = opening(file, sweeps=self.is_writable)
        # It is opened before the mailbox and closed after it: closing it would take SQLite's own locks away.
        self._descriptor = _open(file, os.O_RDWR if self.is_writable else os.O_RDONLY)
        try:
            self._file = opened()
        except BaseException:
            os.close(self._descriptor)
            raise
        self.mailbox = self._as_shown(self._file)
        self._is_held = False

    async def credential(self) -> str:
        """The name of its password: that of the viewer, which it is from its first login on. Where that cannot be
        written it sees what the file's owner sees."""
        is_known = Viewer(self._viewer, Sight.HOLDS) in await self._file.viewers()
        return self._viewer if self.is_writable or is_known else OWN

    async def count(self) -> int:
        """The letters in the file, whoever sees them."""
        return len((await self._file.snapshot()).keys)

    def take(self) -> MaildropLock | None:
        """The lock of a session; None if another has it, here or in another process."""
        if self._is_held or (self.is_writable and not lock_octet(self._descriptor, SESSION_OCTET)):
            return None
        self._is_held = True
        return _Held(self)

    def give(self) -> None:
        self._is_held = False
        if self.is_writable and self._descriptor >= 0:
            free_octet(self._descriptor, SESSION_OCTET)

    async def close(self) -> None:
        """A session that still has the lock has lost it then."""
        await self._file.close()
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _as_shown(self, file: MailboxFile) -> Mailbox:
        # What the two have of their own is one verb; that they have all others is known only here.
        if not self.is_writable:
            return cast(Mailbox, _Unwritable(file))
        return cast(Mailbox, _Emptied(file)) if self._deleting is Deleting.FOR_ALL else file


class FileMaildrops:
    """The maildrops of a run, by the id of their account."""

    def __init__(self) -> None:
        self._by_account: dict[int, FileMaildrop] = {}

    def add(self, account_id: int, maildrop: FileMaildrop) -> None:
        self._by_account[account_id] = maildrop

    async def mailbox(self, account_id: int) -> Mailbox:
        return self._by_account[account_id].mailbox

    async def lock(self, account_id: int, viewer: str) -> MaildropLock | None:
        return self._by_account[account_id].take()

    async def close(self) -> None:
        for maildrop in self._by_account.values():
            await maildrop.close()


class _Held:
    """A `MaildropLock`."""

    __slots__ = ("_maildrop",)

    def __init__(self, maildrop: FileMaildrop) -> None:
        self._maildrop: FileMaildrop | None = maildrop

    async def release(self) -> None:
        maildrop, self._maildrop = self._maildrop, None
        if maildrop is not None:
            maildrop.give()


class _Shown:
    """The verbs of a mailbox file."""

    def __init__(self, file: MailboxFile) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Emptied(_Shown):
    """One from which a letter is removed for everybody."""

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        await self._file.remove(keys, None, lock, into)


class _Unwritable(_Shown):
    """One from which nothing is removed."""

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        raise StoreUnavailable(f"{self._file.path}: cannot be written here, so nothing is deleted from it")


def _open(file: Path, how: int) -> int:
    try:
        return os.open(file, how | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{file}: cannot be opened: {error.strerror}", os.EX_NOINPUT) from error
