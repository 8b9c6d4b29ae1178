"""A mailbox is one file: folders, entries, contents, what was pulled from where. At the office and at home it is the
same kind of file; moving a mailbox is copying a file.

Reads answer at once on the loop's thread, from a connection that only asks. Writes wait for the disk, so they go to
a thread, on a connection of their own that is opened when the first one comes. A file that is at rest (nobody
asked for a while) has no connection at all; the next verb opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw

from postoffice.clock import Clock, system_clock
from postoffice.database.key import Key
from postoffice.database.migrate import open_prepared, prepare
from postoffice.database.sqlite import (
    Connection,
    Desk,
    open_draft_to_go_on,
    open_reader,
    open_writer,
    shut,
    store_error,
    sync_draft,
    transaction,
    write_back,
)
from postoffice.database.watch import Watch
from postoffice.errors import DamagedStore, StoreError
from postoffice.events import event
from postoffice.net.pause import give_way
from postoffice.store.embedded import chain, contents, folders, pulls, scans, sight
from postoffice.store.embedded.draft import SYNC_AHEAD_OCTETS, Draft
from postoffice.store.embedded.folders import Leave
from postoffice.store.embedded.schema import HAS_SEARCH, MAILBOX
from postoffice.store.embedded.sight import Seen
from postoffice.store.embedded.staging import GrowingStage, RowOverflow
from postoffice.store.identity import new_email_ids
from postoffice.store.model import (
    INBOX,
    Changes,
    Damage,
    Entry,
    Flag,
    Folder,
    Head,
    Letter,
    Piece,
    Pulled,
    Scan,
    Sight,
    Small,
    Snapshot,
    Viewer,
)

if TYPE_CHECKING:
    from postoffice.store.base import MaildropLock

T = TypeVar("T")

PIECES_WITHOUT_A_BREAK = 4
"""So many pieces of a large letter are read in one go; then others, who wait, come first."""

WRITE_BACK_OCTETS_AT_HOME = 16 * 1024 * 1024
"""At what length the log of a mailbox at home is written back: one file is open there, and not hundreds, and what is
pulled comes all at once. Four times the length asks for a third of the syncs."""

WRITE_BACK_AHEAD_OCTETS = 2 * 1024 * 1024
"""After so many octets of letters the log of a mailbox at home is written back in a thread that nobody waits for, while
the next letters come: whoever closes the file waits for the last of it alone."""

CACHE_OCTETS = 1 << 18
"""What each of a mailbox's connections may keep: hundreds of mailboxes may be open, and the kernel has a cache too."""

CACHE_OCTETS_AT_HOME = 1 << 21
"""What the connection that writes may keep of a mailbox at home: all that a batch of letters changes goes to the log
once, at the commit, and is not read again before."""


