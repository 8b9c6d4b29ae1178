"""Driving a coroutine as conversations do: step by step from the loop's callbacks, with no task around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from postoffice.testing.pages import BEFORE, NOW, pages_of


class Drive:
    """Runs `coroutine`; `end` gets its result, `waits` counts how often it had to wait."""

    def __init__(self, coroutine: Coroutine[Any, None, None]) -> None:
        self._coroutine = coroutine
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waits = 0

    def step(self) -> None:
        assert asyncio.current_task() is None, "something made a task of what is driven by hand"
        try:
            awaited: Any = self._coroutine.send(None)
        except StopIteration as stop:
            self.end.set_result(stop.value)
        except BaseException as failure:
            self.end.set_exception(failure)
        else:
            assert awaited is not None, "a bare yield asks for a task"
            self.waits += 1
            awaited._asyncio_future_blocking = False  # the word of a task that it took the future
            awaited.add_done_callback(lambda _: self.step())


async def _driven(coroutine: Coroutine[Any, None, None]) -> int:
    """Drive it to its end; gives how often it had to wait."""
    drive = Drive(coroutine)
    asyncio.get_running_loop().call_soon(drive.step)
    await drive.end
    return drive.waits


@pytest.fixture
def driven() -> Callable[[Coroutine[Any, None, None]], Awaitable[int]]:
    """Drives a coroutine to its end with no task around it, and gives how often that had to wait."""
    return _driven


@pytest.fixture(params=(NOW, BEFORE))
def page_octets(request: pytest.FixtureRequest) -> Iterator[int]:
    """The pages of what is made meanwhile: as they are today, and as they were."""
    with pages_of(request.param):
        yield request.param
