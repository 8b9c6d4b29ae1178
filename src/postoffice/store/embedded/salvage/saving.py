"""What was found in a damaged file is put into a new one: each letter whose octets are those of its SHA-256, and
with it what the old mailbox knew: folders, unique-ids, dates, flags, viewers, what was pulled from where.

A letter is one of today if its entry stands on a sound page of a tree, or if its content does and nothing says that it
was removed. Of what cannot be told the letters are put into the folder `FOUND`, so nothing comes back among the others
that was removed. What cannot be read whole is named, and the memory that it was pulled is let go: if it still
lies on its server, the next pull brings it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from postoffice.database.sqlite import Connection
from postoffice.protocols.dots import Stuffer
from postoffice.store.embedded import contents, folders, pulls, scans
from postoffice.store.embedded.contents import INDEX_BITS, plain_of
from postoffice.store.embedded.folders import Filing
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.salvage.findings import Findings, Grade
from postoffice.store.embedded.salvage.reassembly import Reassembly, Whole
from postoffice.store.embedded.salvage.records import NotARecord
from postoffice.store.identity import new_email_id
from postoffice.store.model import INBOX, NO_FLAGS, QUARANTINE, Flag, Pulled, Staged

FOUND = "Found"
"""The folder of letters of which the file does not say any more where they were, or whether they were removed."""

BATCH_LETTERS, BATCH_OCTETS = 256, 4 << 20
BATCH_NOTES = 512

_TABLES = """
CREATE TABLE saved (content_id INTEGER, sha256 BLOB, old_entry INTEGER, new_entry INTEGER, email_id TEXT);
CREATE INDEX saved_contents ON saved (content_id);
CREATE INDEX saved_entries ON saved (old_entry);
CREATE INDEX saved_letters ON saved (email_id);
CREATE INDEX saved_names ON saved (sha256);
CREATE TABLE lost (line TEXT, email_id TEXT);
CREATE TABLE unclaimed (content_id INTEGER PRIMARY KEY);
"""


@dataclass(slots=True)
class Report:
    """What became of a damaged file. `lost` names what could not be read; the sums count letters and octets."""

    letters: int = 0
    found: int = 0
    octets: int = 0
    pulled: int = 0
    removed: int = 0
    damaged_pages: int = 0
    blank_pages: int = 0
    wrong_frames: int = 0
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it was found."""

    entry_id: int
    grade: int
    folder_id: int
    uid: int
    content_id: int
    email_id: str
    unique_id: str
    octets: int
    flags: int
    modseq: int
    internal_date: float
    arrival: int | None
    prefix: bytes
    saved: float


