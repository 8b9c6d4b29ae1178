"""Three devices over a month: each gets every letter exactly once, who lapses holds nothing, space comes back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.testing import month
from postoffice.testing.month import DAYS, LAPSES_ON, LETTERS_A_DAY, LOST_ON, Day, Month, WrongMonth


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Day]:
    async def play() -> list[Day]:
        return [day async for day in Month(tmp_path_factory.mktemp("month")).days()]

    return asyncio.run(play())


def test_what_a_lost_phone_has_not_pulled_waits_for_it_until_it_lapses(days: list[Day]) -> None:
    waiting = [day.waiting.get("phone") for day in days]
    told = [sum("told" in words for words in day.told) for day in days]
    expected = [LETTERS_A_DAY * max(0, day - LOST_ON + 1) + sum(told[:day]) for day in range(1, LAPSES_ON)]
    assert waiting == [*expected, *[None] * (DAYS - LAPSES_ON), 0]
    assert sum(told) == 1, "its owner is told once"


def test_its_space_comes_back(days: list[Day]) -> None:
    before, after = days[LAPSES_ON - 2], days[LAPSES_ON - 1]
    assert before.octets > before.kept * month.LETTER_OCTETS
    assert after.kept <= 2 * LETTERS_A_DAY
    assert after.octets < before.octets / 5


def test_nothing_waits_for_who_pulled(days: list[Day]) -> None:
    assert all(day.waiting["laptop"] == sum("told" in words for words in day.told) for day in days)
    assert days[-1].kept == 0


def test_a_letter_that_comes_twice_is_noticed(tmp_path: Path) -> None:
    one = Month(tmp_path)
    one.home["laptop"][7] = 2
    with pytest.raises(WrongMonth, match="laptop got a letter twice"):
        one._judge(Day(1, {}, {"phone": 0}, 0, 0, ()))


def test_a_letter_that_does_not_come_is_noticed(tmp_path: Path) -> None:
    one = Month(tmp_path)
    one._sent = 1
    with pytest.raises(WrongMonth, match=r"the laptop misses \[1\]"):
        one._look_back()


def test_the_demo_shows_it() -> None:
    call = [sys.executable, "-W", "error", "-m", "postoffice", "demo", "--devices"]
    shown = subprocess.run(call, capture_output=True, text=True, timeout=100, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "phone has lapsed" in shown.stdout
    assert "Every letter came to every device exactly once" in shown.stdout
    told = subprocess.run([*call, "--json"], capture_output=True, text=True, timeout=100, check=False)
    assert [json.loads(line)["day"] for line in told.stdout.splitlines()] == list(range(1, DAYS + 1))
