"""What came of scans, in numbers; imports next to nothing, for pulls without a scanner tell them too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(slots=True)
class Again:
    """What came of it.

    `letters` were scanned. `infected` are in quarantine now and were not, `released` are seen and were not. `cleared`
    are in quarantine, and nothing is found in them any more. `unreadable` are damaged. `left` were not looked at,
    because time was up, or because the scanner is away: why, is `trouble`.
    """

    letters: int = 0
    infected: int = 0
    released: int = 0
    cleared: int = 0
    unreadable: int = 0
    left: int = 0
    trouble: str = ""


class Waiting(NamedTuple):
    """How many letters are held: those of which nobody could say anything yet, and those too large for it."""

    unscanned: int = 0
    too_large: int = 0


class Scanned(NamedTuple):
    """What became of letters that were `held` in `file`, and of how many nobody can say anything yet, because of
    `trouble`."""

    held: Again
    waiting: Waiting = Waiting()
    trouble: str = ""
    file: Path = Path()
