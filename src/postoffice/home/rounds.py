"""Pulling without a person: every account of the settings file again and again, each in its turn (`schedule`).

    due ──▶ running ──▶ due            several at once; never two of one maildrop, or of one mailbox file
                 └────▶ gone           stopped, or no longer in the settings

Who stops it lets each pull come to the end of the durable step that runs; what has come whole by then is kept.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from postoffice.errors import PostofficeError, UsageError
from postoffice.events import Fact, event, listen
from postoffice.home.config import Account, Home
from postoffice.home.pulling import account_pulled, pull
from postoffice.home.scanning.quiet import Quiet
from postoffice.home.schedule import Turn
from postoffice.home.together import MOST_AT_ONCE
from postoffice.net.notify import notify, watchdog_seconds

awake: Final = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""The time for which this machine has been up, also while it slept."""


class Rounds:
    """Made and run in one loop. `read` gives the settings, `chance` a number from 0 to 1, `clock` seconds."""

    def __init__(
        self,
        read: Callable[[], Home],
        *,
        clock: Callable[[], float] = awake,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._read = read
        self._clock = clock
        self._chance = chance
        self._home = read()
        self._quiet = Quiet(clock)
        self._turns: dict[str, Turn] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._is_stopping = False
        self._watchdog_seconds = watchdog_seconds()
        self._take_in({})

    async def run(self) -> None:
        """Until somebody says `stop`. What goes wrong is told as an event, and tried again."""
        quiet = listen(self._hear)
        notify("READY=1")
        event("home.ready", accounts=len(self._turns))
        try:
            async with asyncio.TaskGroup() as group:
                while not self._is_stopping:
                    now = self._clock()
                    self._begin_what_is_due(group, now)
                    self._say_how_it_is()
                    await self._wait(now)
        finally:
            quiet()

    # --- what others say

    def stop(self) -> None:
        """Nothing begins any more, and what runs comes to an end; `run` returns then."""
        notify("STOPPING=1")
        self._is_stopping = True
        for task in self._running.values():
            task.cancel()
        self._woken.set()

    def reload(self) -> None:
        """Read the settings anew; what is wrong with them is told, and those of before stay."""
        before = self._home.accounts
        try:
            self._home = self._read()
        except UsageError as error:
            event("home.not_reloaded", because=str(error))
            return
        self._take_in(before)
        event("home.reloaded", accounts=len(self._turns))

    def poke(self) -> None:
        """Pull now."""
        now = self._clock()
        for turn in self._turns.values():
            turn.poke(now)
        self._woken.set()

    def network_came(self) -> None:
        now = self._clock()
        for turn in self._turns.values():
            turn.network_came(now, self._chance())
        self._woken.set()

    # --- the round

    def _take_in(self, before: dict[str, Account]) -> None:
        """A turn for each account; those that are as before keep theirs."""
        now, accounts = self._clock(), self._home.accounts
        for name in before.keys() | accounts.keys():
            if before.get(name) == accounts.get(name):
                self._turns[name].settings_changed(now)
                continue
            self._turns.pop(name, None)
            if name in accounts:
                self._turns[name] = Turn(accounts[name].every, now, self._chance())
            if name in self._running:
                self._running[name].cancel()
        self._woken.set()

    def _begin_what_is_due(self, group: asyncio.TaskGroup, now: float) -> None:
        for name, turn in self._turns.items():
            if turn.due <= now and self._may_begin(self._home.accounts[name]):
                turn.begun()
                task = group.create_task(self._pull(self._home.accounts[name], turn))
                self._running[name] = task
                task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, _task: asyncio.Task[None]) -> None:
        del self._running[name]
        self._woken.set()

    def _may_begin(self, account: Account) -> bool:
        """A maildrop is locked by whoever has it (RFC 1939 §4), and so is a mailbox file."""
        running = [self._home.accounts.get(name) for name in self._running]
        return (
            account.name not in self._running
            and len(running) < MOST_AT_ONCE
            and not any(
                one and (one.source.maildrop == account.source.maildrop or set(one.into) & set(account.into))
                for one in running
            )
        )

    async def _pull(self, account: Account, turn: Turn) -> None:
        try:
            outcome = await pull(account, self._home.hooks, self._quiet)
        except PostofficeError as problem:
            await self._failed(account, turn, problem)
        except Exception as error:
            # An unknown exception is a failure of this pull, and not the end of all others.
            because = "".join(traceback.format_exception(error))
            await self._failed(account, turn, PostofficeError(f"a bug of ours: {because}"))
        else:
            if turn.failures:
                event("home.well_again", account=account.name)
            turn.succeeded(self._clock(), self._chance())
            names = ("letters", "octets", "known", "deleted", "refused")
            facts = {name: getattr(outcome.report, name) for name in names}
            waiting = outcome.scanned.waiting.unscanned
            event("home.pulled", account=account.name, **facts, staying=outcome.handed.staying, unscanned=waiting)

    async def _failed(self, account: Account, turn: Turn, problem: PostofficeError) -> None:
        if turn.failed(self._clock(), problem):
            event("home.failed", account=account.name, because=str(problem))
            await self._home.hooks.account_failed(account.name, problem)

    async def _wait(self, now: float) -> None:
        """Until somebody is due who was not at `now`, or something happened: whoever was due and could not begin waits
        for the end of another."""
        seconds = [turn.due - now for name, turn in self._turns.items() if name not in self._running and turn.due > now]
        if self._watchdog_seconds:
            seconds.append(self._watchdog_seconds / 3)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, default=None)):
                await self._woken.wait()
        self._woken.clear()
        if self._watchdog_seconds:
            notify("WATCHDOG=1")

    def _say_how_it_is(self) -> None:
        failing = sorted(name for name, turn in self._turns.items() if turn.failures)
        words = f"{len(self._turns)} accounts, {len(self._running)} being pulled"
        notify(f"STATUS={words}" + (f"; failing: {', '.join(failing)}" if failing else ""))

    def _hear(self, name: str, facts: dict[str, Fact]) -> None:
        if name == "home.entered" and (turn := self._turns.get(account_pulled.get())):
            delay = facts["login_delay"]
            assert isinstance(delay, float)
            turn.entered(self._clock(), delay)
