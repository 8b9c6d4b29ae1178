"""A stretch: what a conversation does between two waits, while nobody else of this process has a turn.

Who drives conversations numbers their stretches (`net.dialogue`). What was looked up in one need not be looked up again
in it: what the other side knows of the world it knew before the stretch began, so it cannot tell the difference.
"""

from __future__ import annotations

from itertools import count

number = 0
"""The stretch that runs now; 0 where no conversation does, and then nothing may be remembered."""

numbers = count(1)
