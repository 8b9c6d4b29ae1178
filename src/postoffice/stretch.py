"""A stretch: what a conversation does between two waits, while nobody else on its loop has a turn.

Who drives conversations numbers their stretches (`net.dialogue`). What was looked up in one need not be looked up again
in it: what the other side knows of the world it knew before the stretch began, so it cannot tell the difference. Each
thread may have a loop, and so a stretch of its own.
"""

from __future__ import annotations

import threading
from itertools import count


class _Current(threading.local):
    number = 0


current = _Current()
"""`current.number` is the stretch that runs in this thread; 0 where none does, and then nothing may be remembered."""

numbers = count(1)
