"""Taking a backup of an office that goes on serving.

    gather    what is not on the shelf yet goes there, letter by letter; nothing is held meanwhile
    office    the tables of office.db as they are at one moment, and the letters that came since
    mailboxes the same for each file, one after the other, if it changed; those of removed accounts too
    agree     arrivals that a mailbox took in between the two moments leave the copy of office.db

The order is what makes it whole. A letter that was answered with 250 is an arrival or in a mailbox file, and only
ever goes from the first to the second: so who looks at the office first and at the mailboxes after that misses none.
What an owner deletes meanwhile may be there still; what comes meanwhile may be there already.

A mailbox in which nothing changed since the last backup is a link to its copy there (`stamps`).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import apsw

from postoffice.clock import Clock, system_clock
from postoffice.database.migrate import open_prepared
from postoffice.database.sqlite import Connection, one_number, open_draft, open_reader, store_error, transaction
from postoffice.database.tables import copy_tables
from postoffice.errors import DamagedStore, StoreError, StoreUnavailable, UsageError
from postoffice.store.embedded import arrivals, contents
from postoffice.store.embedded.backup.durable import disk_errors, sync_files
from postoffice.store.embedded.backup.stamps import GRAIN_SECONDS, stamp_of, write_log_back
from postoffice.store.embedded.backup.vault import (
    Backup,
    Manifest,
    Sheet,
    Vault,
    digest_of_file,
    sheet_path,
    write_manifest,
)
from postoffice.store.embedded.places import mailbox_path, office_path, removed_folder
from postoffice.store.embedded.removal import Deed, copy_path, deed_path, lives_here, read_deed
from postoffice.store.embedded.schema import MAILBOX, OFFICE
from postoffice.store.embedded.spool import SPOOL
from postoffice.store.model import CHUNK_OCTETS

FLOOR_OCTETS: Final = 256 * 1024 * 1024
"""How much of the office's own disk is left to letters."""

TLS: Final = "tls"

