"""What a command that lives for a moment, and moves much, asks of its process."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final, NoReturn

ALLOCATIONS: Final = 10_000
"""After how many new objects the collector looks for circles: what imports make is not looked at again and again."""
KEPT_OCTETS: Final = 32 * 1024 * 1024


def be_quick() -> None:
    """Keep `KEPT_OCTETS` that were freed, and look for circles less often."""
    from postoffice.allocation import keep_freed_memory

    gc.set_threshold(ALLOCATIONS)
    keep_freed_memory(KEPT_OCTETS)


def leave(status: int) -> NoReturn:
    """End now, when all is closed and durable, and nobody waits for anything any more but for the status.

    To take the interpreter apart, object by object, costs as much as to pull two hundred letters.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        sys.exit(status)  # where that is told as it always is
    os._exit(status)
