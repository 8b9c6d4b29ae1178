"""The office: responsibility for letters, the queue, and the mailboxes of its accounts.

Whatever changes `office.db` is a job of the committer; whatever only looks is asked here at once. Mailboxes are
kept open in the order of their last use, as many as the setting says: a handle costs a few hundred kilobytes and
three descriptors.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import partial

from postoffice.database.sqlite import Connection, open_writer, shut, transaction
from postoffice.errors import DamagedStore, StoreError
from postoffice.events import event
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import arrivals, committing, contents
from postoffice.store.embedded.account import AccountMailbox, read_spooled
from postoffice.store.embedded.inspection import inspect
from postoffice.store.embedded.jobs import (
    Accept,
    Claim,
    Expedite,
    GiveSpaceBack,
    Renew,
    accept_job,
    settle_job,
)
from postoffice.store.embedded.locks import HeldLock
from postoffice.store.embedded.places import mailbox_path, office_path
from postoffice.store.embedded.premises import Premises
from postoffice.store.embedded.removal import Removal, unlink_database
from postoffice.store.embedded.spool import SpoolOverflow
from postoffice.store.embedded.staging import GrowingStage
from postoffice.store.model import OWNER, Acceptance, Backlog, Damage, Piece, QueueItem, Settlement

OPEN_MAILBOXES = 256
"""How many mailboxes are kept open."""
COLLECTION_SECONDS = 86_400.0

_WHO_ABSORBS = (
    "SELECT account_id, max(spool IS NOT NULL) FROM arrivals JOIN contents USING (content_id)"
    " WHERE arrived <= ? GROUP BY account_id"
)

_BACKLOG = (  # item_ids grow as letters are accepted, so nothing here reads the items themselves
    "SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM queue WHERE max(due, leased_until) <= ?),"
    " (SELECT accepted FROM queue ORDER BY item_id LIMIT 1)"
)


class EmbeddedOffice:
    """An `Office` in one folder."""

    def __init__(self, premises: Premises, open_mailboxes: int = OPEN_MAILBOXES, absorb_seconds: float = 0.0) -> None:
        self._premises = premises
        self._absorb_seconds = absorb_seconds
        self._limit = open_mailboxes
        self._mailboxes: OrderedDict[int, AccountMailbox] = OrderedDict()
        self._next_collection = 0.0
        self.removal = Removal(premises)

    # --- responsibility -------------------------------------------------------------------------------------

    async def stage(self) -> GrowingStage:
        return GrowingStage(SpoolOverflow(self._premises.spool), looks_at_line_ends=True)

    async def accept(self, acceptance: Acceptance) -> None:
        job = accept_job(acceptance, self._premises.clock)
        try:
            await self._sync(job)
            used = await self._premises.committer.run(job)
        except BaseException:
            self._let_go(job)
            raise
        self._took(job, used=used)

    async def _sync(self, job: Accept) -> None:
        if job.spool is not None:
            await self._premises.in_thread(partial(self._premises.spool.sync, job.spool))

    def _took(self, job: Accept, *, used: bool) -> None:
        if job.spool is None:
            return
        if used:
            self._premises.spool.let_go(job.spool)
        else:
            self._premises.spool.discard([job.spool])

    def _let_go(self, job: Accept) -> None:
        """It was not taken, or nobody knows: `tidy` looks whether a row names its spool file."""
        if job.spool is not None:
            self._premises.spool.let_go(job.spool)

    # --- mailboxes ------------------------------------------------------------------------------------------

    async def mailbox(self, account_id: int) -> AccountMailbox:
        self._premises.residents.look(account_id)  # who does not live here has no mailbox
        mailbox = self._mailboxes.get(account_id)
        if mailbox is None:
            mailbox = self._mailboxes[account_id] = AccountMailbox(self._premises, account_id)
            if len(self._mailboxes) > self._limit:
                self._mailboxes.popitem(last=False)[1].rest()
        else:
            self._mailboxes.move_to_end(account_id)
        return mailbox

    def forget_mailbox(self, account_id: int) -> None:
        """Its account is gone: close the file and take it away."""
        mailbox = self._mailboxes.pop(account_id, None)
        if mailbox is not None:
            mailbox.rest()
        unlink_database(mailbox_path(self._premises.data, account_id))

    async def lock(self, account_id: int, viewer: str = OWNER) -> HeldLock | None:
        return self._premises.locks.take(account_id, viewer)

    # --- the queue ------------------------------------------------------------------------------------------

    async def claim(self, holder: str, now: float, lease_seconds: float, limit: int) -> list[QueueItem]:
        return await self._premises.committer.run(Claim(holder, now, lease_seconds, limit))

    async def renew(self, holder: str, until: float) -> None:
        await self._premises.committer.run(Renew(holder, until))

    async def read_item(self, item: QueueItem, index: int = 0) -> Piece:
        sql = "SELECT content_id, prefix FROM queue WHERE item_id = ?"
        row = self._premises.ask(lambda office: office.execute(sql, (item.item_id,)).fetchone())
        if row is None:
            raise DamagedStore(f"the letter {item.letter_id} is not in the queue")
        content_id, prefix = row
        if item.content.wire_octets or index:
            spooled = self._premises.ask(lambda office: _spooled(office, content_id, prefix))
            if spooled is not None:
                piece = await read_spooled(self._premises, spooled, index)
                if piece is None:
                    raise DamagedStore(f"the octets of the letter {item.letter_id} are not there")
                return piece
        data, more = self._premises.ask(lambda office: contents.read_chunk(office, content_id, index))
        return Piece(stuff(prefix) + data if prefix and not index else data, more)

    async def settle(self, settlement: Settlement) -> bool:
        job = settle_job(settlement, self._premises.clock)
        if job.notice is not None:
            await self._sync(job.notice)
        settled = await self._premises.committer.run(job)
        if job.notice is not None and not settled.is_done:
            self._let_go(job.notice)  # or it was settled before, and nobody heard
        if settled.is_done:
            if job.notice is not None:
                self._took(job.notice, used=settled.is_notice_spool_used)
            self._premises.spool.discard(settled.spooled)
        return settled.is_done

    async def queue(self) -> list[QueueItem]:
        return self._premises.ask(lambda office: committing.items(office, "ORDER BY due, item_id"))

    async def backlog(self, now: float) -> Backlog:
        [row] = self._premises.ask(lambda office: office.execute(_BACKLOG, (now,)).fetchall())
        return Backlog(*row)

    async def next_due(self) -> float | None:
        sql = "SELECT min(max(due, leased_until)) FROM queue"
        row = self._premises.ask(lambda office: office.execute(sql).fetchone())
        return row[0] if row is not None else None

    async def expedite(self, now: float) -> int:
        return await self._premises.committer.run(Expedite(now))

    # --- looking after it -----------------------------------------------------------------------------------

    async def free_octets(self) -> int:
        disk = os.statvfs(self._premises.data)
        return disk.f_bavail * disk.f_frsize

    async def tidy(self) -> None:
        """Accounts that are quiet absorb what lies here long enough; what nothing refers to goes; space is given back.

        Most letters are pulled and deleted before that, and cost nothing more. A large one takes its time, so its
        owner is not locked out meanwhile: a session that shows it finds it where it went. What is wrong with one
        mailbox is told, and keeps nobody else's from being looked after.
        """
        for account_id, is_large in await self._premises.far.run(self._who_absorbs):
            lock = None if is_large else self._premises.locks.take(account_id, OWNER)
            if lock is None and not is_large:
                continue
            try:
                mailbox = await self._unless_gone(account_id)
                if mailbox is not None:
                    await mailbox.absorb()
            except StoreError as error:
                event("mailbox.failed", account_id=account_id, error=str(error))
            finally:
                if lock is not None:
                    lock.give_back()
        for account_id, mailbox in list(self._mailboxes.items()):
            try:
                await mailbox.sweep()
            except StoreError as error:
                event("mailbox.failed", account_id=account_id, error=str(error))
        await self._premises.in_thread(self._collect)
        await self._collect_removed()
        while await self._premises.committer.run(GiveSpaceBack()):
            pass  # step by step, so that letters are accepted between

    def _who_absorbs(self, office: Connection) -> list[tuple[int, bool]]:
        """Accounts with an arrival that is old enough, and whether one of those is large."""
        cutoff = self._premises.clock() - self._absorb_seconds
        return [(account_id, bool(is_large)) for account_id, is_large in office.execute(_WHO_ABSORBS, (cutoff,))]

    async def _unless_gone(self, account_id: int) -> AccountMailbox | None:
        try:
            return await self.mailbox(account_id)
        except StoreError:
            return None

    def _collect(self) -> None:
        """Take away spool files that a crash left, in a thread."""
        self._premises.far.run_here(lambda office: collect_spool(self._premises, office))

    async def _collect_removed(self) -> None:
        """Once a day, since it looks at every file."""
        now = self._premises.clock()
        if not self._next_collection - COLLECTION_SECONDS <= now < self._next_collection:
            self._next_collection = now + COLLECTION_SECONDS
            await self.removal.collect()

    async def check(self) -> list[Damage]:
        def look() -> list[Damage]:
            found = inspect(self._premises.data, vfs=self._premises.vfs)
            return [one for one in found if not one.is_harmless]

        return await self._premises.in_thread(look)

    async def close(self) -> None:
        for mailbox in self._mailboxes.values():
            mailbox.rest()
        self._mailboxes.clear()


def _spooled(office: Connection, content_id: int, prefix: bytes) -> arrivals.Spooled | None:
    row = office.execute("SELECT spool, wire_octets FROM contents WHERE content_id = ?", (content_id,)).fetchone()
    if row is None or row[0] is None:
        return None
    return arrivals.Spooled(row[0], row[1], prefix)


def collect_spool(premises: Premises, office: Connection) -> None:
    """Take away spool files that no row names and nobody is writing.

    The writer of such a file is gone, but its last wish may be with the committer still. So they go in a transaction:
    one that comes later finds its file missing, one that came before has named it. And because that writes, it takes
    the place in the log of one whose process died before it told the others, which would come to light later on.
    """
    if not any(_is_unnamed(office, name) for name, _ in premises.spool.unlocked()):
        return
    writer = open_writer(office_path(premises.data), premises.vfs)
    try:
        with transaction(writer):
            writer.execute("UPDATE office SET directory_generation = directory_generation + 1")
        with transaction(writer):
            for name, _ in premises.spool.unlocked():
                if _is_unnamed(writer, name):
                    (premises.spool.folder / name).unlink(missing_ok=True)
    finally:
        shut(writer)


def _is_unnamed(office: Connection, name: str) -> bool:
    return office.execute("SELECT 1 FROM contents WHERE spool = ?", (name,)).fetchone() is None
