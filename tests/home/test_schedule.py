"""When an account is pulled next: after success, after failures, when there is a network, when somebody wants it."""

from __future__ import annotations

import pytest

from postoffice.errors import ConnectionLost, PostofficeError, Refused
from postoffice.home.schedule import SPREAD_SECONDS, Turn

EVERY = 900.0
BUSY = Refused("in use", 75)
WRONG = Refused("no such password", 77)


def unreachable() -> ConnectionLost:
    problem = ConnectionLost("cannot reach it")
    problem.__cause__ = OSError("Network is unreachable")
    return problem


def test_the_first_round_is_spread() -> None:
    assert [Turn(EVERY, 5.0, chance).due for chance in (0.0, 0.5, 1.0)] == [
        5.0,
        5.0 + SPREAD_SECONDS / 2,
        5.0 + SPREAD_SECONDS,
    ]


@pytest.mark.parametrize(("chance", "after"), [(0.0, 810.0), (0.5, 900.0), (1.0, 990.0)])
def test_what_went_well_comes_again_about_as_often_as_is_said(chance: float, after: float) -> None:
    turn = Turn(EVERY, 0.0, 0.0)
    turn.succeeded(100.0, chance)
    assert turn.due == pytest.approx(100.0 + after)


@pytest.mark.parametrize(
    ("every", "waits"),
    [(900.0, [60, 120, 240, 480, 960, 1920, 3600, 3600]), (10.0, [10, 20, 40]), (86400.0, [60, 120])],
)
def test_who_fails_waits_longer_each_time_up_to_an_hour(every: float, waits: list[float]) -> None:
    turn = Turn(every, 0.0, 0.0)
    for wait in waits:
        turn.failed(0.0, BUSY)
        assert turn.due == wait
    turn.succeeded(0.0, 0.5)
    turn.failed(0.0, BUSY)
    assert turn.due == waits[0]


def test_a_refused_login_waits_for_an_hour_or_for_a_person() -> None:
    turn = Turn(EVERY, 0.0, 0.0)
    turn.failed(0.0, WRONG)
    turn.poke(1.0)
    turn.network_came(1.0, 0.0)
    assert turn.due == 3600.0
    turn.settings_changed(2.0)
    assert turn.due == 2.0


def test_only_what_is_new_about_a_failure_is_told() -> None:
    turn = Turn(EVERY, 0.0, 0.0)
    problems: list[PostofficeError] = [BUSY, BUSY, WRONG, WRONG, unreachable()]
    assert [turn.failed(0.0, problem) for problem in problems] == [True, False, True, False, True]
    turn.succeeded(0.0, 0.0)
    assert turn.failed(0.0, unreachable())


def test_an_address_helps_those_who_lacked_a_network() -> None:
    offline, refused = Turn(EVERY, 0.0, 0.0), Turn(EVERY, 0.0, 0.0)
    offline.failed(0.0, unreachable())
    refused.failed(0.0, BUSY)
    for turn in (offline, refused):
        turn.network_came(10.0, 1.0)
    assert offline.due == 10.0 + SPREAD_SECONDS
    assert refused.due == 60.0


def test_what_is_wished_for_amid_a_pull_is_done_after_it() -> None:
    turn = Turn(EVERY, 0.0, 0.0)
    turn.begun()
    turn.poke(1.0)
    turn.succeeded(5.0, 0.5)
    assert turn.due == 5.0
    turn.begun()
    turn.network_came(6.0, 0.5)
    turn.failed(10.0, unreachable())  # it had begun without
    assert turn.due == 10.0 + SPREAD_SECONDS
    turn.begun()
    turn.failed(20.0, unreachable())
    assert turn.due == 140.0


def test_nobody_is_asked_sooner_than_his_login_delay() -> None:
    turn = Turn(10.0, 0.0, 0.0)
    turn.entered(5.0, 600.0)
    turn.succeeded(6.0, 0.5)
    assert turn.due == 605.0
    turn.poke(7.0)
    assert turn.due == 605.0
    turn.failed(8.0, BUSY)
    assert turn.due == 605.0
