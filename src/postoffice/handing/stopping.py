"""Whoever stops a run waits a little for the letter that is on its way, so that it is not in doubt for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

STOP_SECONDS: Final = 10.0


async def finished(work: Coroutine[Any, Any, T], when_stopped: Callable[[], None] | None = None) -> T:
    """What `work` gives. Who is cancelled meanwhile says so by `when_stopped`, and waits `STOP_SECONDS` for its end."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        if when_stopped is not None:
            when_stopped()
        await asyncio.wait((doing,), timeout=STOP_SECONDS)
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        raise
