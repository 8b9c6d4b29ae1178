"""Letters are saved from a mailbox file that is damaged, whatever is wrong with it; the file itself is only read.

    records    what SQLite writes into a row                       pure
    pages      a page by itself: its cells, is it sound            pure
    layout     how large pages are, by looking at some             pure
    sealed     the page of an encrypted file, opened               pure
    wal        the frames of the log                               pure
    views      the pages of today, and as they were before
    gathering  each page is read once, and what lies on it noted
    findings   the notes, in a nameless file
    reassembly the chunks of a letter, one by one, against its SHA-256
    saving     letters whose octets are those of their SHA-256 into a new file, and all that was known of them

SQLite is not asked: to find a row it needs a header, a schema and the pages above, and to read the log it writes
beside the file. One way that is right for every damage is right for none, too.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from postoffice.clock import Clock, system_clock
from postoffice.database.key import Key
from postoffice.database.sqlite import sync_directory
from postoffice.errors import DamagedStore, StoreUnavailable
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.removal import unlink_database
from postoffice.store.embedded.salvage.findings import Findings
from postoffice.store.embedded.salvage.gathering import Gathering
from postoffice.store.embedded.salvage.reassembly import Reassembly
from postoffice.store.embedded.salvage.records import NotARecord
from postoffice.store.embedded.salvage.saving import FOUND, Report, Saving
from postoffice.store.embedded.salvage.views import DamagedFile
from postoffice.store.embedded.schema import OFFICE

__all__ = ["FOUND", "Report", "repair"]


async def repair(
    path: Path,
    into: Path,
    *,
    tick: Callable[[int], None] = lambda _: None,
    clock: Clock = system_clock,
    key: Key | None = None,
) -> Report:
    """Save what can be read in `path` into a new mailbox file. Durable, and there only as a whole.

    With the `key` of an encrypted file; the new one has the same, and nothing readable lies about meanwhile.
    A file in which there is nothing of a mailbox is a `DamagedStore`, one in use, or that changes, `StoreUnavailable`.
    """
    must_lie_still(path)
    draft = into.with_name(f"{into.name}.{token_hex(8)}.new")
    file, findings = DamagedFile(path, key), Findings(None if key is None else draft)
    try:
        if int.from_bytes(file.today.page(1)[68:72], "big") == OFFICE.application_id:
            raise DamagedStore(f"{path} is {OFFICE.name}, not a mailbox file: bring it back from a backup")
        gathering = Gathering(file, findings, tick)
        gathering.all()
        if not findings.has_any():
            raise DamagedStore(f"{path}: there is nothing of a mailbox in it")
        report = Report(
            damaged_pages=gathering.damaged_pages,
            blank_pages=gathering.blank_pages,
            wrong_frames=file.wrong_frames,
        )
        mailbox = MailboxFile.open(draft, create=True, clock=clock, key=key)
        try:
            knows = gathering.knows_what_vanished
            await Saving(
                findings, Reassembly(findings, gathering.chunk_data), mailbox, report, clock(), knows_vanished=knows
            ).all()
        finally:
            await mailbox.close()
        draft.rename(into)
        sync_directory(into.parent)
    except NotARecord as error:
        raise StoreUnavailable(f"{path} cannot be saved now: {error}") from error
    finally:
        findings.close()
        file.close()
        unlink_database(draft)
    return report


_LOCK_OCTETS = 512
_PENDING = 1 << 30
_LAST_OCTET = 2**63 - 2


def must_lie_still(path: Path) -> None:
    """That nobody has a file open with SQLite, or pulls into it: else `StoreUnavailable`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, length in ((_PENDING, _LOCK_OCTETS), (_LAST_OCTET, 1)):
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
            kind = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
            if kind != fcntl.F_UNLCK:
                raise StoreUnavailable(f"{path} is in use: stop what uses it first")
    finally:
        os.close(descriptor)
