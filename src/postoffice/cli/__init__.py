"""The commands. What their imports make stays as long as they run, so from the first line on the collector of circles
looks less often; it would look through all of it forty times before a command begins.
"""

from __future__ import annotations

import gc
from typing import Final

ALLOCATIONS: Final = 50_000
"""After how many new objects it looks."""

gc.set_threshold(ALLOCATIONS)
