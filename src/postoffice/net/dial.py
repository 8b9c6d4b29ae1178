"""Calling somebody: a connection from us, with its machine and its conversation."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from postoffice.errors import ConnectionLost
from postoffice.net.dialogue import Dialogue, M
from postoffice.net.switchboard import Switchboard
from postoffice.net.tunnel import Tunnel, settle
from postoffice.net.words import in_words

T = TypeVar("T")


async def dial(
    address: tuple[str, int] | str,
    machine: M,
    converse: Callable[[Dialogue[M]], Coroutine[Any, Any, T]],
    switchboard: Switchboard,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    connect_seconds: float = 30.0,
    close_seconds: float = 0.0,
) -> T:
    """Connect, hold the conversation, give its result. Every way of not reaching the other side is a `Disconnected`.

    `address` is a host and a port, or the path of a Unix socket, which is spoken to in clear.
    `tls` makes TLS begin at once; for STARTTLS the conversation itself calls `Dialogue.start_tls`. A connection is
    closed behind our back when all is said; whoever ends the loop then waits up to `close_seconds` for it.
    """
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[T] = loop.create_future()

    def finish(result: T, problem: BaseException | None) -> None:
        settle(finished, problem, result)

    dialogue: Dialogue[M] | None = None
    closed = asyncio.Event()

    def make() -> Dialogue[M]:
        nonlocal dialogue
        dialogue = Dialogue(machine, converse, switchboard, is_server=False, on_end=finish)
        dialogue.on_lost = closed.set
        return dialogue

    try:
        async with asyncio.timeout(connect_seconds):
            if isinstance(address, str):
                await loop.create_unix_connection(make, address)
            else:
                host, port = address
                if tls is None:
                    await loop.create_connection(make, host, port)
                else:
                    await _secured(make, host, port, tls, server_hostname or host)
    except (OSError, ssl.SSLError, TimeoutError) as error:
        where = address if isinstance(address, str) else f"{address[0]} port {address[1]}"
        raise ConnectionLost(f"cannot reach {where}: {in_words(error)}") from error
    except asyncio.CancelledError:
        finished.cancel()  # nobody waits any more for what a conversation says that has begun meanwhile
        raise
    try:
        return await finished
    except asyncio.CancelledError:
        if dialogue is not None:
            dialogue.abort()
        raise
    finally:
        if dialogue is not None and close_seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(close_seconds):
                    await closed.wait()
            dialogue.abort()


async def _secured(
    make: Callable[[], Dialogue[Any]], host: str, port: int, tls: ssl.SSLContext, server_hostname: str
) -> None:
    """Connect, and see a handshake to its end."""
    loop = asyncio.get_running_loop()
    secured: asyncio.Future[None] = loop.create_future()

    def tunnel() -> Tunnel:
        return Tunnel(
            make(), tls, is_server=False, server_hostname=server_hostname, on_secured=partial(settle, secured)
        )

    transport, _ = await loop.create_connection(tunnel, host, port)
    try:
        await secured
    except BaseException:
        transport.abort()
        raise
