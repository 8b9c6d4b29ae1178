"""An account's mailbox at the office: its file, and the arrivals that are not in it yet, as one view.

The keys of the file's letters are positive, an arrival's key is its number made negative. An account to which
nothing but arrivals ever came has no file at all. Whatever numbers letters (uids, modseqs) needs them in the file,
so verbs of that sort let the file absorb the arrivals first; reading and removing do not. A key whose arrival was
absorbed meanwhile still leads to its letter.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from postoffice.database.sqlite import Connection, sync_directory
from postoffice.errors import DamagedStore, NotLooking, StoreError
from postoffice.protocols.dots import stuff
from postoffice.store.base import MaildropLock
from postoffice.store.embedded import arrivals, contents, sight
from postoffice.store.embedded.arrivals import Spooled
from postoffice.store.embedded.glimpse import ABSENT, Stillness, stillness
from postoffice.store.embedded.jobs import NoteFile, RemoveArrivals
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.places import mailbox_name
from postoffice.store.embedded.premises import Premises
from postoffice.store.embedded.recollection import seen_at_rest
from postoffice.store.embedded.residents import Resident
from postoffice.store.embedded.sight import EVERYBODY_ID, OWNER_ID, Seen
from postoffice.store.embedded.staging import GrowingStage
from postoffice.store.model import (
    INBOX,
    OWNER,
    Changes,
    ContentFile,
    Damage,
    Entry,
    Flag,
    Folder,
    Letter,
    Piece,
    Pulled,
    Scan,
    Sight,
    Small,
    Snapshot,
    Staged,
    Viewer,
    small,
)

T = TypeVar("T")
Look = Seen | Stillness
"""What the file showed, or by what it is known while it is at rest: the same again for as long as it shows the same."""

Cached = tuple[Resident, Look, Snapshot]


class AccountMailbox:
    """A `Mailbox` at the office."""

    __slots__ = ("_cached", "_name", "_opened", "_premises", "account_id")

    def __init__(self, premises: Premises, account_id: int) -> None:
        self._premises = premises
        self.account_id = account_id
        self._name = mailbox_name(premises.data, account_id)
        self._opened: MailboxFile | None = None
        self._cached: dict[str | None, Cached] = {}

    # --- the file, if there is one --------------------------------------------------------------------------

    def file(self) -> MailboxFile | None:
        """The mailbox file, if letters were ever absorbed. One that is lost is a `DamagedStore`."""
        if self._opened is None:
            if os.path.exists(self._name):  # noqa: PTH110 four times as quick
                return self._open()
            self._must_not_be_lost()
        return self._opened

    def _open(self) -> MailboxFile:
        """No connection is made before somebody asks or writes."""
        premises = self._premises
        self._opened = MailboxFile(self._path, premises.pool, premises.clock, premises.vfs)
        return self._opened

    def _must_not_be_lost(self) -> None:
        """No file was found: if there was one before, nobody takes that for a mailbox without letters. One that came a
        moment ago was made before the office noted it."""
        is_noted = self._premises.residents.look(self.account_id).has_file
        if is_noted and not os.path.exists(self._name):  # noqa: PTH110 as above
            raise DamagedStore(f"{self._name}, the mailbox of account {self.account_id}, is lost")

    @property
    def _path(self) -> Path:
        return Path(self._name)

    async def _whole_file(self) -> MailboxFile:
        """The mailbox file with all letters in it."""
        file = self.file()
        if file is None or self._waiting(file):
            await self.absorb()
            file = self.file()
            if file is None:
                raise StoreError(f"the mailbox of account {self.account_id} is gone")
        return file

    def _waiting(self, file: MailboxFile) -> bool:
        newest = self._premises.residents.look(self.account_id).newest
        return newest > file.ask(lambda mailbox: arrivals.watermark(mailbox, self._premises.incarnation))

    # --- reading --------------------------------------------------------------------------------------------

    async def snapshot(self, viewer: str | None = None, folder: str = INBOX) -> Snapshot:
        if folder != INBOX:
            return await (await self._whole_file()).snapshot(viewer, folder)
        # Arrivals first: what is absorbed between the two looks is then in the file, and not shown twice.
        print_ = self._premises.residents.look(self.account_id)
        cached = self._cached.get(viewer)
        if cached is not None and cached[0] == print_ and cached[1] == self._look(viewer):
            return cached[2]
        look, snapshot = self._both(viewer, print_.newest)
        self._cached[viewer] = print_, look, snapshot
        return snapshot

    def _look(self, viewer: str | None) -> Look:
        """By what the file is known now. One that is at rest is not opened for that."""
        if self._opened is None and self._premises.vfs is None:
            still = stillness(self._name)
            if still is ABSENT:
                self._must_not_be_lost()
            if still is not None:
                return still
        file = self.file()
        return ABSENT if file is None else file.seen(viewer, INBOX)

    def _see(self, viewer: str | None) -> tuple[Look, Seen | None]:
        """The same, and what the file shows, if there is one."""
        look = self._look(viewer)
        if look is ABSENT:
            return look, None
        if isinstance(look, Seen):
            return look, look
        seen = seen_at_rest(self._name, look, viewer)
        if seen is not None:
            return look, seen
        seen = self._open().seen(viewer, INBOX)
        return seen, seen

    def _both(self, viewer: str | None, last: int) -> tuple[Look, Snapshot]:
        """What is in the file and what is not, as one; `last` is the newest arrival or 0."""
        rows: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None)
        if last:
            query = (self.account_id,)
            rows = self._premises.ask(lambda office: office.execute(arrivals.COLUMNS, query).fetchone()) or rows
        look, seen = self._see(viewer)
        if seen is not None and rows[0] is None:
            return look, seen.snapshot
        numbers, octets, unique_ids, grown = sight.split(*rows)
        if seen is None:
            if viewer:
                raise NotLooking(viewer)
            keys = array("q", [-number for number in numbers])
            newest = unique_ids[-1] if unique_ids else ""
            surrogates = {-number: size for number, size in grown.items()}
            viewer_id = OWNER_ID if viewer is not None else EVERYBODY_ID
            return look, sight.Columns(keys, octets, unique_ids, surrogates, newest, viewer_id).snapshot()
        done = seen.watermark if seen.incarnation == self._premises.incarnation else 0
        fresh = next((at for at, number in enumerate(numbers) if number > done), len(numbers))
        if fresh == len(numbers):
            return look, seen.snapshot
        shown = sight.Columns(
            seen.snapshot.keys + array("q", [-number for number in numbers[fresh:]]),
            seen.snapshot.octets + octets[fresh:],
            [*seen.snapshot.unique_ids, *unique_ids[fresh:]],
            {**seen.snapshot.surrogates, **{-number: size for number, size in grown.items() if number > done}},
            unique_ids[-1],
            seen.viewer_id,
        )
        return look, shown.snapshot()

    async def read(self, keys: Sequence[int], index: int = 0) -> list[Piece | None]:
        if not keys or min(keys) > 0:
            file = self.file()
            return await file.read(keys, index) if file is not None else [None] * len(keys)
        numbers = [-key for key in keys if key < 0]
        found = await self._read_arrivals(numbers, index)
        moved = self._moved([number for number in numbers if number not in found])
        filed = [moved.get(-key, 0) if key < 0 else key for key in keys]
        file = self.file()
        others = await file.read(filed, index) if file is not None and any(filed) else [None] * len(keys)
        return [found.get(-key) or other for key, other in zip(keys, others, strict=True)]

    async def read_small(self, keys: Sequence[int]) -> Sequence[Small]:
        file = self.file()
        if file is not None and keys and min(keys) > 0:
            return await file.read_small(keys)
        return [small(piece) for piece in await self.read(keys)]

    async def _read_arrivals(self, numbers: Sequence[int], index: int) -> dict[int, Piece]:
        rows = self._premises.ask(lambda office: arrivals.pieces(office, self.account_id, numbers))
        found: dict[int, Piece] = {}
        for number, row in rows.items():
            if isinstance(row, Piece) and not index:
                found[number] = row
            elif isinstance(row, Spooled):
                piece = await read_spooled(self._premises, row, index)
                if piece is not None:
                    found[number] = piece
        return found

    async def content_file(self, key: int) -> ContentFile | None:
        """Large arrivals have one, until they are absorbed."""
        if key > 0:
            return None
        found = self._premises.ask(lambda office: arrivals.pieces(office, self.account_id, [-key])).get(-key)
        if not isinstance(found, Spooled):
            return None
        descriptor = self._premises.spool.open(found.name, found.wire_octets)
        return ContentFile(stuff(found.prefix), descriptor, found.wire_octets) if descriptor is not None else None

    def _moved(self, numbers: Sequence[int]) -> dict[int, int]:
        """Where letters are now that were arrivals when they were shown."""
        file = self.file() if numbers else None
        if file is None:
            return {}
        return file.ask(lambda near: arrivals.where_they_went(near, numbers, self._premises.incarnation))

    async def describe(self, keys: Sequence[int]) -> list[Entry | None]:
        file = self.file()
        if file is None or any(key < 0 for key in keys):
            file = await self._whole_file()
        moved = self._moved([-key for key in keys if key < 0])
        entries = await file.describe([moved.get(-key, 0) if key < 0 else key for key in keys])
        return [entry and entry._replace(key=key) for key, entry in zip(keys, entries, strict=True)]

    async def changes(self, since: int, folder: str = INBOX) -> Changes:
        return await (await self._whole_file()).changes(since, folder)

    async def folders(self) -> list[Folder]:
        if self.file() is None and not self._premises.residents.look(self.account_id).newest:
            return [Folder(INBOX, uid_validity=1, uid_next=1, highest_modseq=1)]
        return await (await self._whole_file()).folders()

    async def viewers(self) -> list[Viewer]:
        file = self.file()
        return await file.viewers() if file is not None else [Viewer(OWNER, Sight.HOLDS)]

    async def sources(self) -> list[str]:
        file = self.file()
        return await file.sources() if file is not None else []

    async def pulled(self, source: str) -> dict[str, Pulled]:
        file = self.file()
        return await file.pulled(source) if file is not None else {}

    async def scans(self, contents: Sequence[bytes]) -> list[Scan | None]:
        file = self.file()
        return await file.scans(contents) if file is not None else [None] * len(contents)

    async def to_scan(self, folder: str, signatures: str | None) -> list[int]:
        return await (await self._whole_file()).to_scan(folder, signatures)

    # --- writing --------------------------------------------------------------------------------------------

    async def stage(self) -> GrowingStage:
        return await (await self._whole_file()).stage()

    async def append(
        self, letters: Sequence[Letter], when_put: Callable[[], object] | None = None, *, may_wait: bool = False
    ) -> list[int]:
        return await (await self._whole_file()).append(letters, when_put, may_wait=may_wait)

    async def settle(self, *, at_once: bool = True) -> bool:
        """At an office all that is appended is durable at once."""
        return True

    async def note(self, source: str, notes: Mapping[str, Pulled]) -> None:
        await (await self._whole_file()).note(source, notes)

    async def judge(self, scanned: Mapping[bytes, Scan], moves: Mapping[str, Sequence[int]]) -> None:
        file = await self._whole_file()
        moved = self._moved([-key for keys in moves.values() for key in keys if key < 0])
        there = {name: [moved.get(-key, 0) if key < 0 else key for key in keys] for name, keys in moves.items()}
        await file.judge(scanned, there)

    async def flag(self, keys: Sequence[int], flags: Flag) -> None:
        file = await self._whole_file()
        moved = self._moved([-key for key in keys if key < 0])
        await file.flag([moved.get(-key, 0) if key < 0 else key for key in keys], flags)

    async def create_folder(self, name: str) -> None:
        await (await self._whole_file()).create_folder(name)

    async def set_viewer(self, name: str, sight: Sight, into: str | None = None) -> None:
        file = await self._whole_file()
        moving = await self._premises.moving(self.account_id)  # nobody removes an arrival for those of before meanwhile
        try:
            await file.set_viewer(name, sight, into)
        finally:
            moving.give_back()

    async def move(self, keys: Sequence[int], folder: str) -> list[int]:
        file = await self._whole_file()
        moved = self._moved([-key for key in keys if key < 0])
        return await file.move([moved.get(-key, 0) if key < 0 else key for key in keys], folder)

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        """Arrivals are deleted where they lie, unless they are still wanted. No lock here is ever lost."""
        numbers = [-key for key in keys if key < 0]
        filed = [key for key in keys if key > 0]
        if into is not None or not await self._is_alone(viewer):
            await self._remove_filed(numbers, filed, viewer, into)
            return
        if numbers:
            moving = await self._premises.moving(self.account_id)
            try:
                is_alone = await self._is_alone(viewer)  # a device may have come while we waited
                if is_alone:
                    somebody_died = await self._end_what_died()
                    removed = await self._premises.committer.run(RemoveArrivals(self.account_id, numbers))
            finally:
                moving.give_back()
            if not is_alone:
                await self._remove_filed(numbers, filed, viewer, into)
                return
            self._premises.spool.discard(removed.spooled)
            gone = set() if somebody_died else set(removed.numbers)  # the dead may have filed them already
            filed += self._moved([number for number in numbers if number not in gone]).values()
        file = self.file()
        if filed and file is not None:
            await file.remove(filed, viewer)

    async def _is_alone(self, viewer: str | None) -> bool:
        """Whether nobody else wants what this viewer removes."""
        return viewer is None or [each.name for each in await self.viewers() if each.sight is Sight.HOLDS] == [viewer]

    async def _remove_filed(
        self, numbers: Sequence[int], filed: Sequence[int], viewer: str | None, into: str | None
    ) -> None:
        """Removal in the mailbox file, which takes all arrivals in before."""
        whole = await self._whole_file()
        await whole.remove([*filed, *self._moved(numbers).values()], viewer, into=into)

    # --- absorption -----------------------------------------------------------------------------------------

    async def absorb(self) -> None:
        """Take all arrivals into the mailbox file, which is made if it is not there. Durable.

        One that was there and is lost is not made anew, which would hide that: what arrives waits for it.
        """
        lock = await self._premises.moving(self.account_id)
        try:
            await self._have_file()
            filed = self.file()
            self._premises.locks.mark(self.account_id)
            while filed is not None and (numbers := await _to_its_end(filed.desk.run(self._absorb_batch))):
                removed = await self._premises.committer.run(RemoveArrivals(self.account_id, numbers))
                self._premises.spool.discard(removed.spooled)
            self._premises.locks.unmark(self.account_id)
        finally:
            lock.give_back()

    async def _have_file(self) -> None:
        is_noted = self._premises.residents.look(self.account_id).has_file
        if not self._path.exists():
            self._must_not_be_lost()
            await self._premises.in_thread(self._create)
        if not is_noted:
            await self._premises.committer.run(NoteFile(self.account_id))

    async def _end_what_died(self) -> bool:
        """Write something to the mailbox file if who took arrivals in died in the middle; tells whether so.

        A transaction whose process died before it told the others is seen by nobody, and comes to light when the
        file is next opened from cold: it would bring back letters that are removed meanwhile. Unless another
        transaction takes its place in the log.
        """
        file = self.file()
        if file is None or not self._premises.locks.is_marked(self.account_id):
            return False
        await file.write(lambda mailbox: mailbox.execute("UPDATE folders SET shown = shown + 1"))
        self._premises.locks.unmark(self.account_id)
        return True

    def _create(self) -> None:
        folder = self._path.parent
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(folder.parent)
        self._premises.blank.copy_to(self._path)

    def _absorb_batch(self, mailbox: Connection) -> list[int]:
        """One batch, in a thread; gives the numbers of arrivals that have no business in the office any more."""
        premises = self._premises

        def gather(office: Connection) -> list[arrivals.Arrival]:
            return arrivals.next_arrivals(office, self.account_id, 0)

        def stage(office: Connection) -> list[Staged]:
            return [arrivals.stage_for(mailbox, office, arrival, premises.spool) for arrival in fresh]

        batch = premises.far.run_here(gather)
        done = arrivals.watermark(mailbox, premises.incarnation)
        fresh = [arrival for arrival in batch if arrival.number > done]
        if fresh:
            staged = premises.far.run_here(stage)
            arrivals.absorb(mailbox, list(zip(fresh, staged, strict=True)), premises.incarnation)
        return [arrival.number for arrival in batch]

    # --- looking after it -----------------------------------------------------------------------------------

    async def check(self) -> list[Damage]:
        file = self.file()
        return await file.check() if file is not None else []

    async def sweep(self) -> None:
        """Take away what removed letters left behind, and what a crash did. A file that nobody here has opened waits
        until somebody does: to open it costs more than a login."""
        file = self._opened
        if file is not None and file.is_open and file.ask(contents.needs_sweep):
            await file.desk.run(contents.sweep)

    def rest(self) -> None:
        """Let go of the file; the next verb opens it again."""
        file, self._opened = self._opened, None
        self._cached.clear()
        if file is not None:
            file.rest_later()

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    async def close(self) -> None:
        """Nothing: the office closes it."""


async def _to_its_end(work: Coroutine[None, None, T]) -> T:
    """What a thread does, waited for also by who is cancelled: no lock is given back before its end."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


async def read_spooled(premises: Premises, spooled: Spooled, index: int) -> Piece | None:
    """A piece of a large letter; None if its file has gone meanwhile."""

    def read() -> Piece | None:
        try:
            data, more = premises.spool.read(spooled.name, index, spooled.wire_octets)
        except FileNotFoundError:
            return None
        return Piece(stuff(spooled.prefix) + data if spooled.prefix and not index else data, more)

    return await premises.in_thread(read)
