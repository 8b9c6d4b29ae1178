"""All conversations of a process: how many they are, who has been silent for too long, and the end of all of them.

One timer for all connections instead of one each: every second it looks at each conversation that waits for its peer.
A conversation that waits for *us* (the store, a password hash) is never timed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from postoffice.events import event, turn
from postoffice.net.dialogue import Dialogue, Tracer

if TYPE_CHECKING:
    from postoffice.net.crowd import Crowd, Limit

SWEEP_SECONDS = 1.0


class Switchboard:
    """Made inside a running loop. `tracer` gives a listener for the octets of each conversation, if one is wanted;
    `crowd` knows how many callers there may be: without one, they are not counted; `turn` says whose it is in the
    loop's thread; `process` is our own number."""

    def __init__(
        self, tracer: Callable[[Dialogue[Any]], Tracer | None] | None = None, crowd: Crowd | None = None
    ) -> None:
        self.is_draining = False
        self.tracer = tracer
        self.crowd = crowd
        self._dialogues: set[Dialogue[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.turn = turn()
        self.process = os.getpid()
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._tick)
        self._emptied: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._dialogues)

    def add(self, dialogue: Dialogue[Any]) -> Limit | None:
        """Tells if it is one too many: then it only hears that."""
        self._dialogues.add(dialogue)
        if self.crowd is None or dialogue.counted_as is not None or not dialogue.door:
            return None
        limit = self.crowd.enter(dialogue.door, dialogue.peer[0])
        if limit is None:
            dialogue.counted_as = dialogue.peer[0]
        return limit

    def remove(self, dialogue: Dialogue[Any]) -> None:
        self._dialogues.discard(dialogue)
        if self.crowd is not None and dialogue.counted_as is not None:
            self.crowd.leave(dialogue.door, dialogue.counted_as)
            dialogue.counted_as = None
        if not self._dialogues and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def drain(self, seconds: float) -> None:
        """End every conversation that stands between two commands, wait for the others, then end those too."""
        self.is_draining = True
        for dialogue in tuple(self._dialogues):
            dialogue.drain()
        if self._dialogues:
            self._emptied = self._loop.create_future()
            try:
                await asyncio.wait_for(self._emptied, seconds)
            except TimeoutError:
                event("switchboard.cut", conversations=len(self._dialogues))
        self.close()

    def close(self) -> None:
        """Cut everything and stop the timer."""
        self._timer.cancel()
        for dialogue in tuple(self._dialogues):
            dialogue.abort()

    def sweep(self) -> None:
        """End every conversation whose peer was silent for too long or is too slow."""
        for dialogue in tuple(self._dialogues):
            if dialogue.waits_for_peer:
                dialogue.look_at_pace()

    def _tick(self) -> None:
        self.sweep()
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._tick)
