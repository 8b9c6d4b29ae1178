"""How a command runs what waits: in a loop of its own, with or without an open mailbox file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

T = TypeVar("T")


def with_file(opened: Callable[[], MailboxFile], work: Callable[[MailboxFile], Awaitable[T]]) -> T:
    """`work` with an open mailbox, which is closed after it."""

    async def main() -> T:
        mailbox = opened()
        try:
            return await work(mailbox)
        finally:
            await mailbox.close()

    return with_loop(main)


def with_loop(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it to its end in a loop of its own."""
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(main())


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