class MailboxFile:
    """A `Mailbox` in a file."""

    def __init__(
        self, path: Path, pool: ThreadPoolExecutor, clock: Clock, vfs: str | None = None, key: Key | None = None
    ) -> None:
        self.path = path
        self.key = key
        self._clock = clock
        self._vfs = vfs
        self._pool = pool
        self._own_pool: ThreadPoolExecutor | None = None
        self._draft: Draft | None = None
        self._begins_chain = False
        self._not_written = 0
        self._writing: Future[None] | None = None
        self._near: Connection | None = None
        self._watch: Watch | None = None
        self.desk = Desk(path, pool, self._open_writer)
        self._far = Desk(path, pool, lambda _: open_reader(self._lies_at, vfs, CACHE_OCTETS, key))
        self._version = -1
        self._shown: dict[tuple[str | None, str], Seen] = {}

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        create: bool = False,
        clock: Clock = system_clock,
        vfs: str | None = None,
        sweeps: bool = True,
        key: Key | None = None,
        begins_chain: bool = True,
    ) -> MailboxFile:
        """A mailbox at home. A damaged or foreign file, or one of a newer version, is a `DamagedStore`.

        `sweeps`: what nothing refers to is taken away now. `key` is that of a file that is encrypted, or shall be.
        `begins_chain`: what is done to its letters shall be told by a `chain`, which nobody needs of a spool.
        """
        prepare(path, MAILBOX, create=create, vfs=vfs, key=key)
        pool = ThreadPoolExecutor(2, thread_name_prefix="mailbox")
        mailbox = cls(path, pool, clock, vfs, key)
        mailbox._own_pool = pool
        mailbox._begins_chain = begins_chain
        try:
            if sweeps and mailbox.ask(contents.needs_sweep):
                mailbox.desk.run_here(contents.sweep)
        except BaseException:
            mailbox.rest()
            pool.shutdown()
            raise
        return mailbox

    @classmethod
    def begin(cls, draft: Draft, *, clock: Clock = system_clock, vfs: str | None = None) -> MailboxFile:
        """A mailbox at home that is not there yet, with a chain; `draft` was begun. It gets its name when it is
        settled, at the latest when it is closed: letters that are appended, and `may_wait`, are put into it before.
        """
        pool = ThreadPoolExecutor(2, thread_name_prefix="mailbox")
        mailbox = cls(draft.path, pool, clock, vfs)
        mailbox._own_pool = pool
        mailbox._begins_chain = True
        mailbox._draft = draft
        return mailbox

    @property
    def _lies_at(self) -> Path:
        return self.path if self._draft is None else self._draft.lies_at

    def _open_writer(self, path: Path) -> Connection:
        """SQLite would make a file that was taken away meanwhile anew, and nobody would see that it is lost."""
        if not self._lies_at.exists():
            raise DamagedStore(f"{path} is not {MAILBOX.name}: it is not there")
        if self._own_pool is None:
            return open_writer(path, self._vfs, CACHE_OCTETS, self.key)
        if self._draft is not None:
            connection = open_draft_to_go_on(self._lies_at, self._vfs, CACHE_OCTETS_AT_HOME)
        else:
            connection = open_writer(path, self._vfs, CACHE_OCTETS_AT_HOME, self.key, WRITE_BACK_OCTETS_AT_HOME)
        if self._begins_chain:
            try:
                chain.begin(connection)
            except apsw.Error as error:
                shut(connection)
                raise store_error(error, path) from error
        return connection

    # --- reading: at once -----------------------------------------------------------------------------------

    def near(self) -> Connection:
        """The connection of the loop's thread."""
        if self._near is None:
            with self._draft.turn if self._draft is not None else nullcontext():
                self._near = open_prepared(self._lies_at, MAILBOX, self._vfs, CACHE_OCTETS, self.key)
        return self._near

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask something now."""
        try:
            return question(self._near or self.near())
        except apsw.Error as error:
            raise store_error(error, self.path) from error

    async def snapshot(self, viewer: str | None = None, folder: str = INBOX) -> Snapshot:
        return self.seen(viewer, folder).snapshot

    def seen(self, viewer: str | None, folder: str) -> Seen:
        """The cached one, if no other connection wrote since, or what it wrote altered nobody's sight here."""
        near = self._near or self.near()
        try:
            version = (self._watch or self._begin_watch(near)).version()
            if version != self._version:
                self._version = version
                self._forget_outdated(near)
            seen = self._shown.get((viewer, folder))
            if seen is None:
                with near:
                    seen = self._shown[viewer, folder] = sight.texts(near, viewer, folder).seen()
            return seen
        except apsw.Error as error:
            raise store_error(error, self.path) from error

    def _begin_watch(self, near: Connection) -> Watch:
        self._watch = Watch(near)
        return self._watch

    def _forget_outdated(self, near: Connection) -> None:
        now = sight.shown(near) if self._shown else {}
        self._shown = {name: seen for name, seen in self._shown.items() if now.get(name[1]) == seen.shown}

    async def read(self, keys: Sequence[int], index: int = 0) -> list[Piece | None]:
        if index and index % PIECES_WITHOUT_A_BREAK == 0:
            await give_way()
        return self.ask(lambda connection: sight.pieces(connection, keys, index))

    async def read_small(self, keys: Sequence[int]) -> Sequence[Small]:
        return self.ask(lambda connection: sight.smalls(connection, keys))

    async def content_file(self, key: int) -> None:
        """None has: a mailbox is one file."""

    async def describe(self, keys: Sequence[int]) -> list[Entry | None]:
        return self.ask(lambda connection: sight.entries(connection, keys))

    async def heads(self, keys: Sequence[int], octets: int) -> list[Head | None]:
        """About so many octets of the beginning of each letter, in their order; None for a letter that is gone.

        For lists of many letters: it costs what the beginnings cost, however large the letters are.
        """
        return self.ask(lambda connection: sight.heads(connection, keys, octets))

    async def changes(self, since: int, folder: str = INBOX) -> Changes:
        return self.ask(lambda connection: sight.changes(connection, since, folder))

    async def folders(self) -> list[Folder]:
        return self.ask(sight.all_folders)

    async def viewers(self) -> list[Viewer]:
        rows = self.ask(lambda near: near.execute("SELECT name, holds FROM viewers ORDER BY name").fetchall())
        return [Viewer(name, Sight.HOLDS if holds else Sight.RESTS) for name, holds in rows]

    async def sources(self) -> list[str]:
        return self.ask(pulls.sources)

    async def pulled(self, source: str) -> dict[str, Pulled]:
        return await self._far.run(lambda connection: pulls.pulled(connection, source))

    async def tallies(self) -> list[tuple[str, int, int]]:
        """Of each folder its name, how many letters it has, how many of them are not read: 0.1 µs for each letter."""
        return await self._far.run(sight.tallies)

    async def unread(self, folder: str = INBOX) -> Sequence[int]:
        """The keys of the letters of a folder that are not read, oldest first."""
        return await self._far.run(lambda connection: sight.unread(connection, folder))

    async def scans(self, contents: Sequence[bytes]) -> list[Scan | None]:
        return await self._far.run(lambda connection: [scans.said(connection, sha256) for sha256 in contents])

    async def to_scan(self, folder: str, signatures: str | None) -> list[int]:
        return await self._far.run(lambda connection: scans.to_scan(connection, folder, signatures))

    def has_index(self) -> bool:
        """Whether it was ever searched (`index`)."""
        return bool(self.ask(lambda near: near.execute(HAS_SEARCH).get))

    # --- writing: durable, in a thread ----------------------------------------------------------------------

    async def write(self, change: Callable[[Connection], T]) -> T:
        """One durable transaction. A file that was taken away meanwhile is a `StoreError`: nobody would read it."""
        answer = await self._commit(change)
        if self._draft is not None:
            await self.settle()
        return answer

    async def _commit(self, change: Callable[[Connection], T]) -> T:
        """The same, but for a draft: what is in it waits until it is settled."""

        def work(connection: Connection) -> T:
            with transaction(connection):
                if not self._lies_at.exists():
                    raise StoreError(f"{self.path} was taken away")
                return change(connection)

        return await self.desk.run(work)

    async def stage(self) -> GrowingStage:
        return GrowingStage(RowOverflow(self.desk))

    async def append(
        self, letters: Sequence[Letter], when_put: Callable[[], object] | None = None, *, may_wait: bool = False
    ) -> list[int]:
        now = self._clock()
        email_ids = new_email_ids(now, len(letters))
        loop = asyncio.get_running_loop()

        def change(connection: Connection) -> list[int]:
            keys = folders.append(connection, letters, email_ids, now)
            if when_put is not None:
                loop.call_soon_threadsafe(when_put)
            return keys

        keys = await (self._commit(change) if may_wait else self.write(change))
        self._write_back_ahead(sum(letter.staged.content.wire_octets for letter in letters))
        return keys

    async def settle(self, *, at_once: bool = True) -> bool:
        draft = self._draft
        if draft is None:
            return True
        if not (at_once or draft.is_due()):
            return False
        draft.turn.acquire()  # whoever asks for a new connection waits until the file has its name
        self._shut_near()
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._pool, self._put_in_place, draft))
        return True

    def _put_in_place(self, draft: Draft) -> None:
        """Sync it and give it its name. The caller has its `turn`."""

        def move() -> None:
            draft.put_in_place()
            self._draft = None

        try:
            if self._draft is draft:
                self._far.close()
                self.desk.move(sync_draft, move)
        finally:
            draft.turn.release()

    def _write_back_ahead(self, octets: int) -> None:
        if self._own_pool is None:
            return
        limit, work = WRITE_BACK_AHEAD_OCTETS, self._write_back
        draft = self._draft
        if draft is not None:
            draft.octets += octets
            limit, work = SYNC_AHEAD_OCTETS, draft.sync_ahead
        self._not_written += octets
        if self._not_written >= limit and (self._writing is None or self._writing.done()):
            self._not_written = 0
            self._writing = self._own_pool.submit(work)

    def _write_back(self) -> None:
        """What cannot be written now is in the log still, and whoever closes the file last writes it."""
        with suppress(StoreError):
            self._far.run_here(write_back)

    async def note(self, source: str, notes: Mapping[str, Pulled]) -> None:
        if notes:
            await self.write(lambda connection: pulls.note(connection, source, notes))

    async def judge(self, scanned: Mapping[bytes, Scan], moves: Mapping[str, Sequence[int]]) -> None:
        now = self._clock()

        def change(connection: Connection) -> None:
            for sha256, scan in scanned.items():
                scans.note(connection, sha256, scan)
            for folder, keys in moves.items():
                folders.move(connection, keys, folder, now)

        if scanned or moves:
            await self.write(change)

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        if not keys:
            self.seen(viewer, INBOX)
            return
        leave = self._leave(into)
        await self.write(lambda connection: folders.remove(connection, keys, viewer, leave))
        self.sweep_later()

    def _leave(self, into: str | None) -> Leave:
        return folders.forget if into is None else partial(folders.move, name=into, now=self._clock())

    async def move(self, keys: Sequence[int], folder: str) -> list[int]:
        now = self._clock()
        return await self.write(lambda connection: folders.move(connection, keys, folder, now))

    async def flag(self, keys: Sequence[int], flags: Flag) -> None:
        await self.write(lambda connection: folders.flag(connection, keys, flags))

    async def create_folder(self, name: str) -> None:
        def change(connection: Connection) -> None:
            if name in sight.shown(connection):
                raise StoreError(f"there is a folder {name} already")
            connection.execute("INSERT INTO folders (name) VALUES (?)", (name,))

        await self.write(change)

    async def set_viewer(self, name: str, sight: Sight, into: str | None = None) -> None:
        leave = self._leave(into)
        await self.write(lambda connection: folders.set_viewer(connection, name, sight, leave))
        self.sweep_later()

    def sweep_later(self) -> None:
        """Take away in a thread what was removed, if it is enough to be worth it. Nobody waits for it."""
        if self.ask(contents.needs_sweep):
            self._pool.submit(self._sweep)

    def _sweep(self) -> None:
        try:
            self.desk.run_here(contents.sweep)
        except StoreError as error:
            event("store.sweep_failed", file=self.path.name, because=str(error))

    # --- looking after it -----------------------------------------------------------------------------------

    async def check(self) -> list[Damage]:
        from postoffice.store.embedded.soundness import wrong_in_mailbox

        return await self._far.run(lambda connection: list(wrong_in_mailbox(connection, self.path.name)))

    def rest(self) -> None:
        """Close every connection; the log is written back by the last one. The next verb opens the file again."""
        self._let_go()()

    def rest_later(self) -> None:
        """The same, in a thread, if there is anything to close."""
        is_open = self.is_open
        close = self._let_go()
        if is_open:
            self._pool.submit(close)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to it in this process."""
        return self._near is not None or self._far.is_open or self.desk.is_open

    def _let_go(self) -> Callable[[], None]:
        near = self._without_near()

        def close() -> None:
            if near is not None:
                shut(near)
            self._far.close()
            self.desk.close()

        return close

    def _shut_near(self) -> None:
        near = self._without_near()
        if near is not None:
            shut(near)

    def _without_near(self) -> Connection | None:
        """It is asked no more; gives it, to be shut."""
        near, self._near, self._watch = self._near, None, None
        self._shown.clear()
        return near

    async def close(self) -> None:
        if self._own_pool is not None:
            self._own_pool.shutdown(wait=True)
        try:
            if self._draft is not None:
                self._draft.turn.acquire()
                self._shut_near()
                self._put_in_place(self._draft)
        finally:
            self.rest()
