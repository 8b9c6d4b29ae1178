"""Letters are read several at a time, and what is read ahead is bounded for a session and for all of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from postoffice.access.flights import (
    AHEAD_IN_ALL_OCTETS,
    AHEAD_OCTETS,
    FLIGHT_OCTETS,
    MOST_AHEAD_OCTETS,
    Flights,
)
from postoffice.errors import Refusal
from postoffice.store.model import Piece, Small, Snapshot
from postoffice.store.view import FrozenView

OCTETS = 10_000
EACH = AHEAD_OCTETS // OCTETS


class Shelf:
    """What a session has of a maildrop, of letters of the same size; notes what was read in one go."""

    def __init__(self, letters: int, gone: Sequence[int] = ()) -> None:
        numbers = range(1, letters + 1)
        sizes, names = array("q", [OCTETS] * letters), [str(number) for number in numbers]
        self.view = FrozenView(Snapshot((1,), array("q", numbers), sizes, names))
        self.readings: list[list[int]] = []
        self._gone = gone

    async def read_small(self, numbers: Sequence[int]) -> list[Small]:
        self.readings.append(list(numbers))
        return [(b"", None if number in self._gone else b"%d" % number) for number in numbers]

    async def read(self, numbers: Sequence[int], index: int = 0) -> list[Piece | None]:
        return [None if number in self._gone else Piece(b"%d" % number, more=False) for number in numbers]

    def flights(self) -> Flights:
        return Flights(cast(Any, self))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert Flights._in_all == 0


async def test_one_after_the_other_is_read_ahead_from_the_second_on_and_more_and_more() -> None:
    shelf = Shelf(100)
    flights = shelf.flights()
    for number in range(1, 101):
        assert (await flights.first(number, [])).wire == b"%d" % number
    assert shelf.readings[:2] == [[1], [2, *range(3, 3 + EACH)]]
    ahead = [len(reading) - 1 for reading in shelf.readings[1:]]
    assert ahead[:4] == [AHEAD_OCTETS // OCTETS, 2 * AHEAD_OCTETS // OCTETS, *[MOST_AHEAD_OCTETS // OCTETS] * 2]
    flights.leave()


async def test_who_begins_elsewhere_is_read_a_little_ahead_for_again() -> None:
    shelf = Shelf(100)
    flights = shelf.flights()
    for number in (*range(1, 40), 70, 71):
        await flights.first(number, [])
    assert [len(reading) - 1 for reading in shelf.readings[-2:]] == [0, EACH]
    flights.leave()


async def test_those_whose_commands_wait_are_read_before_they_are_looked_at() -> None:
    shelf = Shelf(200, gone=[9])
    flights = shelf.flights()
    await flights.read_on(range(5, 20))
    assert shelf.readings == [[*range(5, 20)]]
    assert list(flights.ready) == [5, 6, 7, 8, *range(10, 20)]
    assert flights.take([6, 5]) == [(b"", b"6"), (b"", b"5")]
    await flights.read_on([201, *range(20, 40)])  # no letter: whoever asks for it hears that
    await flights.read_on(range(20, 23))  # too few to be worth it
    assert len(shelf.readings) == 1
    flights.leave()


async def test_who_jumps_about_is_not_read_ahead_for() -> None:
    shelf = Shelf(20)
    flights = shelf.flights()
    for number in (5, 3, 9, 9, 1):
        await flights.first(number, [])
    assert shelf.readings == [[5], [3], [9], [9], [1]]
    flights.leave()


async def test_those_that_came_together_are_a_flight() -> None:
    shelf = Shelf(200)
    flights = shelf.flights()
    await flights.first(1, range(2, 200))
    assert shelf.readings == [[*range(1, FLIGHT_OCTETS // OCTETS + 1)]]
    assert flights.take([2, 3]) == [(b"", b"2"), (b"", b"3")]
    flights.leave()


async def test_a_marked_letter_ends_what_is_read_ahead() -> None:
    shelf = Shelf(20)
    flights = shelf.flights()
    shelf.view.delete(4)
    for number in (1, 2):
        await flights.first(number, [])
    assert shelf.readings == [[1], [2, 3]]
    flights.leave()


async def test_a_letter_that_is_gone_is_told_when_it_is_asked_for() -> None:
    shelf = Shelf(20, gone=[3])
    flights = shelf.flights()
    await flights.first(1, [])
    await flights.first(2, [])
    with pytest.raises(Refusal, match="message 3 is gone"):
        await flights.first(3, [])
    assert (await flights.first(4, [])).wire == b"4"
    flights.leave()


async def test_all_sessions_together_read_no_more_ahead_than_so_much() -> None:
    shelf = Shelf(20)
    sessions = [shelf.flights() for _ in range(AHEAD_IN_ALL_OCTETS // (EACH * OCTETS) + 5)]
    for flights in sessions:
        await flights.first(1, [])
        await flights.first(2, [])
    assert shelf.readings[-1] == [2]
    assert AHEAD_IN_ALL_OCTETS - OCTETS < Flights._in_all <= AHEAD_IN_ALL_OCTETS
    sessions[0].leave()
    await sessions[-1].first(3, [])
    assert len(shelf.readings[-1]) > 1
    for flights in sessions:
        flights.leave()
