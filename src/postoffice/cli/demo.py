"""`postoffice demo`: a real letter travels the whole road before one's eyes.

Down the page runs time; across it stand the four places of the road. A line appears when its step was observed, and
the exit status is 0 only if every one was (`testing.journey` says what counts as observed); else it is 70.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from postoffice.testing.dns import Records


@dataclass(frozen=True, slots=True)
class Show:
    """What is asked for. `zone` replaces what the road's DNS knows; time is told from `since` on."""

    stay: bool = False
    trace: bool = False
    as_json: bool = False
    zone: Mapping[str, Records] | None = None
    since: float = field(default_factory=time.time)


@click.command()
@click.option("--stay", is_flag=True, help="Leave both offices up, for your own mail program, until Ctrl-C.")
@click.option("--trace", is_flag=True, help="Print the conversations as well, as C: and S: lines.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each step.")
@click.option("--devices", is_flag=True, help="Watch three devices at one maildrop for a month instead, in seconds.")
def demo(stay: bool, trace: bool, as_json: bool, devices: bool) -> None:
    """Watch a real letter travel the whole road.

    Two offices are opened on this machine, each a server of its own; alice writes from one to bob at the other; bob
    pulls the letter home and reads it with both offices closed. Needs no network, and leaves nothing behind.
    """
    if devices:
        from postoffice.cli.demo_devices import play

        if stay or trace:
            raise click.UsageError("--devices goes with --json alone")
        sys.exit(play(as_json=as_json))
    sys.exit(watch(Show(stay, trace, as_json)))


def watch(show: Show) -> int:
    """Let the letter travel; gives the exit status. Every server is stopped when it returns, however it ends."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    return asyncio.run(_interruptible(show))


async def _interruptible(show: Show) -> int:
    """A signal to end ends the letter's journey and then, in order, everything else."""
    ending = _Ending()
    travelling = ending.task = asyncio.ensure_future(_travel(show, ending))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ending.hear, number)
    try:
        return await travelling
    except asyncio.CancelledError:
        return 128 + ending.number


class _Ending:
    """What a signal to end means: the end of `task`, but while somebody stays, the end of staying."""

    def __init__(self) -> None:
        self.task: asyncio.Future[int] | None = None
        self.number = 0
        self._is_staying = False
        self._told = asyncio.Event()

    def hear(self, number: int) -> None:
        self.number = number
        if self._is_staying:
            self._told.set()
        elif self.task is not None:
            self.task.cancel()

    async def stay(self) -> None:
        """Until a signal comes."""
        self._is_staying = True
        await self._told.wait()
        self._is_staying = False


async def _travel(show: Show, ending: _Ending) -> int:
    from postoffice.cli.ladder import JsonPage, Page
    from postoffice.testing.journey import Journey, StepMissing
    from postoffice.testing.road import Road

    page = JsonPage(show.since) if show.as_json else Page(show.since)
    page.begin()
    road = Road(zone=show.zone, trace=show.trace)
    try:
        async with road:
            journey = Journey(road, is_taken=not show.stay)
            async for step in journey.travel():
                page.step(step)
            if show.stay:
                page.invite(road)
                await ending.stay()
            async for step in journey.arrive():
                page.step(step)
    except StepMissing as missing:
        page.missing(missing)
        status = os.EX_SOFTWARE
    else:
        page.end()
        status = os.EX_OK
    if show.trace:
        page.conversations(road)
    return status
