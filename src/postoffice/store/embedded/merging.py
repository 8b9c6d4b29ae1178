"""Letters of another mailbox file that this one has not, and what the other remembers of where they were pulled.

The same letter is the same octets: content by its SHA-256, and what stands above it. Dates and unique-ids do not tell,
for two machines that pulled one maildrop differ in both. Each letter is here as often afterwards as it is in that file
which has it more often, so merging again finds nothing to do, and whatever interrupts it, the next time goes on there.

What is here stays as it is. A new letter keeps folder, flags, dates, its email id and unique-id, where these are free;
the memory of where it was pulled comes in its own transaction, so that at no moment the next pull would double it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

import apsw

from postoffice.database.sqlite import Connection
from postoffice.errors import DamagedStore
from postoffice.store.embedded import contents, folders, pulls, scans
from postoffice.store.embedded.contents import INDEX_BITS
from postoffice.store.embedded.folders import Filing
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.sight import OWNER_ID
from postoffice.store.embedded.staging import GrowingStage
from postoffice.store.identity import new_email_id
from postoffice.store.model import QUARANTINE, Flag, Pulled, Staged

BATCH_LETTERS: Final = 256
BATCH_OCTETS: Final = 4 << 20
BATCH_NOTES: Final = 512

_HERE = "SELECT sha256, prefix, email_id, unique_id FROM entries JOIN contents USING (content_id) ORDER BY entry_id"
_THERE = (
    "SELECT entry_id, name, content_id, sha256, prefix, email_id, unique_id, e.octets, surrogate_octets,"
    " e.has_dot_lines, flags, internal_date, saved"
    " FROM entries e JOIN folders USING (folder_id) JOIN contents USING (content_id)"
    " WHERE entry_id NOT IN (SELECT entry_id FROM removed WHERE viewer_id = ?) ORDER BY folder_id, uid"
)

Notes = dict[str, dict[str, Pulled]]
"""What is remembered, by source and source id."""


@dataclass(slots=True)
class Merged:
    """What came of it. `letters` and `octets` came and are durable; `known` were here; `pulled` memories are new.

    `renamed` have a new unique-id, as theirs was taken; `lost` names what the other file does not give whole.
    """

    letters: int = 0
    octets: int = 0
    known: int = 0
    pulled: int = 0
    renamed: int = 0
    lost: list[str] = field(default_factory=list)


class There(NamedTuple):
    """A letter of the other file, in the columns of `_THERE`."""

    entry_id: int
    folder: str
    content_id: int
    sha256: bytes
    prefix: bytes
    email_id: str
    unique_id: str
    octets: int
    surrogate_octets: int
    has_dot_lines: int
    flags: int
    internal_date: float
    saved: float

    @property
    def name(self) -> bytes:
        return _name(self.sha256, self.prefix)

    def __str__(self) -> str:
        return f"{self.folder} ({self.unique_id}), {self.octets} octets"


def _name(digest: bytes, prefix: bytes) -> bytes:
    return sha256(digest + prefix).digest() if prefix else digest


@dataclass(slots=True)
class _Batch:
    letters: list[tuple[Staged, There]] = field(default_factory=list)
    octets: int = 0


async def merge(other: Connection, mailbox: MailboxFile, now: float, tick: Callable[[int], None]) -> Merged:
    """Everything that `other`, a mailbox file of today's version, has and `mailbox` has not; `other` is only read.

    What the answer counts is durable. A disk without room is a `StoreUnavailable`; what came before it stays.
    """
    with other:  # one moment of it, whoever writes there
        return await _Merging(other, mailbox, now, tick).run()


class _Merging:
    def __init__(self, other: Connection, mailbox: MailboxFile, now: float, tick: Callable[[int], None]) -> None:
        self._other = other
        self._mailbox = mailbox
        self._now = now
        self._tick = tick
        self._report = Merged()
        self._batch = _Batch()
        self._here: defaultdict[bytes, list[str]] = defaultdict(list)
        self._email_ids: set[str] = set()
        self._unique_ids: set[str] = set()
        self._content_here: dict[bytes, str] = {}
        for digest, prefix, email_id, unique_id in mailbox.ask(lambda near: near.execute(_HERE).fetchall()):
            self._here[_name(digest, prefix)].append(email_id)
            self._content_here[digest] = email_id
            self._email_ids.add(email_id)
            self._unique_ids.add(unique_id)
        self._ours: Notes = mailbox.ask(_all_pulled)
        self._theirs: Notes = _all_pulled(other)
        self._pulled_as: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for source, notes in self._theirs.items():
            for source_id, one in notes.items():
                if one.email_id is not None:
                    self._pulled_as[one.email_id].append((source, source_id))
        self._names: dict[str, str] = {}
        """What the letters of the other file are called here: email ids."""
        self._not_here: set[str] = set()

    async def run(self) -> Merged:
        same = self._same_by_name()
        for letter in self._letters():
            here = self._here[letter.name]
            if letter.entry_id in same or here:
                self._names.setdefault(letter.email_id, letter.email_id if letter.entry_id in same else here.pop(0))
                self._report.known += 1
            else:
                await self._take(letter)
        await self._flush()
        await self._remember_the_rest()
        await self._judge()
        return self._report

    def _letters(self) -> Iterator[There]:
        return map(There._make, self._other.execute(_THERE, (OWNER_ID,)))

    def _same_by_name(self) -> set[int]:
        """Letters that are here under their own email id: they are paired before those that have another."""
        same = set()
        for letter in self._letters():
            if letter.email_id in self._email_ids and letter.email_id in (here := self._here[letter.name]):
                here.remove(letter.email_id)
                same.add(letter.entry_id)
        return same

    # --- letters -----------------------------------------------------------------------------------------------

    async def _take(self, letter: There) -> None:
        stage = await self._mailbox.stage()
        try:
            because = await self._read(letter, stage)
            staged = await stage.finish()
        except BaseException:
            await stage.abandon()
            raise
        if not because and (staged.content.sha256, staged.content.octets) != (
            letter.sha256,
            letter.octets - len(letter.prefix),
        ):
            because = "its octets are not those it is named by"
        if because:
            await stage.abandon()
            self._report.lost.append(f"{letter}: {because}")
            self._not_here.add(letter.email_id)
            return
        self._batch.letters.append((staged, letter))
        self._batch.octets += letter.octets
        if len(self._batch.letters) >= BATCH_LETTERS or self._batch.octets >= BATCH_OCTETS:
            await self._flush()

    async def _read(self, letter: There, stage: GrowingStage) -> str:
        """Stage its octets; gives why not all could be read, in words."""
        try:
            for index in range(1 << INDEX_BITS):
                wire, more = contents.read_chunk(self._other, letter.content_id, index)
                await stage.write(wire)
                self._tick(len(wire))
                if not more:
                    return ""
        except (DamagedStore, apsw.CorruptError) as error:
            return str(error)
        return "it has no end"

    async def _flush(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if not batch.letters:
            return
        filings = [(letter.folder, staged, self._filing(letter)) for staged, letter in batch.letters]
        notes = self._notes([at for _, letter in batch.letters for at in self._pulled_as[letter.email_id]])

        def change(connection: Connection) -> None:
            content_ids = contents.keep_all(connection, [staged for _, staged, _ in filings])
            kept = [
                filing._replace(folder_id=folders.folder_made(connection, folder), content_id=content_id)
                for (folder, _, filing), content_id in zip(filings, content_ids, strict=True)
            ]
            folders.file(connection, kept)
            for source, ones in notes.items():
                pulls.note(connection, source, ones)

        await self._mailbox.write(change)
        self._report.letters += len(filings)
        self._report.octets += batch.octets
        self._noted(notes)

    def _filing(self, letter: There) -> Filing:
        """As it was there, but for the names that are taken here."""
        email_id = letter.email_id if letter.email_id not in self._email_ids else new_email_id(self._now)
        unique_id = letter.unique_id
        if unique_id in self._unique_ids:
            unique_id = email_id if email_id not in self._unique_ids else new_email_id(self._now)
            self._report.renamed += 1
        self._email_ids.add(email_id)
        self._unique_ids.add(unique_id)
        self._names.setdefault(letter.email_id, email_id)
        return Filing(
            folder_id=0,
            content_id=0,
            email_id=email_id,
            unique_id=unique_id,
            octets=letter.octets,
            surrogate_octets=letter.surrogate_octets,
            has_dot_lines=bool(letter.has_dot_lines),
            flags=Flag(letter.flags),
            internal_date=letter.internal_date,
            saved=letter.saved,
            prefix=letter.prefix,
        )

    # --- memory ------------------------------------------------------------------------------------------------

    async def _remember_the_rest(self) -> None:
        """Of letters that were here already, that are not here any more, or that were never fetched."""
        left = [
            (source, source_id)
            for source, notes in self._theirs.items()
            for source_id, one in notes.items()
            if one.email_id not in self._not_here
        ]
        for start in range(0, len(left), BATCH_NOTES):
            notes = self._notes(left[start : start + BATCH_NOTES])
            for source, ones in notes.items():
                await self._mailbox.note(source, ones)
            self._noted(notes)

    def _notes(self, places: list[tuple[str, str]]) -> Notes:
        """What is to be remembered otherwise than it is."""
        notes: Notes = {}
        for source, source_id in places:
            ours, theirs = self._ours.get(source, {}).get(source_id), self._theirs[source][source_id]
            joined = self._joined(ours, theirs)
            if joined is not ours:
                notes.setdefault(source, {})[source_id] = joined
        return notes

    def _noted(self, notes: Notes) -> None:
        for source, ones in notes.items():
            self._ours.setdefault(source, {}).update(ones)
            self._report.pulled += len(ones)

    def _joined(self, ours: Pulled | None, theirs: Pulled) -> Pulled:
        """What was fetched in either is fetched. What is remembered here stays, unless only they have fetched it."""
        name = self._names.get(theirs.email_id or "")
        if ours is not None and (ours.fetched is not None or theirs.fetched is None):
            comes_back = name is not None and not ours.is_here and ours.sha256 == theirs.sha256
            return ours._replace(email_id=name, is_here=True) if comes_back else ours
        if name is None and theirs.sha256 is not None:
            name = self._content_here.get(theirs.sha256)
        seen = min((one.seen for one in (ours, theirs) if one is not None and one.seen is not None), default=None)
        return theirs._replace(email_id=name or theirs.email_id, is_here=name is not None, seen=seen)

    # --- scans -------------------------------------------------------------------------------------------------

    async def _judge(self) -> None:
        """What scanners said there holds here too: what one of the files knows to be infected is shown by neither."""
        theirs, ours = dict(scans.everything(self._other)), dict(self._mailbox.ask(scans.everything))
        if (not theirs or theirs == ours) and not self._mailbox.ask(scans.dangerous):
            return

        def change(connection: Connection) -> None:
            scans.merge(connection, theirs)
            folders.move(connection, scans.dangerous(connection), QUARANTINE, self._now)

        await self._mailbox.write(change)


def _all_pulled(connection: Connection) -> Notes:
    return {source: pulls.pulled(connection, source) for source in pulls.sources(connection)}
