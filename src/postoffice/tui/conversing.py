"""The conversations of a folder, found in a thread: a hundred thousand heads are read, and no key waits for it.

It opens the file a second time, read-only in effect, and gives up between two flights of letters when it is stopped.
"""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable, Sequence
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.home.letters import heads
from postoffice.home.mailbox import opening
from postoffice.message import header
from postoffice.message.mime.threads import Reply, Thread, reply, threads
from postoffice.tui.finding import Stopped
from postoffice.tui.listings import Kind, Listing

if TYPE_CHECKING:
    from postoffice.database.key import Key
    from postoffice.store.embedded import MailboxFile
    from postoffice.store.model import Snapshot

_FLIGHT: Final = 64
"""Letters whose beginnings are read together."""

_TOLD: Final = 2048
"""After how many letters it is told how far it is."""

DEEPEST: Final = 255


class Conversing:
    """Once, for one snapshot of a folder."""

    def __init__(self, file: Path, key: Key | None, snapshot: Snapshot, told: Callable[[int, int], None]) -> None:
        """`told` hears, from the thread, how many heads were read, of how many."""
        self._file = file
        self._key = key
        self._snapshot = snapshot
        self._told = told
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        self._is_stopped.set()

    async def listing(self) -> Listing:
        """The conversation with the latest letter first; in each the letters as they were written. Stopped."""
        return await asyncio.to_thread(lambda: asyncio.run(self._found()))

    async def _found(self) -> Listing:
        mailbox = opening(self._file, sweeps=False, key=self._key)()
        try:
            replies = await self._replies(mailbox)
        finally:
            await mailbox.close()
        return _listed(threads(replies), self._snapshot)

    async def _replies(self, mailbox: MailboxFile) -> list[Reply]:
        keys, replies = self._snapshot.keys, []
        for start in range(0, len(keys), _FLIGHT):
            if self._is_stopped.is_set():
                raise Stopped("nobody waits for the conversations any more")
            if start % _TOLD == 0:
                self._told(start, len(keys))
            flight = keys[start : start + _FLIGHT]
            for index, head in enumerate(await heads(mailbox, flight), start):
                text, came = (b"", 0.0) if head is None else (head.beginning, head.internal_date)
                replies.append(reply(keys[index], text, _written(text, came)))
        return replies


def _written(head: bytes, came: float) -> float:
    """When, in seconds since 1970; where that cannot be read, when it came."""
    try:
        found = parsedate_tz(header.decoded(head, b"Date"))
        return came if found is None else float(mktime_tz(found))
    except (ValueError, TypeError, OverflowError, IndexError):
        return came


def _listed(found: Sequence[Thread], snapshot: Snapshot) -> Listing:
    numbers = {key: number for number, key in enumerate(snapshot.keys, 1)}
    rows = [row for thread in reversed(found) for row in thread]
    return Listing(
        Kind.THREADS,
        array("q", (row.key for row in rows)),
        array("q", (numbers[row.key] for row in rows)),
        array("B", (min(row.depth, DEEPEST) for row in rows)),
    )
