"""One committer writes `office.db`, and everybody who accepts letters hands it jobs.

Two writers of one SQLite file starve each other; one that takes everything that came while it was syncing serves
all of them at the speed of the disk. Here it is a thread of this process; `remote` has it as a process of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar, cast

from postoffice.database.sqlite import Connection, open_writer, shut
from postoffice.errors import PostofficeError, StoreError, StoreUnavailable
from postoffice.store.embedded.committing import GROUP_JOBS, commit_group
from postoffice.store.embedded.jobs import AnyJob, Job

R = TypeVar("R")

Waiting = tuple[AnyJob, asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Committer(Protocol):
    """Who writes the office's file."""

    def run(self, job: Job[R]) -> Awaitable[R]:
        """Do a job; its result is here once it is durable, or its error is raised."""
        ...

    async def close(self) -> None:
        """Everything handed over before is done; nothing is taken any more."""


class ThreadCommitter:
    """The committer as a thread, begun with the first job."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._jobs: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def run(self, job: Job[R]) -> Awaitable[R]:
        if self._is_closed:
            raise StoreUnavailable("the office is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put((cast(AnyJob, job), loop, future))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
            self._thread.start()
        return future

    async def close(self) -> None:
        self._is_closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _work(self) -> None:
        connection: Connection | None = None
        try:
            while group := self._next_group():
                try:
                    connection = connection or open_writer(self._path, self._vfs)
                except StoreError as error:
                    _tell(group, [error] * len(group))
                    continue
                _tell(group, commit_group(connection, [job for job, _, _ in group], self._path))
        finally:
            if connection is not None:
                shut(connection)

    def _next_group(self) -> list[Waiting]:
        """Waits for a job, then takes what came meanwhile; empty when the office is closed."""
        group: list[Waiting] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) >= GROUP_JOBS:
                return group
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return group
        if group:
            self._jobs.put(None)
        return group


def _tell(group: Sequence[Waiting], answers: Sequence[object]) -> None:
    """Give the answers, in one step for each loop that waits."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], object]]] = {}
    for (_, loop, future), answer in zip(group, answers, strict=True):
        by_loop.setdefault(loop, []).append((future, answer))
    for loop, told in by_loop.items():
        try:
            loop.call_soon_threadsafe(answer_all, told)
        except RuntimeError:
            continue  # that loop is closed: nobody waits there any more


def answer_all(told: Sequence[tuple[asyncio.Future[Any], object]]) -> None:
    for future, answer in told:
        if future.done():
            continue
        if isinstance(answer, PostofficeError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
