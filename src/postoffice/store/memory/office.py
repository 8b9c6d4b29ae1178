"""Responsibility for letters: the queue, and the mailboxes by account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from postoffice.clock import Clock
from postoffice.errors import DamagedStore, StoreError
from postoffice.store.memory.mailbox import MemoryMailbox
from postoffice.store.memory.shelf import Kept, MemoryStage, Shelf
from postoffice.store.model import (
    OWNER,
    Acceptance,
    Backlog,
    Damage,
    Letter,
    Piece,
    QueueItem,
    RecipientState,
    Settlement,
)

ROOM_OCTETS = 1 << 30
"""How much memory the engine offers for letters."""


@dataclass(slots=True)
class _Waiting:
    """A queue item, its content, and who carries it: nobody if empty."""

    item: QueueItem
    kept: Kept
    holder: str = ""

    @property
    def next_time(self) -> float:
        return self.item.leased_until if self.holder else self.item.due


@dataclass(slots=True)
class MemoryLock:
    _held: set[tuple[int, str]]
    _name: tuple[int, str]
    _is_held: bool = True

    async def release(self) -> None:
        if self._is_held:
            self._held.discard(self._name)
            self._is_held = False


class MemoryOffice:
    """The queue by item id, and the mailboxes by account id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shelf = Shelf()
        self._mailboxes: dict[int, MemoryMailbox] = {}
        self._queue: dict[int, _Waiting] = {}
        self._next_item = count(1)
        self._locks: set[tuple[int, str]] = set()

    def open_mailbox(self, account_id: int, mailbox: MemoryMailbox | None = None) -> None:
        self._mailboxes[account_id] = mailbox or MemoryMailbox(self._shelf, self._clock)

    def drop_mailbox(self, account_id: int) -> None:
        self._mailboxes.pop(account_id, None)

    async def stage(self) -> MemoryStage:
        return MemoryStage(looks_at_line_ends=True)

    async def accept(self, acceptance: Acceptance) -> None:
        self._accept(acceptance)

    def _accept(self, acceptance: Acceptance) -> None:
        boxes = [self._mailbox(delivery.account_id) for delivery in acceptance.local]
        kept = self._shelf.keep(acceptance.staged)
        for box, delivery in zip(boxes, acceptance.local, strict=True):
            box.add(Letter(acceptance.staged, acceptance.accepted, delivery.prefix), kept, acceptance.accepted)
        by_domain: dict[str, list[str]] = {}
        for recipient in acceptance.remote:
            by_domain.setdefault(recipient.rpartition("@")[2], []).append(recipient)
        for domain, recipients in by_domain.items():
            item = QueueItem(
                item_id=next(self._next_item),
                letter_id=acceptance.letter_id,
                domain=domain,
                reverse_path=acceptance.reverse_path,
                recipients=tuple(recipients),
                content=kept.content,
                prefix=acceptance.relay_prefix,
                accepted=acceptance.accepted,
                due=acceptance.accepted,
                expires=acceptance.expires,
                attempts=0,
                leased_until=0.0,
                needs_smtputf8=acceptance.needs_smtputf8,
            )
            self._queue[item.item_id] = _Waiting(item, kept)

    async def mailbox(self, account_id: int) -> MemoryMailbox:
        return self._mailbox(account_id)

    def _mailbox(self, account_id: int) -> MemoryMailbox:
        if account_id not in self._mailboxes:
            raise StoreError(f"there is no account {account_id}")
        return self._mailboxes[account_id]

    async def lock(self, account_id: int, viewer: str = OWNER) -> MemoryLock | None:
        name = account_id, viewer
        if name in self._locks:
            return None
        self._locks.add(name)
        return MemoryLock(self._locks, name)

    async def claim(self, holder: str, now: float, lease_seconds: float, limit: int) -> list[QueueItem]:
        ready = [waiting for waiting in self._by_due() if max(waiting.item.due, waiting.next_time) <= now]
        for waiting in ready[:limit]:
            waiting.holder = holder
            waiting.item = replace(waiting.item, leased_until=now + lease_seconds)
        return [waiting.item for waiting in ready[:limit]]

    async def renew(self, holder: str, until: float) -> None:
        for waiting in self._queue.values():
            if waiting.holder == holder:
                waiting.item = replace(waiting.item, leased_until=until)

    async def read_item(self, item: QueueItem, index: int = 0) -> Piece:
        waiting = self._queue.get(item.item_id)
        if waiting is None:
            raise DamagedStore(f"the letter {item.letter_id} is not in the queue")
        return waiting.kept.piece(item.prefix, index)

    async def settle(self, settlement: Settlement) -> bool:
        waiting = self._queue.get(settlement.item_id)
        if waiting is None or not waiting.holder or waiting.holder != settlement.holder:
            return False
        if settlement.notice is not None:
            self._accept(settlement.notice)
        item, outcomes = waiting.item, settlement.outcomes
        still = [
            recipient
            for recipient in item.recipients
            if outcomes.get(recipient, RecipientState.WAITING) is RecipientState.WAITING
        ]
        if not still:
            del self._queue[item.item_id]
            return True
        waiting.holder = ""
        waiting.item = replace(
            item,
            recipients=tuple(still),
            attempts=item.attempts + 1,
            due=settlement.due,
            leased_until=0.0,
            last_reply=settlement.last_reply,
        )
        return True

    async def queue(self) -> list[QueueItem]:
        return [waiting.item for waiting in self._by_due()]

    def _by_due(self) -> list[_Waiting]:
        return sorted(self._queue.values(), key=lambda waiting: (waiting.item.due, waiting.item.item_id))

    async def backlog(self, now: float) -> Backlog:
        due = sum(waiting.next_time <= now for waiting in self._queue.values())
        first = next(iter(self._queue.values()), None)
        return Backlog(len(self._queue), due, first.item.accepted if first else None)

    async def next_due(self) -> float | None:
        return min((waiting.next_time for waiting in self._queue.values()), default=None)

    async def expedite(self, now: float) -> int:
        idle = [waiting for waiting in self._queue.values() if not waiting.holder]
        for waiting in idle:
            waiting.item = replace(waiting.item, due=min(waiting.item.due, now))
        return len(idle)

    async def free_octets(self) -> int:
        return max(0, ROOM_OCTETS - self._shelf.octets())

    async def tidy(self) -> None:
        """Nothing ever lies where it does not belong."""

    async def check(self) -> list[Damage]:
        return self._shelf.check()

    async def close(self) -> None:
        self._locks.clear()
