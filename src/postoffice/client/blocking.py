"""`Pop3Client` for programs without an event loop: the same methods, which return when it is done.

A loop of its own runs in a thread of its own from the beginning of the `with` block to its end. Any thread may call;
the calls of several are done one after the other.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from postoffice.client.pop3 import LETTER_OCTETS, Letter, Maildrop, Pop3Client
from postoffice.errors import LocalProtocolError

T = TypeVar("T")


class BlockingPop3Client:
    """A session with a POP3 server. What is said about `Pop3Client` and its methods holds here too.

    The block that comes to its end says QUIT, which removes what was marked; an exception removes nothing.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        implicit_tls: bool = True,
        tls: ssl.SSLContext | None = None,
        allows_clear_text: bool = False,
        utf8: bool = True,
        timeout: float = 60.0,
        connect_timeout: float = 30.0,
    ) -> None:
        self._client = Pop3Client(
            host,
            port,
            implicit_tls=implicit_tls,
            tls=tls,
            allows_clear_text=allows_clear_text,
            utf8=utf8,
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise LocalProtocolError("the block was entered already")
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="pop3", daemon=True)
        self._thread.start()
        try:
            self._do(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._do(self._client.__aexit__(kind, problem, trace))
        finally:
            self._stop()

    @property
    def capabilities(self) -> Mapping[str, tuple[str, ...]]:
        return self._client.capabilities

    def login(self, user: str, password: str = "", *, mechanism: str | None = None) -> None:
        self._do(self._client.login(user, password, mechanism=mechanism))

    def stat(self) -> Maildrop:
        return self._do(self._client.stat())

    def list(self) -> dict[int, int]:
        return self._do(self._client.list())

    def uidl(self) -> dict[int, str]:
        return self._do(self._client.uidl())

    def retrieve(self, number: int) -> Iterator[bytes]:
        return self._each(self._client.retrieve(number))

    def retrieve_bytes(self, number: int, *, limit: int = LETTER_OCTETS) -> bytes:
        return self._do(self._client.retrieve_bytes(number, limit=limit))

    def retrieve_many(self, numbers: Iterable[int], *, limit: int = LETTER_OCTETS) -> Iterator[Letter]:
        return self._each(self._client.retrieve_many(numbers, limit=limit))

    def top(self, number: int, lines: int = 0, *, limit: int = LETTER_OCTETS) -> bytes:
        return self._do(self._client.top(number, lines, limit=limit))

    def dele(self, number: int) -> None:
        self._do(self._client.dele(number))

    def rset(self) -> None:
        self._do(self._client.rset())

    def noop(self) -> None:
        self._do(self._client.noop())

    def languages(self) -> dict[str, str]:
        return self._do(self._client.languages())

    def lang(self, language_range: str) -> None:
        self._do(self._client.lang(language_range))

    def quit(self) -> None:
        self._do(self._client.quit())

    # --- how

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Done in the loop, awaited here. Whoever is interrupted here interrupts it there."""
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise LocalProtocolError("this client works inside of its with block")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> T | None:
            return await anext(items, None)

        while (item := self._do(step())) is not None:
            yield item

    def _stop(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()
