"""What a process asks of the C library's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # of mallopt(3)
LARGEST_OCTETS: Final = 32 * 1024 * 1024
"""The most that the GNU C library takes for what a buffer may have and still not be mapped for itself."""


GROWTH_OCTETS: Final = 1024 * 1024


def keep_freed_memory(octets: int, largest_octets: int = LARGEST_OCTETS) -> None:
    """Let the C library keep up to so many octets that were freed, instead of giving back each buffer that held a piece
    of a letter, and asking for it again: what the kernel gives it fills with zeros first, page by page, which takes
    longer than to read the letter. A buffer of more than `largest_octets` is given back at once.

    Another C library than that of GNU has no such thing, and goes on as it is.
    """
    _tune({_TRIM_THRESHOLD: octets, _MMAP_THRESHOLD: largest_octets})


def share_memory() -> None:
    """Let all threads take memory from the same heap, and let that grow by `GROWTH_OCTETS`: one that is a thread's own
    grows page by page, and what another thread has freed is not there. For a process of which one thread at a time
    takes much, before it has others; another C library than that of GNU goes on as it is.
    """
    _tune({_ARENA_MAX: 1, _TOP_PAD: GROWTH_OCTETS})


def _tune(settings: Mapping[int, int]) -> None:
    with suppress(OSError, AttributeError):
        tune = ctypes.CDLL(None).mallopt
        for name, value in settings.items():
            tune(name, value)