class Saving:
    """One filling of a new mailbox."""

    def __init__(
        self,
        findings: Findings,
        letters: Reassembly,
        mailbox: MailboxFile,
        report: Report,
        now: float,
        *,
        knows_vanished: bool,
    ) -> None:
        self._findings = findings
        self._letters = letters
        self._mailbox = mailbox
        self._report = report
        self._now = now
        self._knows_vanished = knows_vanished
        self._batch: list[tuple[Staged, Filing, int, int]] = []
        self._batch_octets = 0
        self._folders: dict[int, int] = {}
        findings.connection.execute(_TABLES)

    async def all(self) -> None:
        await self._mailbox.write(self._make_folders)
        for (entry_id,) in self._findings.ask(
            "SELECT entry_id FROM (SELECT entry_id, min(grade), folder_id, uid FROM entries GROUP BY entry_id)"
            " ORDER BY folder_id, uid"
        ):
            await self._save_entry(entry_id)
        await self._flush()
        for (content_id,) in self._findings.ask("SELECT DISTINCT chunk_id >> ? FROM chunks ORDER BY 1", (INDEX_BITS,)):
            await self._save_content(content_id)
        await self._flush()
        self._name_what_is_lost()
        await self._mailbox.write(self._put_viewers)
        await self._mailbox.write(self._put_scans)
        await self._put_pulled()

    # --- letters with an entry ---------------------------------------------------------------------------------

    async def _save_entry(self, entry_id: int) -> None:
        rows = [
            Row(*row)
            for row in self._findings.ask("SELECT * FROM entries WHERE entry_id = ? ORDER BY grade", (entry_id,))
        ]
        places = [(row, self._folder_of(row)) for row in rows]
        if all(folder is None for _, folder in places):
            self._report.removed += 1
            return
        for row, folder in places:
            if folder is None:
                continue
            for whole in self._letters.wholes(row.content_id):
                if whole.octets + len(row.prefix) == row.octets:
                    await self._keep(whole, _filing(row), folder, row.content_id, entry_id)
                    return
        row = next(row for row, folder in places if folder is not None)
        if any(True for _ in self._letters.wholes(row.content_id)):  # but of another size than the entry says
            self._findings.connection.execute("INSERT OR IGNORE INTO unclaimed VALUES (?)", (row.content_id,))
            return
        because, subject = self._letters.why_not(row.content_id), self._letters.subject(row.content_id)
        self._lose(f"{self._name_of(row.folder_id)} {row.uid} ({row.unique_id}){subject}: {because}", row.email_id)

    def _folder_of(self, row: Row) -> int | None:
        """Into which folder of the new file an entry goes, by the id of the old one; None for one that was removed."""
        if row.grade == Grade.KEPT:
            return row.folder_id
        moved = self._findings.first(
            "SELECT 1 FROM entries WHERE email_id = ? AND entry_id > ? AND grade <= ?",
            (row.email_id, row.entry_id, row.grade),
        )
        if moved is not None:
            return None
        vanished = self._findings.first(
            "SELECT is_sure FROM vanished WHERE folder_id = ? AND uid = ?", (row.folder_id, row.uid)
        )
        if vanished is not None and vanished[0]:
            return None
        is_alive = self._is_alive(row.content_id)
        if row.grade == Grade.FREE:
            others = self._findings.first(
                "SELECT 1 FROM entries WHERE content_id = ? AND grade < ?", (row.content_id, int(Grade.FREE))
            )
            return row.folder_id if is_alive and others is None else None
        if is_alive is False:
            return None
        if is_alive:
            return row.folder_id
        return 0 if vanished is not None or not self._knows_vanished else row.folder_id

    def _is_alive(self, content_id: int) -> bool | None:
        """Whether a content is one of today: what its own row says, else its chunk; None if neither is there."""
        row = self._findings.first(
            "SELECT sha256 IS NOT NULL AND holds > 0 FROM contents WHERE content_id = ? AND grade = 0", (content_id,)
        )
        if row is not None:
            return bool(row[0])
        chunk = self._findings.first(
            "SELECT 1 FROM chunks WHERE chunk_id = ? AND grade = 0", (content_id << INDEX_BITS,)
        )
        return True if chunk is not None else None

    # --- contents without one ------------------------------------------------------------------------------------

    async def _save_content(self, content_id: int) -> None:
        """Whatever can be read under this number and is not saved yet, if it was not removed."""
        rows, chunks, least = self._findings.first(
            "SELECT count(*), count(DISTINCT chunk_id), min(grade) FROM chunks WHERE chunk_id >= ? AND chunk_id < ?",
            (content_id << INDEX_BITS, (content_id + 1) << INDEX_BITS),
        ) or (0, 0, Grade.FREE)
        is_saved = self._findings.first("SELECT 1 FROM saved WHERE content_id = ?", (content_id,)) is not None
        is_alive = self._is_alive(content_id)
        is_known = (
            self._findings.first(
                "SELECT 1 FROM entries WHERE content_id = ?1 AND ?1 NOT IN (SELECT content_id FROM unclaimed)",
                (content_id,),
            )
            is not None
        )
        if (is_saved and rows == chunks) or is_alive is False or (is_known and not is_alive) or least == Grade.FREE:
            return
        wholes = list(self._letters.wholes(content_id))
        for whole in wholes:
            if self._findings.first("SELECT 1 FROM saved WHERE sha256 = ?", (whole.sha256,)) is None:
                folder, filing = self._as_pulled(whole)
                await self._keep(whole, filing, folder, content_id, 0)
        if not wholes and not is_known:
            self._lose(f"content {content_id}{self._letters.subject(content_id)}: {self._letters.why_not(content_id)}")

    def _as_pulled(self, whole: Whole) -> tuple[int, Filing]:
        """A letter without an entry as it was pulled, if that is known, and the folder in which an index shows it."""
        pulled = self._findings.first(
            "SELECT email_id, fetched FROM pulled WHERE sha256 = ? AND email_id NOT IN (SELECT email_id FROM saved)",
            (whole.sha256,),
        )
        email_id, date = pulled or (new_email_id(self._now), self._now)
        shown = self._findings.first("SELECT folder_id FROM shown WHERE unique_id = ?", (email_id,))
        filing = Filing(
            folder_id=0,
            content_id=0,
            email_id=email_id,
            unique_id=email_id,
            octets=whole.octets,
            surrogate_octets=whole.octets,
            has_dot_lines=False,
            flags=NO_FLAGS,
            internal_date=date or self._now,
            saved=self._now,
            prefix=b"",
        )
        return (shown[0] if shown else 0), filing

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _keep(self, whole: Whole, filing: Filing, folder: int, content_id: int, entry_id: int) -> None:
        stage, stuffer = await self._mailbox.stage(), Stuffer()
        for plain in plain_of(self._letters.data(*place) for place in whole.places):
            await stage.write(stuffer.feed(plain))
        await stage.write(stuffer.end())
        staged = await stage.finish()
        if staged.content.sha256 != whole.sha256:
            await stage.abandon()
            raise NotARecord("the file changed while it was read")
        self._findings.connection.execute(
            "INSERT INTO saved (content_id, sha256, old_entry, email_id) VALUES (?, ?, ?, ?)",
            (content_id, whole.sha256, entry_id, filing.email_id),
        )
        if folder:
            self._report.letters += 1
        else:
            self._report.found += 1
        self._report.octets += whole.octets
        self._batch.append((staged, filing, folder, entry_id))
        self._batch_octets += min(staged.content.wire_octets, BATCH_OCTETS)
        if len(self._batch) >= BATCH_LETTERS or self._batch_octets >= BATCH_OCTETS:
            await self._flush()

    async def _flush(self) -> None:
        batch, self._batch, self._batch_octets = self._batch, [], 0
        if not batch:
            return

        def put(connection: Connection) -> list[tuple[int, int]]:
            content_ids = contents.keep_all(connection, [staged for staged, *_ in batch])
            filings = [
                filing._replace(
                    folder_id=self._new_folder(connection, folder),
                    content_id=content_id,
                    surrogate_octets=staged.surrogate_octets(filing.prefix),
                    has_dot_lines=staged.content.has_dot_lines,
                )
                for (staged, filing, folder, _), content_id in zip(batch, content_ids, strict=True)
            ]
            keys = folders.file(connection, filings)
            return [(key, entry_id) for key, (*_, entry_id) in zip(keys, batch, strict=True)]

        pairs = await self._mailbox.write(put)
        self._findings.connection.executemany("UPDATE saved SET new_entry = ? WHERE old_entry = ? AND old_entry", pairs)

    def _make_folders(self, connection: Connection) -> None:
        """Those that the old file had, in its order; what letters were known by there they are not any more."""
        rows = self._findings.ask(
            "SELECT folder_id, name, uid_validity, min(grade) FROM folders WHERE grade < 3 GROUP BY folder_id"
            " ORDER BY folder_id"
        )
        for folder_id, name, uid_validity, _ in rows:
            self._folders[folder_id] = _folder(connection, name)
            connection.execute(
                "UPDATE folders SET uid_validity = max(uid_validity, ?) WHERE folder_id = ?",
                (uid_validity % (1 << 31) + 1, self._folders[folder_id]),
            )
        life = self._findings.first(
            "SELECT incarnation, watermark FROM mailbox WHERE grade < 3 ORDER BY grade LIMIT 1", ()
        )
        if life is not None:
            connection.execute("UPDATE mailbox SET incarnation = ?, watermark = ?", life)

    def _name_of(self, folder_id: int) -> str:
        row = self._findings.first("SELECT name FROM folders WHERE folder_id = ? ORDER BY grade LIMIT 1", (folder_id,))
        if row is not None:
            return str(row[0])
        return INBOX if folder_id == 1 else f"Folder {folder_id}"

    def _new_folder(self, connection: Connection, old_id: int) -> int:
        """The folder in the new file, by its id in the old one, 0 for `FOUND`."""
        if old_id not in self._folders:
            self._folders[old_id] = _folder(connection, self._name_of(old_id) if old_id else FOUND)
        return self._folders[old_id]

    # --- what else the old file knew -------------------------------------------------------------------------------

    def _lose(self, line: str, email_id: str | None = None) -> None:
        self._findings.connection.execute("INSERT INTO lost VALUES (?, ?)", (line, email_id))

    def _name_what_is_lost(self) -> None:
        """Also letters that an index names although their entries cannot be read; not what was saved otherwise."""
        rows = self._findings.ask(
            "SELECT folder_id, uid, unique_id FROM shown WHERE entry_id NOT IN (SELECT entry_id FROM entries)"
            " ORDER BY folder_id, uid"
        )
        for folder_id, uid, unique_id in rows:
            because = f"its entry cannot be read; if its content can, it is in the folder {FOUND}"
            self._lose(f"{self._name_of(folder_id)} {uid} ({unique_id}): {because}", unique_id)
        self._findings.connection.execute("DELETE FROM lost WHERE email_id IN (SELECT email_id FROM saved)")
        self._report.lost += [line for (line,) in self._findings.ask("SELECT line FROM lost ORDER BY rowid")]

    def _put_viewers(self, connection: Connection) -> None:
        """Who looked at the mailbox, and what each of them removed for himself alone."""
        rows = self._findings.ask(
            "SELECT viewer_id, name, holds, min(grade) FROM viewers WHERE grade < 2 GROUP BY viewer_id"
        )
        for viewer_id, name, holds, _ in rows:
            connection.execute("UPDATE viewers SET holds = ? WHERE name = ?", (int(bool(holds)), name))
            if not connection.changes():
                connection.execute("INSERT INTO viewers (name, holds) VALUES (?, ?)", (name, int(bool(holds))))
            connection.executemany(
                "INSERT OR IGNORE INTO removed SELECT ?, viewer_id FROM viewers WHERE name = ?",
                [
                    (new, name)
                    for (new,) in self._findings.ask(
                        "SELECT new_entry FROM removed JOIN saved ON old_entry = entry_id WHERE viewer_id = ?",
                        (viewer_id,),
                    )
                ],
            )
        connection.execute(
            "UPDATE viewers SET holds = 1 WHERE name = '' AND NOT EXISTS (SELECT 1 FROM viewers WHERE holds)"
        )

    def _put_scans(self, connection: Connection) -> None:
        """What scanners said; a letter in which something was found is in quarantine wherever it was found."""
        rows = self._findings.ask(
            "SELECT sha256, verdict, scanner, at, name, signatures, allowed, min(grade) FROM scans GROUP BY sha256"
        )
        for sha256, *row, _ in rows:
            if (scan := scans.scan_of(*row)) is not None:
                scans.note(connection, sha256, scan)
        folders.move(connection, scans.dangerous(connection), QUARANTINE, self._now)

    async def _put_pulled(self) -> None:
        rows = self._findings.ask(
            "SELECT source, source_id, octets, header, sha256, email_id, seen, fetched, deleting, rule, confirmed,"
            " gone, tries, words, head, min(grade) FROM pulled GROUP BY source, source_id"
            " HAVING email_id IS NULL OR email_id NOT IN (SELECT email_id FROM lost WHERE email_id IS NOT NULL)"
        )
        while some := list(islice(rows, BATCH_NOTES)):
            await self._mailbox.write(partial(_note, rows=some))
            self._report.pulled += len(some)


def _note(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    for source, source_id, octets, header, sha256, email_id, seen, fetched, *life, _ in rows:
        memory = Pulled(octets, header, sha256, email_id, False, seen, fetched, *life)
        pulls.note(connection, source, {source_id: memory})


def _filing(row: Row) -> Filing:
    return Filing(
        folder_id=0,
        content_id=0,
        email_id=row.email_id,
        unique_id=row.unique_id,
        octets=row.octets,
        surrogate_octets=row.octets,
        has_dot_lines=False,
        flags=Flag(row.flags & sum(Flag)),
        internal_date=row.internal_date,
        saved=row.saved,
        prefix=row.prefix,
        arrival=row.arrival,
    )


def _folder(connection: Connection, name: str) -> int:
    connection.execute(
        "INSERT INTO folders (name) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM folders WHERE name = ?1)", (name,)
    )
    return folders.folder_id(connection, name)
