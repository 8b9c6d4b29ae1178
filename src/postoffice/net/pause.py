"""Waiting for a moment in what is driven by hand: `asyncio.sleep` and `timeout` want a task, this does not."""

from __future__ import annotations

import asyncio


async def pause(seconds: float) -> None:
    """Wait on a future that the loop completes."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, future.set_result, None)
    try:
        await future
    finally:
        timer.cancel()


async def give_way() -> None:
    """Let what else is ready go first."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    turn = loop.call_soon(future.set_result, None)
    try:
        await future
    finally:
        turn.cancel()
