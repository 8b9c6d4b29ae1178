"""What a command that lives for a moment, and moves much, asks of its process."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

KEPT_OCTETS: Final = 32 * 1024 * 1024

_is_quick = False


def be_quick() -> None:
    """Keep `KEPT_OCTETS` that were freed, for all threads, and end at once when all is done (`leave`)."""
    from postoffice.allocation import keep_freed_memory, share_memory

    global _is_quick
    _is_quick = True
    keep_freed_memory(KEPT_OCTETS)
    share_memory()


def leave(status: int) -> NoReturn:
    """End the process. A quick one has closed all, durably, and nobody waits for anything any more but for the status:
    to take the interpreter apart, object by object, costs as much as to pull two hundred letters.
    """
    if _is_quick:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    sys.exit(status)
