"""The conversations of a folder, found in a thread: a hundred thousand heads are read, and no key waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    pass

_FLIGHT: Final = 64
"""Letters read together: 16 MiB at most, mostly a hundredth of it."""
