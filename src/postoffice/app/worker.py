"""A worker: one process that answers at every door. It serves until told to stop, or until its parent is gone.

status     worker → parent   `r` when the doors are open, then a `.` each second: I am not stuck
lifeline   parent → worker   never written; its end means that the parent is dead
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from postoffice.accounts.guard import Guard
from postoffice.allocation import keep_freed_memory
from postoffice.app.board import Board
from postoffice.app.build import OpenOffice, own_host
from postoffice.app.certificates import Certificates
from postoffice.app.config import METRICS, Config
from postoffice.app.metrics import Metrics, count_events
from postoffice.app.observe import Log, open_log
from postoffice.app.scrape import answer_readers
from postoffice.clock import system_clock
from postoffice.errors import UsageError
from postoffice.events import event
from postoffice.net.crowd import Crowd
from postoffice.net.dialogue import Dialogue, Tracer
from postoffice.net.listen import Door, serving_loop
from postoffice.net.neighbours import Neighbours
from postoffice.protocols.notation import Recorder
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.remote import RemoteCommitter

HEARTBEAT_SECONDS = 1.0
KEPT_OCTETS = 8 * 1024 * 1024
"""Of memory that was freed, for the next letters."""

PIECE_OCTETS = 1024 * 1024
"""More than any piece of a letter has, and less than the 19 MiB that the hash of a password needs for a moment."""

ALLOCATIONS = 20_000
"""How many objects are made between two looks of the collector, which finds next to nothing: what a session leaves goes
by itself, and what is remembered of a hundred thousand people stays."""

READY = b"r"
ALIVE = b"."


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker is given. `data` is relative to the working directory, which is the data folder."""

    config: Config
    data: Path
    certificates: Certificates
    committer: Path
    doors: Mapping[str, Door]
    board: Board
    guard: Guard
    crowd: Crowd
    trace: bool
    index: int


def work(job: Work, status: int, lifeline: socket.socket) -> None:
    """Serve. Returns when drained."""
    keep_freed_memory(KEPT_OCTETS, PIECE_OCTETS)
    log = Log(job.config.log, open_log(job.config.log))
    count_events(partial(job.board.note, f"worker {job.index}"))
    sys.unraisablehook = _tell_unraisable
    try:
        with asyncio.Runner(loop_factory=serving_loop) as runner:
            runner.run(_serve(job, log, status, lifeline))
    finally:
        log.close()


async def _serve(job: Work, log: Log, status: int, lifeline: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    committer = RemoteCommitter(job.committer)
    store = EmbeddedStore.open(job.data, committer=committer, absorb_seconds=job.config.office.absorb_seconds)
    office = OpenOffice(
        store,
        job.config,
        job.certificates,
        host=await own_host(store, job.config),
        tracer=_tracer if job.trace else None,
        guard=job.guard,
        crowd=job.crowd,
    )
    await office.answer({name: door for name, door in job.doors.items() if name != METRICS})
    metrics = Metrics(job.board, store.office, system_clock)
    scrapes = await answer_readers(job.doors[METRICS].sockets, metrics.read) if METRICS in job.doors else []
    neighbours = Neighbours(job.data, f"worker-{job.index}", office.holders.hear)
    office.holders.tell_others = neighbours.tell
    office.work(tidies=job.index == 0)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, office, log)
    lifeline.setblocking(False)
    loop.add_reader(lifeline, stop.set)
    gc.collect()
    gc.freeze()  # what is there now stays; the collector need not look at it again
    gc.set_threshold(ALLOCATIONS)
    os.write(status, READY)
    heart = loop.create_task(_beat(status))
    await stop.wait()
    loop.remove_reader(lifeline)
    for scrape in scrapes:
        scrape.close()
    await office.close(job.config.office.drain_seconds)
    heart.cancel()
    neighbours.close()
    await store.close()


def beats(status: int, seconds: float) -> Callable[[], None]:
    """For a child without a loop: `r` at the first call, then a `.` at most every `seconds`."""
    last = 0.0

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            with suppress(OSError):
                os.write(status, ALIVE if last else READY)
            last = now

    return beat


async def _beat(status: int) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        with suppress(OSError):
            os.write(status, ALIVE)


def _reload(office: OpenOffice, log: Log) -> None:
    try:
        log.reopen()
    except UsageError as error:
        event("log.reopen_failed", error=str(error))
    try:
        office.reload()
    except UsageError as error:
        event("tls.reload_failed", error=str(error))


def _tell_unraisable(trouble: sys.UnraisableHookArgs) -> None:
    """A line of the log instead of a trace on standard error. A stranger can cause one: he says to TLS a name that is
    no ASCII, and gets no connection (SNI)."""
    event("worker.unraisable", error=f"{type(trouble.exc_value).__name__}: {trouble.exc_value}")


def _tracer(dialogue: Dialogue[Any]) -> Tracer:
    """Tells the conversation as events, line by line, without secrets."""
    recorder = Recorder()

    def hear(who: str, octets: bytes) -> None:
        for line in recorder.hear(who, octets):
            event("trace", session=dialogue.name, port=dialogue.local[1], line=line)

    return hear
