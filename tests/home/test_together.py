"""Accounts are pulled at once, but never two of one maildrop or of one mailbox file."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from postoffice.client.url import parse_url
from postoffice.errors import PostofficeError, Refused
from postoffice.home.config import Account
from postoffice.home.together import MOST_AT_ONCE, together


def account(number: int, url: str = "", into: str = "") -> Account:
    return Account(f"a{number}", parse_url(url or f"pop://a{number}@h"), (into or f"/m{number}",))


class Work:
    """What runs at one time, and the most of it; each ends when all that may run do."""

    def __init__(self, waits_for: int) -> None:
        self.running: Counter[str] = Counter()
        self.most = 0
        self.ended: list[tuple[str, object]] = []
        self._waits_for = waits_for
        self._all = asyncio.Event()

    async def __call__(self, one: Account) -> str:
        for what in (one.source.maildrop, *one.into):
            assert not self.running[what]
        self.running.update((one.name, one.source.maildrop, *one.into))
        self.most = max(self.most, sum(self.running[f"a{number}"] for number in range(100)))
        if self.most >= self._waits_for:
            self._all.set()
        await self._all.wait()
        await asyncio.sleep(0)
        self.running.subtract((one.name, one.source.maildrop, *one.into))
        if one.name == "a1":
            raise Refused("no", 77)
        return one.name

    def over(self, one: Account, outcome: str | PostofficeError) -> None:
        self.ended.append((one.name, outcome))


async def test_so_many_run_at_once_and_no_more() -> None:
    work = Work(MOST_AT_ONCE)
    await together([account(number) for number in range(30)], work, work.over)
    assert work.most == MOST_AT_ONCE
    outcomes = dict(work.ended)
    assert len(outcomes) == 30
    assert isinstance(outcomes.pop("a1"), Refused)
    assert all(name == outcome for name, outcome in outcomes.items())


@pytest.mark.parametrize("shared", [{"url": "pop://me@h"}, {"into": "/m"}])
async def test_what_two_share_is_used_by_one_at_a_time(shared: dict[str, str]) -> None:
    work = Work(1)
    await together([account(number, **shared) for number in range(5)], work, work.over)
    assert work.most == 1
    assert len(work.ended) == 5


async def test_those_that_share_in_a_ring_do_not_wait_for_each_other() -> None:
    work = Work(1)
    ring = [account(number, f"pop://u{number}@h", f"/m{(number + 1) % 3}") for number in range(3)]
    ring += [account(number + 3, f"pop://u{number}@h", f"/m{number}") for number in range(3)]
    await together(ring, work, work.over)
    assert len(work.ended) == 6


async def test_an_unknown_exception_ends_all() -> None:
    async def work(one: Account) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await together([account(1), account(2)], work, lambda *_: None)
