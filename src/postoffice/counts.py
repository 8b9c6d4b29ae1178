"""What is counted: every process has a sheet of numbers, and rooms add to it.

A room declares when it is imported what it counts and is given a place: `PULLED = counter("..._pulled_total", ...)`,
then `counts.sheet[PULLED] += 1`, which costs 0.1 µs. Nobody adds to another's sheet, so there is nothing to lock.
The sheet is memory of this process until `use` lays another: in an office of several processes all sheets are parts
of one memory (`app.board`), so that each can tell the sums, and what a process counted outlives it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

PLACES = 2048
"""How many numbers a sheet has."""

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper bounds of what is measured in seconds."""

SESSIONS_FAMILY = "postoffice_sessions_open"
"""What every door for mail counts."""

K = TypeVar("K")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one name. `places` are by labels; a histogram has its sum there, then a number for each of `bounds`
    and one for what is above. A gauge goes up and down, and ends with its process."""

    name: str
    kind: str
    says: str
    bounds: tuple[float, ...] = ()
    places: dict[Labels, int] = field(default_factory=dict)


families: dict[str, Family] = {}
sheet: MutableSequence[float] | memoryview[float] = [0.0] * PLACES
_next_place = 0


def use(numbers: MutableSequence[float] | memoryview[float]) -> None:
    """Count there from now on."""
    global sheet
    sheet = numbers


def counter(name: str, says: str, **labels: str) -> int:
    """The place of a number that only grows; its name ends with `_total`."""
    return _declare(Family(name, "counter", says), labels, 1)


def gauge(name: str, says: str, **labels: str) -> int:
    return _declare(Family(name, "gauge", says), labels, 1)


def histogram(name: str, says: str, **labels: str) -> int:
    """Of seconds."""
    return _declare(Family(name, "histogram", says, SECONDS), labels, len(SECONDS) + 2)


def observe(place: int, seconds: float) -> None:
    """Add to a histogram."""
    sheet[place] += seconds
    sheet[place + 1 + bisect_left(SECONDS, seconds)] += 1


def _declare(family: Family, labels: dict[str, str], places: int) -> int:
    global _next_place
    place = _next_place
    if place + places > PLACES:
        raise AssertionError(f"no place is left on the sheet for {family.name}")
    known = families.setdefault(family.name, family)
    known.places[tuple(labels.items())] = place
    _next_place += places
    return place


_QUICK = SECONDS[0]


class Outcome(IntEnum):
    """How a command ended: `REFUSED` is a no that will not change, `FAILED` one that may."""

    OK = 0
    REFUSED = 1
    FAILED = 2


class Commands(Generic[K]):
    """The commands of a protocol: how often, how they ended, how long they took. `names` say what they are called."""

    __slots__ = ("_places",)

    def __init__(self, protocol: str, names: Mapping[K, str]) -> None:
        self._places = {key: _command_places(protocol, name) for key, name in names.items()}

    def add(self, key: K, outcome: Outcome, seconds: float) -> None:
        place, taken = self._places[key]
        sheet[place + outcome] += 1
        sheet[taken] += seconds
        sheet[taken + 1 + (bisect_left(SECONDS, seconds) if seconds > _QUICK else 0)] += 1  # most are quick

    def add_equal(self, key: K, outcome: Outcome, times: int, seconds: float) -> None:
        """Several that took `seconds` together, each as long as the others."""
        place, taken = self._places[key]
        sheet[place + outcome] += times
        sheet[taken] += seconds
        sheet[taken + 1 + bisect_left(SECONDS, seconds / times)] += times


def _command_places(protocol: str, name: str) -> tuple[int, int]:
    facts = {"protocol": protocol, "command": name}
    says = "Commands answered, by how they ended."
    places = [counter("postoffice_commands_total", says, **facts, outcome=o.name.lower()) for o in Outcome]
    return places[0], histogram("postoffice_command_seconds", "From a command to its reply.", **facts)