_PEOPLE = "SELECT account_id, address, has_file FROM accounts ORDER BY account_id"
_NAMED = "SELECT content_id, sha256, wire_octets, spool FROM contents WHERE sha256 IS NOT NULL AND holds > 0"
_CHUNKS = "SELECT data, sha256 IS NULL FROM chunks WHERE chunk_id >= ? AND chunk_id < ? ORDER BY chunk_id"
_GONE = "DELETE FROM {} WHERE content_id = ?"


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken: what it has, and what of it came into the vault by it."""

    backup: Backup
    manifest: Manifest
    letters_added: int
    octets_added: int
    unchanged: int


def office_name(data: Path) -> str:
    """By what its backups know an office, in all its lives."""
    with closing(open_prepared(office_path(data), OFFICE)) as office:
        return sha256(b"postoffice backups of " + bytes(office.execute("SELECT secret FROM office").get)).hexdigest()


def take(data: Path, vault: Vault, *, anew: bool = False, clock: Clock = system_clock) -> Taken:
    """A backup of the office in `data`, durable on return. What is damaged there is told in its manifest.

    `anew` trusts nothing that is in the vault: every letter in it is read, and every mailbox copied.
    """
    with disk_errors(vault.root):
        return _Taking(data, vault, clock, anew=anew).run()


class _Taking:
    def __init__(self, data: Path, vault: Vault, clock: Clock, *, anew: bool) -> None:
        self._data = data
        self._vault = vault
        self._clock = clock
        self._shelf = vault.shelf
        self._shelf.make_room = self._make_room
        self._anew = anew
        self._sound: set[bytes] = set()  # on the shelf, and looked at or put there just now
        self._damages: dict[str, None] = {}
        self._written: list[Path] = []
        self._files: dict[str, str] = {}
        self._deeds_before: dict[int, Deed] = {}
        self._unchanged = 0
        self._before: Backup | None = None
        self._sheets_before: dict[int, Sheet] = {}
        if not anew:
            self._look_back()

    def _look_back(self) -> None:
        """The mailboxes of the last backup, by account."""
        with suppress(UsageError, DamagedStore):
            self._before = self._vault.find()
            self._sheets_before = {sheet.account_id: sheet for sheet in self._before.manifest().mailboxes}

    def _make_room(self) -> None:
        disk = os.statvfs(self._vault.root)
        is_shared = self._vault.root.stat().st_dev == self._data.stat().st_dev
        if is_shared and disk.f_bavail * disk.f_frsize < FLOOR_OCTETS:
            raise StoreUnavailable(f"{self._vault.root}: the disk is full but for what is left to letters that come")

    def run(self) -> Taken:
        self._gather_all()
        with self._vault.begin(began := self._clock()) as folder:
            draft = open_draft(office_path(folder))
            try:
                self._copy_office(draft)
                people = draft.execute(_PEOPLE).fetchall()
                sheets = [sheet for person in people if (sheet := self._mailbox(folder, *person)) is not None]
                sheets += self._removed(draft, folder)
                _agree(draft, folder, sheets)
                waiting = draft.execute("SELECT count(*), coalesce(sum(octets), 0) FROM arrivals").fetchone()
                assert waiting is not None
                queued = one_number(draft, "SELECT count(*) FROM queue")
            finally:
                draft.close()
            self._shelf.finish()
            self._written.append(office_path(folder))
            for path in sorted((self._data / TLS).glob("*")):
                self._copy_file(path, folder)
            sync_files(self._written)
            manifest = Manifest(
                began=began,
                ended=self._clock(),
                accounts=len(people),
                letters=waiting[0] + sum(sheet.letters for sheet in sheets),
                octets=waiting[1] + sum(sheet.octets for sheet in sheets),
                queued=queued,
                office_sha256=digest_of_file(office_path(folder)),
                mailboxes=sheets,
                files=self._files,
                damages=list(self._damages),
            )
            write_manifest(folder, manifest)
        backup = Backup(folder.with_suffix(""))
        return Taken(backup, manifest, self._shelf.letters_added, self._shelf.octets_added, self._unchanged)

    # --- gather ---------------------------------------------------------------------------------------------

    def _gather_all(self) -> None:
        with closing(open_prepared(office_path(self._data), OFFICE)) as office:
            people = office.execute("SELECT account_id, address FROM accounts").fetchall()
            self._gather(office, "office.db", is_held=False)
        self._deeds_before = self._deeds()
        files = [(account_id, address, mailbox_path(self._data, account_id)) for account_id, address in people]
        files += [(who, deed.address, copy_path(self._data, who)) for who, deed in self._deeds_before.items()]
        has_changed = False
        for account_id, address, path in files:
            is_removed = account_id in self._deeds_before
            if not path.exists() or self._is_unchanged(account_id, stamp_of(path), is_removed=is_removed):
                continue
            has_changed = True
            try:
                mailbox = open_prepared(path, MAILBOX)
            except StoreError:
                continue  # it is told when it is to be copied
            with closing(mailbox), suppress(apsw.Error):
                self._gather(mailbox, address, is_held=False)
                write_log_back(mailbox)
        if has_changed:
            time.sleep(GRAIN_SECONDS)  # so that what was written back just now can be vouched for

    def _is_unchanged(self, account_id: int, stamp: str, *, is_removed: bool = False) -> bool:
        before = self._sheets_before.get(account_id)
        return before is not None and stamp != "" and (before.stamp, before.is_removed) == (stamp, is_removed)

    def _gather(self, source: Connection, where: str, *, is_held: bool) -> list[int]:
        """Contents of a file that are not on the shelf; gives those whose spool file is gone.

        If the moment `is_held`, what is not as it should be is damage; else it may have been taken away just now.
        """
        gone = []
        for content_id, name, wire_octets, spool in source.execute(_NAMED).fetchall():
            if self._is_here(name):
                continue
            wires = self._spooled(spool, wire_octets) if spool else _chunks(source, content_id)
            if wires is None:
                gone.append(content_id)
                continue
            try:
                self._shelf.add(name, wires)
                self._sound.add(name)
            except DamagedStore as error:
                if is_held:
                    self._damages[f"{where}, content {name.hex()[:16]}: {error}"] = None
        return gone

    def _is_here(self, name: bytes) -> bool:
        if not self._shelf.has(name):
            return False
        if self._anew and name not in self._sound:
            if self._shelf.trouble(name):
                return False  # what is put in takes its place
            self._sound.add(name)
        return True

    def _spooled(self, name: str, wire_octets: int) -> Iterator[bytes] | None:
        """A large letter; None if its file is gone. Opened at once: one that is open may be taken away."""
        try:
            descriptor = os.open(self._data / SPOOL / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        return _portions(descriptor, wire_octets)

    # --- office ---------------------------------------------------------------------------------------------

    def _copy_office(self, draft: Connection) -> None:
        with closing(open_reader(office_path(self._data))) as office:
            try:
                office.execute("BEGIN")
                _copy(office, draft)
                gone = self._gather(office, "office.db", is_held=True)
                office.execute("COMMIT")
                for content_id in gone:
                    self._left(office, draft, content_id)
            except apsw.Error as error:
                raise store_error(error, office_path(self._data)) from error

    def _left(self, office: Connection, draft: Connection, content_id: int) -> None:
        """The file of a large letter is gone. Its rows go first, so all that had it have left since the moment.

        What its mailbox took in is there, what was deleted or delivered is to be nowhere. A row that is there still is
        damage.
        """
        if office.execute("SELECT 1 FROM contents WHERE content_id = ?", (content_id,)).fetchone():
            self._damages[f"office.db, content {content_id}: its spool file is not there"] = None
            return
        draft.execute(
            "DELETE FROM recipients WHERE item_id IN (SELECT item_id FROM queue WHERE content_id = ?)", (content_id,)
        )
        for table in ("queue", "arrivals", "contents"):
            draft.execute(_GONE.format(table), (content_id,))

    # --- mailboxes ------------------------------------------------------------------------------------------

    def _mailbox(
        self, folder: Path, account_id: int, address: str, has_file: int = 1, *, is_removed: bool = False
    ) -> Sheet | None:
        """One mailbox, copied or linked; None if there is none, or none that can be read."""
        path = sheet_path(self._data, account_id, is_removed=is_removed)
        copy = sheet_path(folder, account_id, is_removed=is_removed)
        if not path.exists():
            path = copy_path(self._data, account_id)  # its account was removed since, and may come back
        if not path.exists():
            if has_file and self._lives_here(account_id):
                self._damages[f"{address}: the mailbox is not there"] = None
            return None
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = stamp_of(path)
        if self._is_unchanged(account_id, stamp, is_removed=is_removed) and self._linked(account_id, copy):
            self._unchanged += 1
            return self._sheets_before[account_id]
        try:
            with closing(open_prepared(path, MAILBOX)) as mailbox:
                letters, octets = self._copy_mailbox(mailbox, copy, address)
        except (StoreError, apsw.Error) as error:
            if isinstance(error, StoreUnavailable) and copy.exists():
                raise
            if not path.exists():  # moved just now
                return self._mailbox(folder, account_id, address, has_file, is_removed=is_removed)
            self._damages[f"{address}: the mailbox cannot be read, and is not in this backup: {error}"] = None
            copy.unlink(missing_ok=True)
            return None
        self._written.append(copy)
        return Sheet(account_id, address, letters, octets, digest_of_file(copy), stamp, is_removed)

    def _lives_here(self, account_id: int) -> bool:
        """Whether an account is there still, by a look at the office itself."""
        with closing(open_reader(office_path(self._data))) as office:
            return lives_here(office, account_id)

    def _linked(self, account_id: int, copy: Path) -> bool:
        """The file of the last backup under a second name; a copy of it where a disk has no such thing."""
        assert self._before is not None
        before = self._before.mailbox(self._sheets_before[account_id])
        try:
            copy.hardlink_to(before)
        except FileNotFoundError:
            return False
        except OSError:
            shutil.copyfile(before, copy)
            self._written.append(copy)
        return True

    def _copy_mailbox(self, mailbox: Connection, copy: Path, address: str) -> tuple[int, int]:
        """Gives its letters and octets."""
        with closing(open_draft(copy)) as draft:
            mailbox.execute("BEGIN")
            _copy(mailbox, draft)
            self._gather(mailbox, address, is_held=True)
            mailbox.execute("COMMIT")
            row = draft.execute("SELECT count(*), coalesce(sum(octets), 0) FROM entries").fetchone()
            assert row is not None
            return row[0], row[1]

    # --- beside them ----------------------------------------------------------------------------------------

    def _removed(self, office: Connection, folder: Path) -> list[Sheet]:
        """Accounts that were removed before the moment of the copy of the office, and may come back."""
        deeds = self._deeds_before | self._deeds()
        sheets = []
        for deed in deeds.values():
            if lives_here(office, deed.account_id) or arrivals.is_gone(office, deed.account_id):
                continue
            if not copy_path(self._data, deed.account_id).exists():
                if not deed_path(self._data, deed.account_id).exists():  # which goes first
                    raise StoreUnavailable(f"{deed.address} came back, or was forgotten, while the backup was taken")
                self._damages[f"{deed.address}, who was removed: the mailbox is not there"] = None
                continue
            sheet = self._mailbox(folder, deed.account_id, deed.address, is_removed=True)
            if sheet is not None:
                self._copy_file(deed_path(self._data, deed.account_id), folder)
                sheets.append(sheet)
        return sheets

    def _deeds(self) -> dict[int, Deed]:
        """Of all removed accounts, by account."""
        found = {}
        for path in removed_folder(self._data).glob("*.json"):
            try:
                deed = read_deed(path)
                found[deed.account_id] = deed
            except DamagedStore as error:
                if path.exists():
                    self._damages[f"{error}; its account is not in this backup"] = None
        return found

    def _copy_file(self, path: Path, folder: Path) -> None:
        """A small file of the data folder, as it is."""
        if not stat.S_ISREG(path.stat().st_mode):
            return
        name = path.relative_to(self._data)
        copy = folder / name
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        copy.touch(mode=0o600)
        copy.write_bytes(path.read_bytes())
        self._written.append(copy)
        self._files[str(name)] = digest_of_file(copy)


def _copy(source: Connection, draft: Connection) -> None:
    """The tables without the octets, and without what is only on its way in or out."""
    try:
        copy_tables(source, draft, but=("chunks",))
    except apsw.FullError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    draft.execute("DELETE FROM contents WHERE sha256 IS NULL")


def _chunks(source: Connection, content_id: int) -> Iterator[bytes]:
    low, high = content_id << contents.INDEX_BITS, (content_id + 1) << contents.INDEX_BITS
    for data, has_more in source.execute(_CHUNKS, (low, high)):
        yield data
        if not has_more:
            return
    raise DamagedStore("its last octets are not there")


def _portions(descriptor: int, octets: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while octets > 0 and (portion := file.read(min(CHUNK_OCTETS, octets))):
            octets -= len(portion)
            yield portion


def _agree(office: Connection, folder: Path, sheets: list[Sheet]) -> None:
    """Each letter is in one place: an arrival that its mailbox has taken in, or had, leaves the copy of the office."""
    incarnation = one_number(office, "SELECT incarnation FROM office")
    waiting = {account_id for (account_id,) in office.execute("SELECT DISTINCT account_id FROM arrivals").fetchall()}
    for sheet in sheets:
        if sheet.account_id not in waiting:
            continue
        path = sheet_path(folder, sheet.account_id, is_removed=sheet.is_removed)
        with closing(open_reader(path)) as mailbox:
            try:
                taken_in = arrivals.taken_in(mailbox, office, sheet.account_id, incarnation)
            except apsw.Error as error:
                raise DamagedStore(f"{path.name} is damaged in the last backup; --anew copies all of them") from error
        with transaction(office):
            office.executemany("DELETE FROM arrivals WHERE number = ?", [(number,) for number, _ in taken_in])
            contents.release(office, Counter(content_id for _, content_id in taken_in))
