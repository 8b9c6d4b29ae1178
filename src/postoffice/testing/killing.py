"""A process that is killed at a chosen step of what it does to files.

    killed_at(7, deed, folder)      `deed(folder, vfs)` in a process of its own, which SIGKILL ends before its 7th step
    killed_at(7, deed, folder, in_half=True)    if that is a write, after half of its octets

A step is a call that changes a file or makes something durable: those of `os` that are named here, and every write,
sync and deletion of SQLite through `vfs`. What was done before stays, as it does when a process is killed; what a loss
of power takes away is the matter of `power` and `disk`. Where the steps are fewer, the deed comes to its end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Literal

from postoffice.testing.power import PowerSupply

Deed = Callable[[Path, str], Awaitable[None]]
"""A coroutine function of a module that a fresh process can import."""

_CALLS: Final = ("mkdir", "rename", "link", "unlink", "ftruncate", "fsync", "utime", "write", "pwrite")
_PATIENCE_SECONDS: Final = 60.0


def killed_at(step: int, deed: Deed, folder: Path, *, in_half: bool = False) -> bool:
    """Whether it was killed; False if it came to its end. What the deed raises is an AssertionError."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([deed.__module__, __name__])
    process = context.Process(target=_do, args=(step, deed, folder, in_half))
    process.start()
    process.join(_PATIENCE_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL), f"step {step}: it ended with {process.exitcode}"
    return process.exitcode != 0


def _do(step: int, deed: Deed, folder: Path, in_half: bool) -> None:
    steps = _Steps(step, in_half)
    for name in _CALLS:
        setattr(os, name, steps.counting(getattr(os, name), name))
    with _Supply(steps) as supply:
        asyncio.run(_awaited(deed(folder, supply.name)))


async def _awaited(work: Awaitable[None]) -> None:
    await work


class _Steps:
    def __init__(self, last: int, in_half: bool) -> None:
        self._last = last
        self._in_half = in_half
        self._count = 0

    def is_last(self) -> bool:
        self._count += 1
        return self._count >= self._last

    def counting(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            if self.is_last():
                if self._in_half and name in ("write", "pwrite"):
                    descriptor, octets, *offset = arguments
                    call(descriptor, bytes(octets)[: len(octets) // 2], *offset)
                _die()
            return call(*arguments, **more)

        return counted


class _Supply(PowerSupply):
    """The steps of SQLite."""

    def __init__(self, steps: _Steps) -> None:
        super().__init__()
        self._steps = steps

    def __exit__(self, *_: object) -> Literal[False]:
        return False  # the process ends, and with it the connections that its threads have

    def moment(self) -> None:
        if self._steps.is_last():
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
