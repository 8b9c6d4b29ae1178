"""One account's letters."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from postoffice.clock import Clock, system_clock
from postoffice.errors import NotLooking, StoreError
from postoffice.protocols.dots import has_dot_lines
from postoffice.store.base import MaildropLock
from postoffice.store.identity import new_email_id
from postoffice.store.memory.shelf import Kept, MemoryStage, Shelf
from postoffice.store.model import (
    INBOX,
    OWNER,
    WITHHELD,
    Changes,
    Damage,
    Entry,
    Flag,
    Folder,
    Letter,
    Origin,
    Piece,
    Pulled,
    Scan,
    Sight,
    Small,
    Snapshot,
    Verdict,
    Viewer,
    small,
)


@dataclass(slots=True)
class _Row:
    """A letter in a folder; `removed_by` are the viewers who do not see it any more."""

    folder: str
    entry: Entry
    kept: Kept
    removed_by: set[str] = field(default_factory=set)


class MemoryMailbox:
    """One account's letters, by key; a key is never used twice."""

    def __init__(self, shelf: Shelf | None = None, clock: Clock = system_clock) -> None:
        self._shelf = shelf or Shelf()
        self._clock = clock
        self._rows: dict[int, _Row] = {}
        self._folders = {INBOX: Folder(INBOX, uid_validity=1, uid_next=1, highest_modseq=1)}
        self._vanished: list[tuple[str, int, int]] = []  # folder, modseq, uid
        self._viewers = {OWNER: Sight.HOLDS}
        self._pulled: dict[str, dict[str, Pulled]] = {}
        self._scans: dict[bytes, Scan] = {}
        self._next_key = count(1)
        self._version = 1
        self._shown: dict[tuple[str | None, str], tuple[int, Snapshot]] = {}

    async def snapshot(self, viewer: str | None = None, folder: str = INBOX) -> Snapshot:
        self._folder(folder)
        self._must_hold(viewer)
        version, before = self._shown.get((viewer, folder), (0, None))
        if before is not None and version == self._version:
            return before
        seen = [row.entry for row in self._rows.values() if row.folder == folder and viewer not in row.removed_by]
        keys = array("q", [entry.key for entry in seen])
        if before is None or keys != before.keys:
            octets = array("q", [entry.octets for entry in seen])
            others = {entry.key: entry.surrogate_octets for entry in seen if entry.surrogate_octets != entry.octets}
            before = Snapshot((self._version,), keys, octets, [entry.unique_id for entry in seen], others)
        self._shown[viewer, folder] = self._version, before
        return before

    async def read(self, keys: Sequence[int], index: int = 0) -> list[Piece | None]:
        rows = [self._rows.get(key) for key in keys]
        return [row.kept.piece(row.entry.prefix, index) if row else None for row in rows]

    async def read_small(self, keys: Sequence[int]) -> Sequence[Small]:
        return [small(piece) for piece in await self.read(keys)]

    async def content_file(self, key: int) -> None:
        """None has: it all lies in memory."""

    async def describe(self, keys: Sequence[int]) -> list[Entry | None]:
        rows = [self._rows.get(key) for key in keys]
        return [row.entry if row else None for row in rows]

    async def stage(self) -> MemoryStage:
        return MemoryStage()

    async def append(
        self, letters: Sequence[Letter], when_put: Callable[[], object] | None = None, *, may_wait: bool = False
    ) -> list[int]:
        kept = [self._shelf.keep(letter.staged) for letter in letters]
        for letter in letters:
            self._folder(letter.folder) if letter.folder not in WITHHELD else self._have_folder(letter.folder)
        return [self.add(letter, content) for letter, content in zip(letters, kept, strict=True)]

    async def settle(self, *, at_once: bool = True) -> bool:
        return True

    def add(self, letter: Letter, kept: Kept, saved: float | None = None) -> int:
        email_id = new_email_id(self._clock())
        if letter.origin and not self._remember(letter.origin, kept.content.sha256, email_id):
            return 0
        name = letter.folder
        if letter.scan is not None:
            name = self._note_scan(kept.content.sha256, letter.scan).folder(name)
            self._have_folder(name)
        folder = self._changed(name)
        key = next(self._next_key)
        entry = Entry(
            key=key,
            uid=folder.uid_next,
            email_id=email_id,
            unique_id=letter.unique_id or email_id,
            octets=len(letter.prefix) + kept.content.octets,
            surrogate_octets=letter.staged.surrogate_octets(letter.prefix),
            has_dot_lines=kept.content.has_dot_lines or has_dot_lines(letter.prefix),
            flags=letter.flags,
            modseq=folder.highest_modseq,
            internal_date=letter.internal_date,
            saved=self._clock() if saved is None else saved,
            prefix=letter.prefix,
            sha256=kept.content.sha256,
        )
        self._rows[key] = _Row(name, entry, kept)
        self._folders[name] = folder._replace(uid_next=folder.uid_next + 1)
        return key

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        self._must_hold(viewer)
        for key in keys:
            if row := self._rows.get(key):
                row.removed_by |= self._holders if viewer is None else {viewer}
        self._version += 1
        self._forget_unseen(keys, into)

    async def move(self, keys: Sequence[int], folder: str) -> list[int]:
        moved = [self._refile(key, folder) for key in keys]
        self._forget(keys)
        return moved

    def _refile(self, key: int, name: str) -> int:
        """The same letter again, at the end of a folder."""
        row = self._rows.get(key)
        if row is None:
            return 0
        self._have_folder(name)
        folder = self._changed(name)
        new = next(self._next_key)
        now = self._clock()
        entry = row.entry._replace(
            key=new,
            uid=folder.uid_next,
            unique_id=new_email_id(now),
            modseq=folder.highest_modseq,
            saved=now,
        )
        self._rows[new] = _Row(name, entry, row.kept)
        self._folders[name] = folder._replace(uid_next=folder.uid_next + 1)
        return new

    async def flag(self, keys: Sequence[int], flags: Flag) -> None:
        for key in keys:
            if row := self._rows.get(key):
                modseq = self._changed(row.folder).highest_modseq
                row.entry = row.entry._replace(flags=flags, modseq=modseq)

    async def changes(self, since: int, folder: str = INBOX) -> Changes:
        entries = [row.entry for row in self._rows.values() if row.folder == folder and row.entry.modseq > since]
        vanished = [uid for name, modseq, uid in self._vanished if name == folder and modseq > since]
        return Changes(self._folder(folder).highest_modseq, tuple(entries), tuple(vanished))

    async def folders(self) -> list[Folder]:
        return list(self._folders.values())

    async def create_folder(self, name: str) -> None:
        if name in self._folders:
            raise StoreError(f"there is a folder {name} already")
        self._folders[name] = Folder(name, uid_validity=1, uid_next=1, highest_modseq=1)

    async def viewers(self) -> list[Viewer]:
        return [Viewer(name, sight) for name, sight in sorted(self._viewers.items())]

    async def set_viewer(self, name: str, sight: Sight, into: str | None = None) -> None:
        if name == OWNER and (sight is Sight.GONE or (sight is Sight.RESTS and self._holders == {OWNER})):
            raise StoreError("a mailbox that nobody looks at would keep nothing")
        self._viewers[name] = sight
        if sight is Sight.GONE:
            del self._viewers[name]
            for row in self._rows.values():
                row.removed_by.discard(name)
        if not self._holders:
            self._viewers[OWNER] = Sight.HOLDS
        self._version += 1
        self._forget_unseen(list(self._rows), into)

    async def sources(self) -> list[str]:
        return sorted(self._pulled)

    async def pulled(self, source: str) -> dict[str, Pulled]:
        here = {row.entry.email_id for row in self._rows.values()}
        rows = self._pulled.get(source, {})
        return {name: one._replace(is_here=one.email_id in here) for name, one in rows.items()}

    async def note(self, source: str, notes: Mapping[str, Pulled]) -> None:
        if notes:
            self._pulled.setdefault(source, {}).update(notes)

    def _remember(self, origin: Origin, sha256: bytes, email_id: str) -> bool:
        """False if it was fetched before."""
        rows = self._pulled.setdefault(origin.source, {})
        before = rows.get(origin.source_id, Pulled())
        if before.fetched is not None:
            return False
        rows[origin.source_id] = before._replace(
            octets=origin.octets,
            header=origin.header,
            sha256=sha256,
            email_id=email_id,
            seen=origin.seen if before.seen is None else before.seen,
            fetched=self._clock(),
            gone=None,
            head=b"",
        )
        return True

    async def scans(self, contents: Sequence[bytes]) -> list[Scan | None]:
        return [self._scans.get(sha256) for sha256 in contents]

    async def to_scan(self, folder: str, signatures: str | None) -> list[int]:
        return [
            key
            for key, row in self._rows.items()
            if row.folder == folder and self._is_to_scan(row.entry.sha256, signatures)
        ]

    def _is_to_scan(self, sha256: bytes, signatures: str | None) -> bool:
        scan = self._scans.get(sha256)
        return scan is None or scan.verdict is Verdict.UNSCANNED or scan.signatures != signatures

    async def judge(self, scanned: Mapping[bytes, Scan], moves: Mapping[str, Sequence[int]]) -> None:
        for sha256, scan in scanned.items():
            self._note_scan(sha256, scan)
        for folder, keys in moves.items():
            await self.move(keys, folder)

    def _note_scan(self, sha256: bytes, scan: Scan) -> Scan:
        self._scans[sha256] = scan = scan.after(self._scans.get(sha256))
        return scan

    async def check(self) -> list[Damage]:
        return self._shelf.check()

    async def close(self) -> None:
        self._shown.clear()

    def _folder(self, name: str) -> Folder:
        if name not in self._folders:
            raise StoreError(f"there is no folder {name}")
        return self._folders[name]

    def _have_folder(self, name: str) -> None:
        self._folders.setdefault(name, Folder(name, uid_validity=1, uid_next=1, highest_modseq=1))

    @property
    def _holders(self) -> set[str]:
        return {name for name, sight in self._viewers.items() if sight is Sight.HOLDS}

    def _must_hold(self, viewer: str | None) -> None:
        if viewer is not None and viewer not in self._holders:
            raise NotLooking(viewer)

    def _changed(self, name: str) -> Folder:
        """The folder as it is from now on: with a modseq of its own for what happens next."""
        folder = self._folder(name)
        self._version += 1
        self._folders[name] = folder = folder._replace(highest_modseq=folder.highest_modseq + 1)
        return folder

    def _forget_unseen(self, keys: Iterable[int], into: str | None = None) -> None:
        seen = self._holders
        unseen = [key for key in keys if (row := self._rows.get(key)) and row.removed_by.issuperset(seen)]
        if into is not None:
            for key in unseen:
                self._refile(key, into)
        self._forget(unseen)

    def _forget(self, keys: Iterable[int]) -> None:
        for key in keys:
            if row := self._rows.pop(key, None):
                self._vanished.append((row.folder, self._changed(row.folder).highest_modseq, row.entry.uid))
