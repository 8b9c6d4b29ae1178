"""Passwords at rest: argon2id, 19 MiB and two passes (the OWASP minimum), in a bounded pool of threads.

A hash costs about 20 ms of a core. It must never run in the event loop, and a crowd of wrong passwords must not
pile up without bound: beyond a queue of `WAITING_LIMIT` the answer is a temporary refusal.

What another server kept (`imported`) is checked beside an argon2id hash that nothing fits, so it is never quicker than
what everybody else has; a hash that is itself slower than argon2id tells by its time, until its owner has logged in,
that somebody is here.
"""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from postoffice.accounts import imported
from postoffice.errors import temporary

T = TypeVar("T")

WAITING_LIMIT = 64

_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$bT7FF7ovPYr1+vANQhkSZQ$R4bSUxEufnCTSt1m82ORl+PTITctk+lZJR3C0h/eY6g"
"""The verifier of an account that is not there, so that it costs the same to ask for."""


def make_verifier(password: str) -> str:
    """What is kept instead of a password: of its NFC form, for keyboards differ. Costs 20 ms."""
    return _hasher.hash(unicodedata.normalize("NFC", password))


class PasswordPool:
    """Verifies passwords in threads, one per core if nothing is said. Each needs 19 MiB while it works."""

    def __init__(self, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="password")
        self._waiting = 0

    async def verify(self, verifier: str | None, password: str) -> bool:
        """Whether the password is the verifier's. Without a verifier: the same work, and no."""
        return await self._work(lambda: _verify(verifier, password))

    async def make(self, password: str) -> str:
        """What is kept instead of a password."""
        return await self._work(lambda: make_verifier(password))

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_LIMIT:
            raise temporary("too many passwords are being verified", "Too many logins at once, try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _verify(verifier: str | None, password: str) -> bool:
    if verifier is not None and imported.scheme_of(verifier) is not None:
        is_right = imported.fits(verifier, password)
        _verify(None, password)
        return is_right
    try:
        return _hasher.verify(verifier or _NOBODY, unicodedata.normalize("NFC", password)) and verifier is not None
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError):
        return False
