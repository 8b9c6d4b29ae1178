"""The conversations of a folder, found in a thread: a hundred thousand heads are read, and no key waits for it.

It opens the file a second time, read-only in effect, and gives up between two flights of letters when it is stopped.
"""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.home.conversations import replies
from postoffice.home.letters import FLIGHT
from postoffice.home.mailbox import opening
from postoffice.message.mime.threads import Thread, threads
from postoffice.tui.finding import Stopped
from postoffice.tui.listings import Kind, Listing

if TYPE_CHECKING:
    from postoffice.database.key import Key
    from postoffice.store.model import Snapshot

_TOLD: Final = 8 * FLIGHT
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
            found = await replies(mailbox, self._snapshot.keys, self._hear)
        finally:
            await mailbox.close()
        return _listed(threads(found), self._snapshot)

    def _hear(self, done: int) -> None:
        if self._is_stopped.is_set():
            raise Stopped("nobody waits for the conversations any more")
        if done % _TOLD == 0:
            self._told(done, len(self._snapshot.keys))


def _listed(found: Sequence[Thread], snapshot: Snapshot) -> Listing:
    numbers = {key: number for number, key in enumerate(snapshot.keys, 1)}
    rows = [row for thread in reversed(found) for row in thread]
    return Listing(
        Kind.THREADS,
        array("q", (row.key for row in rows)),
        array("q", (numbers[row.key] for row in rows)),
        array("B", (min(row.depth, DEEPEST) for row in rows)),
    )
