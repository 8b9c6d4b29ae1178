"""How many connections there are: in all, at each door, and from each network; and whether one more may come in.

    region    one for each worker, in memory that all of them share: its counts, by door and by place
    row       the place and its count; a place has four rows to choose from

Each worker writes only into its own region and sums over all, so nothing is locked. The counts of a worker are exact;
what it sees of others may be a moment old, so at most one connection for each other worker comes in beyond a limit.
A place that finds its four rows taken by others is counted by each worker for itself.
"""

from __future__ import annotations

import mmap
import resource
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from postoffice import counts
from postoffice.events import event
from postoffice.net.networks import NOWHERE, Network, is_in, place_of

_DOORS = 16
"""Places for doors in a region; the first is for all of them together."""

_SETS, _WAYS = 1024, 4
_PLACES = struct.Struct("=" + "Q8x" * _WAYS)
_REGION = _DOORS + _SETS * _WAYS * 2
SPARE_DESCRIPTORS = 256
"""What a process needs beside its connections: files of mailboxes, the committer, letters on their way out."""

QUIET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CrowdSettings:
    """`connections` is for the whole office (0: what its descriptors allow), `per_network` for each IPv4 address and
    each IPv6 /64 (0: no limit), `per_door` for doors by name."""

    connections: int = 0
    per_network: int = 50
    per_door: dict[str, int] = field(default_factory=dict)


class Limit(Enum):
    """Why there is no room for one more."""

    OFFICE = "office"
    DOOR = "door"
    NETWORK = "network"


REFUSED_FAMILY = "postoffice_connections_refused_total"
_REFUSED = {
    limit: counts.counter(REFUSED_FAMILY, "Connections beyond a limit, by whose it is.", limit=limit.value)
    for limit in Limit
}


class Crowd:
    """Made by the parent; each worker takes its seat before it counts."""

    def __init__(
        self,
        settings: CrowdSettings | None = None,
        doors: Sequence[str] = (),
        trusted: tuple[Network, ...] = (),
        workers: int = 1,
    ) -> None:
        self._settings = settings or CrowdSettings()
        self._trusted = trusted
        self._doors = {name: index for index, name in enumerate(doors, 1)}
        self._limits = [self._settings.connections, *(self._settings.per_door.get(name, 0) for name in doors)]
        self._memory = mmap.mmap(-1, workers * _REGION * 8)
        self._cells = memoryview(self._memory).cast("Q")
        self._regions = range(0, workers * _REGION, _REGION)
        self._places: dict[str, int] = {}
        self._told: dict[int, float] = {}
        self.take_seat(0)

    def take_seat(self, index: int) -> None:
        """Count as the worker of that number, beginning with nobody: those whom another counted there are gone."""
        self._seat = index * _REGION
        self._cells[self._seat : self._seat + _REGION] = memoryview(bytes(_REGION * 8)).cast("Q")
        self._own: dict[int, int] = {}
        self._most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, 1)

    def trusts(self, host: str) -> bool:
        """Whether nobody is counted there."""
        return self._place(host) == NOWHERE

    def enter(self, door: str, host: str) -> Limit | None:
        """Count a connection, unless there is no room for it."""
        place = self._place(host)
        index = self._doors.get(door, 0)
        limit = self._limit_reached(index, place)
        if limit is not None:
            counts.sheet[_REFUSED[limit]] += 1
            self._tell(limit, door, host)
            return limit
        self._add(index, place, 1)
        return None

    def leave(self, door: str, host: str) -> None:
        """It is gone."""
        self._add(self._doors.get(door, 0), self._place(host), -1)

    def _limit_reached(self, index: int, place: int) -> Limit | None:
        cells, limits = self._cells, self._limits
        if cells[self._seat] >= self._most:
            return Limit.OFFICE
        if limits[0] and sum([cells[region] for region in self._regions]) >= limits[0]:
            return Limit.OFFICE
        if index and limits[index] and sum([cells[region + index] for region in self._regions]) >= limits[index]:
            return Limit.DOOR
        if place != NOWHERE and self._settings.per_network and self._from(place) >= self._settings.per_network:
            return Limit.NETWORK
        return None

    def _from(self, place: int) -> int:
        """How many come from a place now."""
        total = self._own.get(place, 0)
        at = _DOORS + _row(place)
        for region in self._regions:
            if region != self._seat:
                places = _PLACES.unpack_from(self._memory, (region + at) * 8)
                if place in places:
                    total += self._cells[region + at + 2 * places.index(place) + 1]
        return total

    def _add(self, index: int, place: int, change: int) -> None:
        cells, seat = self._cells, self._seat
        cells[seat] += change
        if index:
            cells[seat + index] += change
        if place == NOWHERE:
            return
        count = self._own.get(place, 0) + change
        if count:
            self._own[place] = count
        else:
            del self._own[place]
        at = seat + _DOORS + _row(place)
        places = _PLACES.unpack_from(self._memory, at * 8)
        free = place if place in places else 0
        if free in places:
            at += 2 * places.index(free)
            cells[at + 1] = count
            cells[at] = place if count else 0

    def _place(self, host: str) -> int:
        """Where `host` is; nowhere, if nobody is counted there."""
        place = self._places.get(host)
        if place is None:
            if len(self._places) >= 10_000:
                self._places.clear()
            place = self._places[host] = NOWHERE if is_in(host, self._trusted) else place_of(host)
        return place

    def _tell(self, limit: Limit, door: str, host: str) -> None:
        """In the log, but not for each of a flood."""
        now, place = time.monotonic(), place_of(host)
        if now - self._told.get(place, -QUIET_SECONDS) >= QUIET_SECONDS:
            if len(self._told) >= 10_000:
                self._told.clear()
            self._told[place] = now
            event("connection.refused", door=door, peer=host, limit=limit.value)


def _row(place: int) -> int:
    """The first of the rows of a place, so that neighbours are far from each other."""
    return (place * 0x9E3779B97F4A7C15 >> 32) % _SETS * _WAYS * 2
