"""When a letter may go from the server: rules, of which one is enough. None of them speaks of a letter not kept here.

now                      as soon as it is here
14 days                  so long after it was fetched
removed                  when it was removed here
copied to FILE           when it is whole in another mailbox file: each time its octets are read there
above 80% of 1 GB        the oldest ones, while all that lie there are more than that
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from postoffice.client.recognition import Met
from postoffice.errors import UsageError
from postoffice.store.model import Pulled

DAY_SECONDS: Final = 86400.0
UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

_DAYS: Final = re.compile(r"(\d{1,5})\s*(?:d|days?)")
_COPIED: Final = "copied to "
_ABOVE: Final = re.compile(r"above (\d{1,3})\s*% of (.*)")
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([kmgt]?)b?", re.IGNORECASE)

Wholeness = Callable[[Path, Sequence[bytes]], Awaitable[set[bytes]]]
"""Which contents, by SHA-256, are whole in a mailbox file."""


@dataclass(frozen=True, slots=True)
class Lying:
    """A letter that lies there and is here: what is remembered of it."""

    met: Met
    pulled: Pulled


@dataclass(frozen=True, slots=True)
class Scene:
    """What rules look at: `lying` in the server's order, `octets` of all that lies there, the time."""

    lying: Sequence[Lying]
    octets: int
    now: float
    whole_in: Wholeness | None


class Rule(Protocol):
    """Written as `str` gives it."""

    async def chosen(self, scene: Scene) -> set[int]:
        """The numbers of the letters that may go."""
        ...


@dataclass(frozen=True, slots=True)
class Now:
    async def chosen(self, scene: Scene) -> set[int]:
        return {one.met.item.number for one in scene.lying}

    def __str__(self) -> str:
        return "now"


@dataclass(frozen=True, slots=True)
class AfterDays:
    days: int

    async def chosen(self, scene: Scene) -> set[int]:
        latest = scene.now - self.days * DAY_SECONDS
        return {one.met.item.number for one in scene.lying if one.pulled.fetched and one.pulled.fetched <= latest}

    def __str__(self) -> str:
        return f"{self.days} days"


@dataclass(frozen=True, slots=True)
class WhenRemoved:
    async def chosen(self, scene: Scene) -> set[int]:
        return {one.met.item.number for one in scene.lying if one.pulled.email_id and not one.pulled.is_here}

    def __str__(self) -> str:
        return "removed"


@dataclass(frozen=True, slots=True)
class WhenCopied:
    path: Path

    async def chosen(self, scene: Scene) -> set[int]:
        numbers = {one.met.item.number: one.pulled.sha256 for one in scene.lying if one.pulled.sha256 is not None}
        if not numbers or scene.whole_in is None:
            return set()
        whole = await scene.whole_in(self.path, list(numbers.values()))
        return {number for number, digest in numbers.items() if digest in whole}

    def __str__(self) -> str:
        return f"copied to {self.path}"


@dataclass(frozen=True, slots=True)
class WhenAbove:
    percent: int
    octets: int

    async def chosen(self, scene: Scene) -> set[int]:
        too_many = scene.octets - self.octets * self.percent // 100
        numbers = set()
        for one in scene.lying:
            if too_many <= 0:
                break
            numbers.add(one.met.item.number)
            too_many -= one.met.item.octets
        return numbers

    def __str__(self) -> str:
        return f"above {self.percent}% of {self.octets}"


NOW: Final = Now()


def parse_rule(text: str) -> Rule:
    """A rule as people write it. Raises UsageError, status 64."""
    written = text.strip()
    lower = written.lower()
    if lower == "now":
        return NOW
    if lower == "removed":
        return WhenRemoved()
    if found := _DAYS.fullmatch(lower):
        return AfterDays(int(found[1]))
    if lower.startswith(_COPIED) and len(lower) > len(_COPIED):
        return WhenCopied(Path(written[len(_COPIED) :]).expanduser())
    if (found := _ABOVE.fullmatch(lower)) and int(found[1]) <= 100:
        return WhenAbove(int(found[1]), octets_of(found[2]))
    raise UsageError(
        f"{text!r} is no rule for letters that may go: now, 14 days, removed, copied to FILE, above 80% of 1 GB",
        os.EX_USAGE,
    )


def octets_of(text: str) -> int:
    """A size as people write it: `500k`, `5 MB`, `1000`; k is 1000. Raises UsageError, status 64."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no size; one is written 500k, 5 MB, 1.5 GB", os.EX_USAGE)
    return int(float(found[1]) * UNITS[found[2].lower()])
