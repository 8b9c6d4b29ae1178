"""The mailbox as the reader asks for it: folders, what stands in a row, a letter's beginning, marks, Trash, what came.

Everything is asked when it is to be seen and not before; of rows the last two thousand are remembered. Deleting is
moving to the folder Trash: the reader has no verb that makes a letter go. A file that cannot be written is read all the
same.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.errors import DamagedStore, StoreError, UsageError
from postoffice.home.letters import date_of, pour
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.mime.parts import parts
from postoffice.protocols.dots import Unstuffer
from postoffice.store.model import INBOX, REMOVED, WITHHELD, Flag, Piece, Snapshot
from postoffice.tui.cells import tame

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile
    from postoffice.store.model import Entry

TRASH: Final = "Trash"
REMEMBERED_ROWS: Final = 2000
_FLIGHT: Final = 16
"""Letters whose beginnings are read together: 4 MiB at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the list shows of one letter, tame. `date` is None for one that is gone or cannot be read."""

    key: int
    date: datetime | None
    sender: str
    subject: str
    octets: int = 0
    flags: Flag = Flag.SEEN
    has_attachments: bool = False

    @property
    def is_read(self) -> bool:
        return Flag.SEEN in self.flags

    @property
    def is_flagged(self) -> bool:
        return Flag.FLAGGED in self.flags


class Mail:
    """An open mailbox file. Its verbs raise StoreError with one sentence."""

    def __init__(self, mailbox: MailboxFile) -> None:
        self.mailbox = mailbox
        self.file: Path = mailbox.path
        self.can_write = os.access(self.file, os.W_OK) and os.access(self.file.absolute().parent, os.W_OK)
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._modseqs: dict[str, int] = {}
        self._identity = _identity(self.file)

    # --- folders --------------------------------------------------------------------------------------------

    async def folders(self) -> list[tuple[str, int, int]]:
        """Name, letters, unread ones; INBOX first, what was removed or waits for nobody's eyes last."""
        tallies = await self.mailbox.tallies()
        return sorted(tallies, key=lambda one: (one[0] != INBOX, one[0] in (TRASH, REMOVED, *WITHHELD), one[0]))

    async def snapshot(self, folder: str) -> Snapshot:
        return await self.mailbox.snapshot(folder=folder)

    async def unread(self, folder: str) -> set[int]:
        """The keys of all unread letters of a folder."""
        return set(await self.mailbox.unread(folder))

    async def has_changed(self) -> bool:
        """Whether somebody changed something since this was asked last: then rows are read anew."""
        modseqs = {folder.name: folder.highest_modseq for folder in await self.mailbox.folders()}
        if modseqs == self._modseqs:
            return False
        was_first, self._modseqs = not self._modseqs, modseqs
        if not was_first:
            self._rows.clear()
        return not was_first

    def is_lost(self) -> bool:
        """Whether the file was taken away or replaced: what is open can be read still, and nothing written."""
        return _identity(self.file) != self._identity

    # --- rows -----------------------------------------------------------------------------------------------

    def row(self, key: int) -> Row | None:
        """What `load` brought."""
        return self._rows.get(key)

    async def load(self, keys: Sequence[int]) -> None:
        """Bring the rows of these letters, as far as they are not here."""
        missing = [key for key in keys if key not in self._rows]
        for start in range(0, len(missing), _FLIGHT):
            flight = missing[start : start + _FLIGHT]
            entries = await self.mailbox.describe(flight)
            for key, entry, piece in zip(flight, entries, await first_pieces(self.mailbox, flight), strict=True):
                self._remember(key, entry, piece)

    def _remember(self, key: int, entry: Entry | None, piece: Piece | None) -> None:
        if entry is None:
            row = Row(key, None, "", "(this letter is gone)")
        elif piece is None:
            row = Row(key, None, "", "(this letter is damaged)", entry.octets, entry.flags)
        else:
            row = _row(key, entry, piece)
        self._rows[key] = row
        while len(self._rows) > REMEMBERED_ROWS:
            self._rows.popitem(last=False)

    # --- letters --------------------------------------------------------------------------------------------

    async def beginning(self, key: int, octets: int) -> tuple[bytes, bool]:
        """About so many octets of a letter, and whether that is all of it."""
        found = bytearray()
        async for plain in pour(self.mailbox, key, octets):
            found += plain
        [entry] = await self.mailbox.describe([key])
        return bytes(found), entry is None or len(found) >= entry.octets

    async def save(self, key: int, numbers: Sequence[int], folder: Path) -> list[Path]:
        """Attachments as files under safe names, not to be run. Durable. UsageError, as `home.saving` raises it."""
        from postoffice.home.saving import save_attachments

        return [saved.path for saved in await save_attachments(self.mailbox, key, folder, numbers)]

    async def set_flag(self, key: int, flag: Flag, *, on: bool) -> None:
        """Set or take one flag; the others stay. Durable."""
        self._must_be_writable()
        [entry] = await self.mailbox.describe([key])
        if entry is None:
            raise UsageError("this letter is gone: somebody moved or removed it", os.EX_NOINPUT)
        flags = entry.flags | flag if on else entry.flags & ~flag
        if flags != entry.flags:
            await self.mailbox.flag([key], flags)
            if (row := self._rows.get(key)) is not None:
                self._rows[key] = replace(row, flags=flags)

    async def move(self, key: int, folder: str) -> int:
        """To the end of another folder; gives the letter's key there. Durable."""
        self._must_be_writable()
        [moved] = await self.mailbox.move([key], folder)
        if not moved:
            raise UsageError("this letter is gone: somebody moved or removed it", os.EX_NOINPUT)
        return moved

    def must_be_there(self) -> None:
        """StoreError where the file was taken away or replaced."""
        if self.is_lost():
            raise StoreError(f"{self.file.name} was taken away or replaced: nothing can be changed or searched")

    def _must_be_writable(self) -> None:
        self.must_be_there()
        if not self.can_write:
            raise UsageError("the file cannot be written: nothing was changed", os.EX_NOPERM)

    async def close(self) -> None:
        self._rows.clear()
        await self.mailbox.close()


async def first_pieces(mailbox: MailboxFile, keys: Sequence[int]) -> list[Piece | None]:
    """None for a letter that is gone or damaged; one that is damaged takes no other with it."""
    try:
        return await mailbox.read(keys)
    except DamagedStore:
        if len(keys) == 1:
            return [None]
    return [piece for key in keys for piece in await first_pieces(mailbox, [key])]


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _row(key: int, entry: Entry, piece: Piece) -> Row:
    letter = Unstuffer().feed(piece.wire)
    head = letter[:HEAD_OCTETS]
    return Row(
        key,
        date_of(head, entry.internal_date),
        tame(sender_of(header.decoded(head, b"From"))) or "(nobody)",
        tame(header.decoded(head, b"Subject")) or "(no subject)",
        entry.octets,
        entry.flags,
        _has_attachments(letter),
    )


def sender_of(written: str) -> str:
    """The name; the address where there is none, or where the name is dressed up as another address."""
    name, address = header.name_and_address(written)
    return name if name and "@" not in name else address or written


def _has_attachments(letter: bytes) -> bool:
    """As far as the letter's first piece tells. A picture that the text shows is no attachment."""
    try:
        return any(
            part.description.disposition == "attachment" or part.name for part in parts(letter) if not part.content_id
        )
    except Exception:  # whatever a hostile letter breaks, its row is shown
        return False
