"""A conversation that somebody else leads, call by call: what a library needs, whose user has tasks of his own.

A `Dialogue` runs one coroutine from the greeting to the end. Here that coroutine only waits for calls, does one after
the other, and hands each result to the task that asked. Between two calls nothing is read: what the server sends then
waits in the network, and so memory has a bound whatever it sends and however slow the user is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from postoffice.client.talk import Talk
from postoffice.client.url import Source
from postoffice.errors import ConnectionLost, LocalProtocolError, Refused, TooLarge, UsageError
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.protocols.pop3 import client as pop3

T = TypeVar("T")
Step = Callable[[Talk], Awaitable[Any]]

CLOSE_SECONDS: Final = 2.0

_MENDABLE: Final = (Refused, TooLarge, UsageError, LocalProtocolError)
"""After these both sides still know where they are, if every command has its answer."""


class Line:
    """One connection to one server. `patience_seconds` is how long it may be silent where the next move is its."""

    def __init__(self, source: Source, tls: ssl.SSLContext | None, patience_seconds: float, connect_seconds: float):
        self._source = source
        self._tls = tls
        self._patience_seconds = patience_seconds
        self._connect_seconds = connect_seconds
        self._turns = asyncio.Lock()
        self._talk: Talk | None = None
        self._next: asyncio.Future[tuple[Step, asyncio.Future[Any]] | None]
        self._whole: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect. Raises ConnectionLost."""
        if self._whole is not None:
            raise LocalProtocolError("a conversation is held once")
        loop = asyncio.get_running_loop()
        self._next = loop.create_future()
        begun: asyncio.Future[None] = loop.create_future()

        async def converse(dialogue: Dialogue[pop3.Pop3Client]) -> None:
            dialogue.patience = self._patience_seconds
            self._talk = Talk(dialogue, self._source.host)
            if not begun.done():
                begun.set_result(None)
            try:
                await self._take_calls(self._talk)
            finally:
                self._talk = None

        self._whole = asyncio.create_task(self._hold(converse))
        try:
            await asyncio.wait((self._whole, begun), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.close(at_once=True)
            raise
        if not begun.done():
            await self._whole  # tells why nobody was reached

    async def call(self, step: Callable[[Talk], Awaitable[T]]) -> T:
        """Do this in the conversation. Who is cancelled meanwhile ends it: nobody could tell what was answered."""
        async with self._turns:
            talk = self._talk
            if talk is None:
                raise ConnectionLost("the conversation is over")
            answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self._next.set_result((step, answer))
            try:
                return await answer
            except asyncio.CancelledError:
                talk.dialogue.abort()
                raise

    async def close(self, *, at_once: bool = False) -> None:
        """The end of the connection; `at_once` leaves whatever was not sent unsent."""
        if self._whole is None:
            return
        if self._talk is not None:
            if at_once:
                self._talk.dialogue.abort()
            if not self._next.done():
                self._next.set_result(None)
        elif at_once:
            self._whole.cancel()
        await asyncio.wait((self._whole,))

    async def _hold(self, converse: Callable[[Dialogue[pop3.Pop3Client]], Any]) -> None:
        switchboard = Switchboard()
        try:
            await dial(
                (self._source.host, self._source.port),
                pop3.Pop3Client(),
                converse,
                switchboard,
                tls=self._tls if self._source.implicit_tls else None,
                connect_seconds=self._connect_seconds,
                close_seconds=CLOSE_SECONDS,
            )
        finally:
            switchboard.close()

    async def _take_calls(self, talk: Talk) -> None:
        """One after the other, until somebody hangs up."""
        while (call := await self._next) is not None:
            self._next = asyncio.get_running_loop().create_future()
            step, answer = call
            try:
                result = await step(talk)
            except Exception as problem:
                is_over = not isinstance(problem, _MENDABLE) or talk.machine.pending > 0
                if is_over:
                    self._talk = None
                if not answer.done():
                    answer.set_exception(problem)
                if is_over:
                    return
            else:
                if not answer.done():
                    answer.set_result(result)
