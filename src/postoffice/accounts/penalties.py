"""What failed logins cost, as arithmetic: it knows no table, no clock and nobody.

Each failed login that counts is a point, and half of all points is forgotten every day. A few cost nothing, the next
ones a growing delay before the password is even looked at, and from a limit on each is followed by a time in which
nothing is looked at, twice as long as the one before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HALF_LIFE_SECONDS = 86_400.0
CLEAN_POINTS = 0.5
"""Below this it is as if nothing had been: one point is forgotten after a day."""

MOST_POINTS = 64.0
LONGEST_DELAY_SECONDS = 16.0
LONGEST_REFUSAL_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Nothing up to `free` points, delays from there on; at `limit` a refusal of `seconds`, then twice that and so on,
    up to `most_seconds`."""

    free: int
    limit: int
    seconds: float
    most_seconds: float

    def delay(self, points: float) -> float:
        """How long to wait before a password is looked at: 1, 2, 4, ... seconds."""
        whole = round(points)
        return min(2.0 ** (whole - self.free - 1), LONGEST_DELAY_SECONDS) if whole > self.free else 0.0

    def refusal(self, points: float) -> float:
        """How long to look at nothing after this point."""
        whole = round(points)
        return min(self.seconds * 2.0 ** (whole - self.limit), self.most_seconds) if whole >= self.limit else 0.0


def decayed(points: float, since: float, now: float) -> float:
    """What is left of points that were reckoned at `since`; nothing, if a wrong clock put that into the future."""
    if since > now + HALF_LIFE_SECONDS:
        return 0.0
    return min(points, MOST_POINTS) * math.exp2(-max(now - since, 0.0) / HALF_LIFE_SECONDS)


def clean_at(points: float, since: float) -> float:
    """When points that were reckoned at `since` are as if nothing had been."""
    return since + HALF_LIFE_SECONDS * math.log2(points / CLEAN_POINTS) if points > CLEAN_POINTS else since
