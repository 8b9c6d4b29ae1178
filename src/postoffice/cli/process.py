"""What a command that lives for a moment, and moves much, asks of its process."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

ALLOCATIONS: Final = 10_000
"""After how many new objects the collector looks for circles: what imports make is not looked at again and again."""
KEPT_OCTETS: Final = 32 * 1024 * 1024
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def be_quick() -> None:
    """Let the C library keep up to `KEPT_OCTETS` that were freed, instead of giving back each buffer that held a piece
    of a letter, and asking for it again: what the kernel gives it fills with zeros first.

    Another C library than that of GNU has no such thing, and goes on as it is. The collector looks less often.
    """
    import ctypes

    gc.set_threshold(ALLOCATIONS)
    with suppress(OSError, AttributeError):
        tune = ctypes.CDLL(None).mallopt
        tune(_TRIM_THRESHOLD, KEPT_OCTETS)
        tune(_MMAP_THRESHOLD, KEPT_OCTETS)


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
