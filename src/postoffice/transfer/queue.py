"""The queue's runner: takes what is due, has it carried, records what became of it.

    waiting ──claim──▶ carried ──settle──▶ gone            every recipient delivered or failed
       ▲                  │ ──settle──▶ waiting            some are left: due again later
       └──lease ends──────┘                                the carrier died; somebody else goes on

Any number of runners in any number of processes may work on one queue; a lease keeps them apart, and is renewed
only while somebody carries. A letter is carried at least once and, as long as carriers do not die between the other
side's 250 and our note of it, exactly once (RFC 5321 §6.1 can promise no more): a store that is away when the note
is taken to it is asked again.
"""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections import Counter
from dataclasses import dataclass

from postoffice.clock import Clock, system_clock
from postoffice.errors import StoreError, StoreUnavailable
from postoffice.events import event
from postoffice.message.notice import Fate
from postoffice.store.base import Office
from postoffice.store.model import QueueItem, RecipientState, Settlement
from postoffice.transfer.bounce import make_notice
from postoffice.transfer.courier import Courier
from postoffice.transfer.intake import Intake
from postoffice.transfer.line import Outcome

SETTLE_SECONDS = 1.0
"""After how long a store that was away is asked again to note what was carried."""

_FAILED_HERE = "something went wrong in this office"


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`retry_minutes`: how long to wait after the first, second ... try; the last one repeats (RFC 5321 §4.5.4.1)."""

    retry_minutes: tuple[float, ...] = (5, 15, 30, 60, 120, 240)
    carriers: int = 20
    lease_seconds: float = 600.0
    poll_seconds: float = 30.0


class QueueRunner:
    """One per process. `wake` it when something was queued."""

    def __init__(
        self,
        office: Office,
        intake: Intake,
        courier: Courier,
        settings: QueueSettings | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._office = office
        self._intake = intake
        self._courier = courier
        self._settings = settings or QueueSettings()
        self._clock = clock
        self._life = secrets.token_hex(8)
        self._claims = 0
        self._awake = asyncio.Event()
        self._carried: Counter[str] = Counter()  # by holder: one claim each, so that its lease ends with it
        self._is_stopping = False

    def wake(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        """Carry nothing more; `run` ends when what is carried now is settled."""
        self._is_stopping = True
        self.wake()

    async def run(self) -> None:
        """Until stopped or cancelled."""
        async with asyncio.TaskGroup() as carriers:
            keeper = carriers.create_task(self._keep_leases())
            await self._hand_out(carriers)
            while self._carried:
                self._awake.clear()
                await self._awake.wait()
            keeper.cancel()

    async def _hand_out(self, carriers: asyncio.TaskGroup) -> None:
        """What is due to carriers, until stopped."""
        while not self._is_stopping:
            self._awake.clear()
            try:
                holder = f"{self._life}.{self._claims}"
                self._claims += 1
                for item in await self._claim(holder):
                    self._carried[holder] += 1
                    carriers.create_task(self._carry(item, holder))
                pause = await self._pause()
            except Exception as error:
                # Whatever it was: the queue goes on, a little later.
                event("queue.failed", error=_trace(error))
                pause = self._settings.poll_seconds
            if self._is_stopping:
                return
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def _keep_leases(self) -> None:
        """What takes longer than a lease stays ours."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            for holder in tuple(self._carried):
                try:
                    await self._office.renew(holder, self._clock() + self._settings.lease_seconds)
                except StoreError as error:
                    event("queue.failed", error=str(error))

    async def _claim(self, holder: str) -> list[QueueItem]:
        room = self._settings.carriers - self._carried.total()
        if room <= 0:
            return []
        return await self._office.claim(holder, self._clock(), self._settings.lease_seconds, room)

    async def _pause(self) -> float:
        """How long there is nothing to do, unless somebody wakes us."""
        if self._carried.total() >= self._settings.carriers:
            return self._settings.poll_seconds
        due = await self._office.next_due()
        if due is None:
            return self._settings.poll_seconds
        return min(max(due - self._clock(), 0.05), self._settings.poll_seconds)

    async def _carry(self, item: QueueItem, holder: str) -> None:
        try:
            await self._settle(item, holder, await self._outcome(item))
        except asyncio.CancelledError:
            await self._give_back(item, holder)
            raise
        except Exception as error:
            # Whatever it was, it is temporary: the lease ends, and the letter is tried again.
            event("queue.failed", letter=item.letter_id, error=_trace(error))
        finally:
            self._carried[holder] -= 1
            self._carried += Counter()  # forgets who carries nothing
            self.wake()

    async def _outcome(self, item: QueueItem) -> Outcome:
        """What became of a try; one that failed here is a try like any other, and ends when the letter expires."""
        try:
            return await self._courier.carry(item)
        except Exception as error:
            event("queue.failed", letter=item.letter_id, error=_trace(error))
            return Outcome(last_reply=_FAILED_HERE)

    async def _give_back(self, item: QueueItem, holder: str) -> None:
        """We are being stopped: whoever comes next may carry it at once. Without effect on what was settled."""
        try:
            await self._office.settle(Settlement(item.item_id, holder, due=self._clock(), last_reply=item.last_reply))
        except StoreError as error:
            event("queue.failed", letter=item.letter_id, error=str(error))

    async def _settle(self, item: QueueItem, holder: str, outcome: Outcome) -> None:
        """✍ What the other side said becomes our record, and the sender's notice with it."""
        now = self._clock()
        waiting = [r for r in item.recipients if r not in outcome.delivered and r not in outcome.failed]
        failed = dict(outcome.failed)
        if waiting and now >= item.expires:
            failed |= {r: Fate(r, "4.4.7", outcome.last_reply or "no answer") for r in waiting}
            waiting = []
        notice = (
            await make_notice(item, list(failed.values()), self._intake, self._office, self._clock) if failed else None
        )
        outcomes = dict.fromkeys(outcome.delivered, RecipientState.DELIVERED)
        outcomes |= dict.fromkeys(failed, RecipientState.FAILED)
        minutes = self._settings.retry_minutes
        due = now + 60 * minutes[min(item.attempts, len(minutes) - 1)]
        settlement = Settlement(item.item_id, holder, outcomes, due, outcome.last_reply, notice)
        if not await self._noted(settlement):
            event("queue.lease_lost", letter=item.letter_id)
            return
        for recipient in outcome.delivered:
            event("letter.relayed", letter=item.letter_id, recipient=recipient, host=outcome.host, tls=outcome.tls)
        for fate in failed.values():
            event("letter.failed", letter=item.letter_id, recipient=fate.recipient, reply=fate.diagnostic)
        if waiting:
            event("letter.deferred", letter=item.letter_id, reply=outcome.last_reply, due=round(due))
        if notice is not None and notice.remote:
            self.wake()

    async def _noted(self, settlement: Settlement) -> bool:
        """What was said there cannot be unsaid, so a store that is away is asked until it answers.

        One that noted it and was not heard says no to the second time, as it does where the lease is another's.
        """
        while True:
            try:
                return await self._office.settle(settlement)
            except StoreUnavailable as error:
                event("queue.failed", error=str(error))
                await asyncio.sleep(SETTLE_SECONDS)


def _trace(error: Exception) -> str:
    return str(error) if isinstance(error, StoreError) else "".join(traceback.format_exception(error))
