"""Both event loops: that of Python, and the one that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a coroutine to its end, within twenty seconds."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def on_the_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        async def in_time() -> None:
            async with asyncio.timeout(20):
                await coroutine

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(in_time())

    return on_the_loop
