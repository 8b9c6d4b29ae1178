"""Does an account show what another server shows? UIDL by UIDL, in order, and octet counts beside them.

Between two letters that both have, those that only one of them has are put side by side: where their sizes are the
same, it is one letter under two unique-ids.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from postoffice.client.listing import Listed
from postoffice.store.model import Snapshot


@dataclass(frozen=True, slots=True)
class Difference:
    """A letter that is not the same at both. `kind` is *missing*, *unique-id*, *order*, *octets* or *extra*."""

    kind: str
    unique_id: str
    what: str


@dataclass(slots=True)
class Comparison:
    """`same` letters are so in every respect. Extra letters here came later, and are no fault."""

    same: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return all(one.kind == "extra" for one in self.differences)

    def count(self, kind: str) -> int:
        return sum(one.kind == kind for one in self.differences)


def doubtful(theirs: Sequence[Listed], ours: Snapshot) -> list[Listed]:
    """Letters whose announced size does not fit what is here: some servers count the last line end wrongly.

    One that is not here is among them if it may be here under another unique-id.
    """
    here = dict(zip(ours.unique_ids, ours.octets, strict=True))
    has_others = not here.keys() <= {one.source_id for one in theirs}
    return [
        one
        for one in theirs
        if (one.source_id in here and here[one.source_id] != one.octets) or (one.source_id not in here and has_others)
    ]


def compare(theirs: Sequence[Listed], measured: Mapping[int, int], ours: Snapshot) -> Comparison:
    """What is not the same. `measured` are true sizes, by number, where they were looked at."""
    return _Comparing(theirs, measured, ours).run()


class _Comparing:
    def __init__(self, theirs: Sequence[Listed], measured: Mapping[int, int], ours: Snapshot) -> None:
        self._theirs = theirs
        self._measured = measured
        self._ours = ours
        place = {unique_id: index for index, unique_id in enumerate(ours.unique_ids)}
        self._at = [place.get(one.source_id, -1) for one in theirs]
        self._has_partner = set(self._at)
        self._found = Comparison()

    def run(self) -> Comparison:
        in_order = _longest_ascent(self._at)
        missing: list[Listed] = []
        before = -1
        for number, (one, index) in enumerate(zip(self._theirs, self._at, strict=True)):
            if index < 0:
                missing.append(one)
            elif number not in in_order:
                self._tell("order", one.unique_id, f"is letter {one.number} there, {index + 1} here")
            else:
                self._look_between(missing, before, index)
                self._look_at(one, index)
                missing, before = [], index
        self._look_between(missing, before, len(self._ours.keys))
        return self._found

    def _look_at(self, one: Listed, index: int) -> None:
        octets = self._octets(one)
        if octets == self._ours.octets[index]:
            self._found.same += 1
        else:
            self._tell("octets", one.unique_id, f"has {octets} octets there, {self._ours.octets[index]} here")

    def _look_between(self, missing: list[Listed], before: int, index: int) -> None:
        """What only one of both has, between two letters that both have."""
        extra: dict[int, deque[int]] = {}
        for at in range(before + 1, index):
            if at not in self._has_partner:
                extra.setdefault(self._ours.octets[at], deque()).append(at)
        for one in missing:
            if twins := extra.get(self._octets(one)):
                unique_id = self._ours.unique_ids[twins.popleft()]
                self._tell("unique-id", one.unique_id, f"letter {one.number} there, is {unique_id} here")
            else:
                self._tell("missing", one.unique_id, f"letter {one.number} there, is not here")
        for at in sorted(chain.from_iterable(extra.values())):
            self._tell("extra", self._ours.unique_ids[at], f"letter {at + 1} here, is not there")

    def _octets(self, one: Listed) -> int:
        return self._measured.get(one.number, one.octets)

    def _tell(self, kind: str, unique_id: str, what: str) -> None:
        self._found.differences.append(Difference(kind, unique_id, what))


def _longest_ascent(places: Sequence[int]) -> set[int]:
    """The indexes of as many places as can be that ascend; negative ones do not count."""
    ends: list[int] = []  # for each length, where the ascent of that length with the lowest end ends
    ends_at: list[int] = []
    before: dict[int, int] = {}
    for index, place in enumerate(places):
        if place >= 0:
            length = bisect_left(ends, place)
            ends[length : length + 1] = [place]
            ends_at[length : length + 1] = [index]
            before[index] = ends_at[length - 1] if length else -1
    found = set()
    index = ends_at[-1] if ends_at else -1
    while index >= 0:
        found.add(index)
        index = before[index]
    return found
