"""An engine made slow: every verb really waits, before its work and after it.

Proves that nobody takes an answer at once for granted. It waits on bare futures of the loop, as an engine
does whose answers come from elsewhere, and never needs a task: conversations drive the verbs by hand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from postoffice.net.pause import pause
from postoffice.store.base import Attic, Directory, Office, Store, Visits

GIVES_VERBS = frozenset({"lock", "mailbox", "stage"})
"""Verbs whose answer has verbs of its own, which wait too."""


class _Slow:
    """The verbs of anything, each waiting. Made once per verb and then an attribute like any other."""

    def __init__(self, quick: object, seconds: float) -> None:
        self._quick = quick
        self._seconds = seconds

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        quick: Callable[..., Awaitable[Any]] = getattr(self._quick, name)
        seconds = self._seconds

        async def verb(*arguments: Any, **named: Any) -> Any:
            await pause(seconds)
            answer = await quick(*arguments, **named)
            await pause(seconds)
            return _Slow(answer, seconds) if name in GIVES_VERBS and answer is not None else answer

        setattr(self, name, verb)
        return verb


class SlowStore:
    """`store`, with `seconds` of waiting on either side of each verb."""

    def __init__(self, store: Store, seconds: float = 0.001) -> None:
        self._store = store
        # One wrapper serves every waist; that it has the verbs of each is known only here.
        self._office = cast(Office, _Slow(store.office, seconds))
        self._directory = cast(Directory, _Slow(store.directory, seconds))
        self._visits = cast(Visits, _Slow(store.visits, seconds))
        self._attic = cast(Attic, _Slow(store.attic, seconds))
        self._seconds = seconds

    @property
    def office(self) -> Office:
        return self._office

    @property
    def directory(self) -> Directory:
        return self._directory

    @property
    def visits(self) -> Visits:
        return self._visits

    @property
    def attic(self) -> Attic:
        return self._attic

    async def close(self) -> None:
        await pause(self._seconds)
        await self._store.close()
        await pause(self._seconds)
