"""A backup becomes an office again, in a folder that has none.

Everything is made beside where it belongs and put there when it is durable, `office.db` last: until then there is no
office, and the next try begins anew. The office has another life then: another incarnation, so that arrivals count
from the beginning; nobody carries anything of the queue; and the uids of folders are no longer those that clients of
IMAP know (RFC 9051 §2.3.1.1), because later letters may get the same ones again. Unique-ids and email ids stay, for
they are never given twice.

A letter whose octets are damaged or not there is left out and named; everything else is restored.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from postoffice.clock import Clock, system_clock
from postoffice.database.sqlite import Connection, one_number, open_draft, sync_directory, transaction
from postoffice.errors import DamagedStore, UsageError
from postoffice.protocols.dots import Stuffer
from postoffice.store.embedded import arrivals, chain, contents
from postoffice.store.embedded.backup.durable import disk_errors, sync_files, sync_folders
from postoffice.store.embedded.backup.reading import Contents
from postoffice.store.embedded.backup.vault import sheet_path
from postoffice.store.embedded.checksum import crc32
from postoffice.store.embedded.places import mailbox_path, office_path
from postoffice.store.embedded.spool import SPOOL
from postoffice.store.model import CHUNK_OCTETS, Account

WORK: Final = "restoring"
"""The folder in the new data folder where everything is made."""

PARTS: Final = ("tls", SPOOL, "mailboxes", "removed")

_NAMED = "SELECT content_id, sha256, wire_octets, spool FROM contents WHERE holds > 0"
_ENTRIES = "SELECT entry_id FROM entries WHERE content_id = ?"
_CONTENT = (
    "DELETE FROM chunks WHERE chunk_id >= ?1 << 20 AND chunk_id < (?1 + 1) << 20",
    "DELETE FROM contents WHERE content_id = ?",
)
_REFER_TO = {
    "mailbox": (
        "DELETE FROM removed WHERE entry_id IN (SELECT entry_id FROM entries WHERE content_id = ?)",
        "INSERT INTO vanished SELECT folder_id, highest_modseq, uid FROM entries JOIN folders USING (folder_id)"
        " WHERE content_id = ?",
        "DELETE FROM entries WHERE content_id = ?",
    ),
    "office": (
        "DELETE FROM recipients WHERE item_id IN (SELECT item_id FROM queue WHERE content_id = ?)",
        "DELETE FROM queue WHERE content_id = ?",
        "DELETE FROM arrivals WHERE content_id = ?",
    ),
}
"""What goes with a content that cannot be had, by the kind of file."""


@dataclass(slots=True)
class Restored:
    """What an office has now. `accepted` is when the first and the last letter of its queue were."""

    accounts: int = 0
    letters: int = 0
    octets: int = 0
    queued: int = 0
    accepted: tuple[float, float] = (0.0, 0.0)
    damages: list[str] = field(default_factory=list)


def restore(found: Contents, data: Path, *, with_queue: bool = True, clock: Clock = system_clock) -> Restored:
    """The office of a backup, in `data`; durable on return.

    A folder that has something in it is a `UsageError` (73).
    """
    with disk_errors(data):
        _prepare(data)
        return _Restoring(found, data, clock).run(with_queue=with_queue)


def _prepare(data: Path) -> None:
    """An empty folder; what a restore left that was cut off is taken away."""
    if office_path(data).exists():
        raise UsageError(f"{data}: there is an office here already", os.EX_CANTCREAT)
    if (data / WORK).is_dir():
        for name in (*PARTS, WORK):
            shutil.rmtree(data / name, ignore_errors=True)
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise UsageError(f"{data}: is not an empty folder; an office wants one of its own", os.EX_CANTCREAT)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(PermissionError):  # whose folder it is in may be somebody else's, who made it
        sync_directory(data.parent)
    data.chmod(0o700)


class _Restoring:
    def __init__(self, found: Contents, data: Path, clock: Clock) -> None:
        self._found = found
        self._data = data
        self._work = data / WORK
        self._uid_validity = int(clock())
        self._written: list[Path] = []
        self._report = Restored(damages=list(found.manifest.damages))

    def run(self, *, with_queue: bool) -> Restored:
        try:
            self._make(with_queue=with_queue)
        except BaseException:
            shutil.rmtree(self._work, ignore_errors=True)
            raise
        self._put_in_place()
        return self._report

    def _make(self, *, with_queue: bool) -> None:
        for name in ("", *PARTS):
            (self._work / name).mkdir(mode=0o700)
        self._bring(self._found.backup.office, office_path(self._work))
        with closing(open_draft(office_path(self._work))) as office:
            with transaction(office):
                incarnation = _begin_another_life(office, with_queue=with_queue)
            for account in self._found.everybody():
                self._mailbox(account, incarnation)
            self._fill_office(office)
            _note_files(office, self._work)
            _settle(office)
        self._bring_files()
        self._report.damages = list(dict.fromkeys(self._report.damages))  # one content may be both filed and arrived

    def _bring(self, source: Path, target: Path) -> None:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        target.touch(mode=0o600)
        shutil.copyfile(source, target)
        self._written.append(target)

    def _bring_files(self) -> None:
        for name in self._found.manifest.files:
            try:
                self._bring(self._found.backup.path / name, self._work / name)
            except FileNotFoundError:
                self._report.damages.append(f"{name} is not in the backup")

    def _put_in_place(self) -> None:
        sync_files(self._written)
        sync_folders(self._work)
        for name in PARTS:
            (self._work / name).rename(self._data / name)
        sync_directory(self._data)
        office_path(self._work).rename(office_path(self._data))
        self._work.rmdir()
        sync_directory(self._data)

    # --- a mailbox ------------------------------------------------------------------------------------------

    def _mailbox(self, account: Account, incarnation: int) -> None:
        sheet = self._found.sheets.get(account.account_id)
        self._report.accounts += sheet is None or not sheet.is_removed
        if trouble := self._found.trouble(account):
            self._report.damages.append(f"{account.address}: {trouble}")
            return
        if sheet is None:
            return
        path = sheet_path(self._work, account.account_id, is_removed=sheet.is_removed)
        self._bring(self._found.backup.mailbox(sheet), path)
        with closing(open_draft(path)) as mailbox:
            with transaction(mailbox):
                arrivals.begin_anew(mailbox, incarnation)
                mailbox.execute(
                    "UPDATE folders SET uid_validity = max(uid_validity + 1, ?), shown = shown + 1",
                    (self._uid_validity,),
                )
                troubles = self._fill(mailbox, "mailbox")
            self._count(mailbox, "entries")
            _settle(mailbox)
        self._name_letters(account, troubles)

    def _name_letters(self, account: Account, troubles: dict[bytes, str]) -> None:
        if troubles:
            self._report.damages += [
                f"{account.address}: {letter}: {troubles[letter.sha256]}"
                for letter in self._found.letters(account)
                if letter.sha256 in troubles
            ]

    def _count(self, connection: Connection, table: str) -> None:
        row = connection.execute(f"SELECT count(*), coalesce(sum(octets), 0) FROM {table}").fetchone()  # noqa: S608
        assert row is not None
        self._report.letters += row[0]
        self._report.octets += row[1]

    # --- the office's file ----------------------------------------------------------------------------------

    def _fill_office(self, office: Connection) -> None:
        with transaction(office):
            troubles = self._fill(office, "office")
        self._count(office, "arrivals")
        row = office.execute(
            "SELECT count(*), coalesce(min(accepted), 0.0), coalesce(max(accepted), 0.0) FROM queue"
        ).fetchone()
        assert row is not None
        self._report.queued, self._report.accepted = row[0], (row[1], row[2])
        if troubles:
            for account in self._found.everybody():
                self._name_letters(account, troubles)
            self._report.damages += [
                f"{letter}: {troubles[name]}" for letter, name in self._found.queued() if name in troubles
            ]

    # --- octets ---------------------------------------------------------------------------------------------

    def _fill(self, connection: Connection, kind: str) -> dict[bytes, str]:
        """Every content from the shelf; gives what is wrong with those that cannot be had, and are let go."""
        troubles = {}
        for content_id, name, wire_octets, spool in connection.execute(_NAMED).fetchall():
            try:
                if spool:
                    self._write_spool(spool, name, wire_octets)
                else:
                    _write_chunks(connection, content_id, name, self._wires(name, wire_octets))
            except DamagedStore as error:
                troubles[name] = str(error)
                if kind == "mailbox":
                    entries = connection.execute(_ENTRIES, (content_id,)).fetchall()
                    chain.go_on(connection, removed=[entry_id for (entry_id,) in entries])
                for sql in (*_REFER_TO[kind], *_CONTENT):
                    connection.execute(sql, (content_id,))
        return troubles

    def _wires(self, name: bytes, wire_octets: int) -> Iterator[bytes]:
        """The wire form of a content, in pieces of `CHUNK_OCTETS`; the last may be shorter, or empty if it is alone."""
        stuffer, held, octets = Stuffer(), bytearray(), 0
        for plain in self._found.vault.shelf.read(name):
            held += stuffer.feed(plain)
            while len(held) > CHUNK_OCTETS:
                yield bytes(held[:CHUNK_OCTETS])
                octets += CHUNK_OCTETS
                del held[:CHUNK_OCTETS]
        held += stuffer.end()
        if octets + len(held) != wire_octets:
            raise DamagedStore("its octets in the backup are not as many as they were")
        if len(held) > CHUNK_OCTETS:
            yield bytes(held[:CHUNK_OCTETS])
            del held[:CHUNK_OCTETS]
        yield bytes(held)

    def _write_spool(self, spool: str, name: bytes, wire_octets: int) -> None:
        path = self._work / SPOOL / spool
        path.touch(mode=0o600)
        try:
            with path.open("wb") as file:
                for wire in self._wires(name, wire_octets):
                    file.write(wire)
        except DamagedStore:
            path.unlink()
            raise
        self._written.append(path)


def _write_chunks(connection: Connection, content_id: int, name: bytes, wires: Iterator[bytes]) -> None:
    """The rows of a content, as `contents` keeps them: the last has its name."""
    index, wire = 0, next(wires)
    for following in wires:
        connection.execute(contents.CHUNK, (content_id << contents.INDEX_BITS | index, crc32(wire), None, wire))
        index, wire = index + 1, following
    connection.execute(contents.CHUNK, (content_id << contents.INDEX_BITS | index, crc32(wire), name, wire))


def _begin_another_life(office: Connection, *, with_queue: bool) -> int:
    """Gives the new incarnation."""
    office.execute("UPDATE office SET incarnation = abs(random()) >> 1")
    if with_queue:
        office.execute("UPDATE queue SET holder = '', leased_until = 0")
    else:
        held = Counter(content_id for (content_id,) in office.execute("SELECT content_id FROM queue"))
        office.execute("DELETE FROM recipients")
        office.execute("DELETE FROM queue")
        contents.release(office, held)
    return one_number(office, "SELECT incarnation FROM office")


def _note_files(office: Connection, work: Path) -> None:
    """Who has a mailbox file now. One that could not be had was named, and its owner gets another."""
    if "has_file" not in [row[1] for row in office.execute("PRAGMA table_info(accounts)")]:
        return  # from before that was noted
    for (account_id,) in office.execute("SELECT account_id FROM accounts").fetchall():
        has_file = mailbox_path(work, account_id).exists()
        office.execute("UPDATE accounts SET has_file = ? WHERE account_id = ?", (has_file, account_id))


def _settle(draft: Connection) -> None:
    """The file is as an office has it: with a log beside it from now on."""
    draft.execute("PRAGMA locking_mode = NORMAL").fetchall()
    draft.execute("PRAGMA journal_mode = WAL").fetchall()
