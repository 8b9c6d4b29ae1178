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


def with_loop(
    main: Callable[[], Coroutine[Any, Any, T]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run it to its end in a loop of its own. That is the one of the library, for the few connections that a command
    has: it reads into the very octets that it gives, and nothing more is imported."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())
