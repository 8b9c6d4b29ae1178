"""Several accounts at once: never two of one maildrop, which whoever has it locks (RFC 1939 §4), nor of one file."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeVar

from postoffice.errors import PostofficeError
from postoffice.home.config import Account

T = TypeVar("T")

MOST_AT_ONCE: Final = 8


async def together(
    accounts: Sequence[Account],
    work: Callable[[Account], Awaitable[T]],
    ended: Callable[[Account, T | PostofficeError], None],
) -> None:
    """Work on all of them; `ended` hears of each when it is over, what came of it or what went wrong.

    The end of one is not that of the others; an unknown exception is the end of all.
    """
    locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(account: Account) -> None:
        outcome: T | PostofficeError
        async with AsyncExitStack() as held:
            for name in sorted({account.source.maildrop, *account.into}):  # all in one order, so nobody waits in a ring
                await held.enter_async_context(locks[name])
            await held.enter_async_context(places)
            try:
                outcome = await work(account)
            except PostofficeError as error:
                outcome = error
        ended(account, outcome)

    async with asyncio.TaskGroup() as group:
        for account in accounts:
            group.create_task(one(account))
