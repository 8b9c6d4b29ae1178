"""What came of scans, in numbers; imports next to nothing, for pulls without a scanner tell them too."""

from pathlib import Path
from typing import NamedTuple


class Again:
    """What came of it.

    `letters` were scanned. `infected` are in quarantine now and were not, `released` are seen and were not. `cleared`
    are in quarantine, and nothing is found in them any more. `unreadable` are damaged. `left` were not looked at,
    because time was up, or because the scanner is away: why, is `trouble`.
    """

    def __init__(self) -> None:
        self.letters = 0
        self.infected = 0
        self.released = 0
        self.cleared = 0
        self.unreadable = 0
        self.left = 0
        self.trouble = ""


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
