"""One process of an office: the doors, the queue runner and the housekeeping, around a store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from postoffice.access.pop3 import Pop3Door
from postoffice.access.takeover import Holders
from postoffice.accounts.devices import Devices
from postoffice.accounts.guard import Guard
from postoffice.accounts.login import Login
from postoffice.accounts.retention import Retention
from postoffice.accounts.visits import VisitBook
from postoffice.app.certificates import Certificates
from postoffice.app.config import DOORS, Config
from postoffice.clock import Clock, system_clock
from postoffice.errors import StoreError
from postoffice.events import event
from postoffice.net.crowd import Crowd
from postoffice.net.dialogue import Dialogue, Tracer
from postoffice.net.listen import Answering, Door, answer
from postoffice.net.switchboard import Switchboard
from postoffice.protocols.sasl.digest import stamp
from postoffice.store.base import Store
from postoffice.transfer.courier import Courier
from postoffice.transfer.door import SmtpDoor
from postoffice.transfer.intake import Intake
from postoffice.transfer.lmtp import LmtpDoor, LmtpPolicy
from postoffice.transfer.mx import MxPolicy
from postoffice.transfer.queue import QueueRunner
from postoffice.transfer.route import Router
from postoffice.transfer.sendmail import SENDMAIL, SendmailDoor, SendmailPolicy
from postoffice.transfer.submission import SubmissionPolicy

if TYPE_CHECKING:
    from postoffice.accounts.tokens import Tokens

IMPLICIT_TLS = frozenset({"pop3s", "submissions"})
WRITING_SECONDS = 2.0
"""How often it is written who came."""
NOTING_SECONDS = 2.0
"""How long a courier may take, once all conversations are over, to note what he heard."""


class OpenOffice:
    """An office that answers. Made inside a running loop by `open_office`."""

    def __init__(
        self,
        store: Store,
        config: Config,
        certificates: Certificates,
        *,
        host: str,
        tracer: Callable[[Dialogue[Any]], Tracer | None] | None = None,
        guard: Guard | None = None,
        crowd: Crowd | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._store = store
        self._config = config
        self._certificates = certificates
        self.holders = Holders(config.pop3.takeover_seconds)
        crowd = crowd or Crowd(config.crowd, tuple(DOORS), config.guard.trusted_networks)
        self._switchboard = Switchboard(tracer, crowd)
        guard = guard or Guard(config.guard, clock=clock)
        self._login = Login(store.directory, config.login, clock, _tokens(config, clock), guard, _threads(config))
        self._visits = VisitBook(store.visits, clock)
        self._devices = Devices(store, self._login.bylaws, host, clock)
        self._retention = Retention(store.office, store.directory, store.attic, self._login.bylaws, clock)
        self._intake = Intake(host, store.office, store.directory, config.intake, clock)
        self._courier = Courier(host, store.office, Router(config.relay, host), self._switchboard)
        self._runner = QueueRunner(store.office, self._intake, self._courier, config.queue, clock)
        self._intake.on_queued = self._runner.wake
        self._clock = clock
        self._servers: list[Answering] = []
        self._carrying: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._noting: asyncio.Task[None] | None = None

    async def answer(self, doors: Mapping[str, Door]) -> None:
        """Open the doors."""
        for name, door in doors.items():
            context = self._certificates.for_people if name in IMPLICIT_TLS else None
            balancers = self._config.office.proxy_networks
            self._servers += await answer(door, self._answerer(name), context, balancers, self._switchboard.crowd)

    def work(self, *, tidies: bool = True) -> None:
        """Carry what is in the queue, and keep house."""
        self._carrying = asyncio.create_task(self._runner.run(), name="queue")
        self._noting = asyncio.create_task(self._note_visits(), name="visits")
        if tidies:
            self._tidying = asyncio.create_task(self._keep_house(), name="tidy")

    def reload(self) -> None:
        """Read certificates and keys again; conversations that stand keep theirs."""
        self._certificates.reload()
        first, *more = self._certificates.paths
        event("tls.reloaded", certificate=str(first), more=len(more) or None)

    def cut(self) -> None:
        """End every conversation at once, without a word: what a lost network does."""
        self._switchboard.close()

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Let nobody in any more, let those finish who are inside, and the couriers, stop working. The store stays
        open."""
        for server in self._servers:
            server.close()
        self._runner.stop()
        self._courier.close()
        tasks = [task for task in (self._tidying, self._noting, self._carrying) if task is not None]
        for task in (self._tidying, self._noting):
            if task is not None:
                task.cancel()
        await self._switchboard.drain(drain_seconds)
        if self._carrying is not None:
            # What was said to a courier just now is noted; what he still waits for is given back.
            await asyncio.wait([self._carrying], timeout=min(drain_seconds, NOTING_SECONDS))
            self._carrying.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(StoreError):
            await self._visits.write()
        self._login.close()

    def _answerer(self, name: str) -> Callable[[], Dialogue[Any]]:
        config = self._config
        shown = self._certificates
        tls = None if name in IMPLICIT_TLS else shown.for_offices if name in ("smtp", "lmtp") else shown.for_people
        if name in ("pop3", "pop3s"):
            return Pop3Door(
                self._intake.host,
                self._store.office,
                self._login,
                self._switchboard,
                self._visits,
                name=name,
                tls=tls,
                settings=config.pop3,
                holders=self.holders,
                clock=self._clock,
                make_stamp=partial(stamp, self._intake.host),
            )
        if name == "lmtp":
            return LmtpDoor(LmtpPolicy(), self._intake, self._login, self._switchboard, tls=tls, settings=config.smtp)
        if name == SENDMAIL:
            programs = SendmailPolicy(self._store.directory)
            return SendmailDoor(programs, self._intake, self._login, self._switchboard, settings=config.smtp)
        policy = MxPolicy() if name == "smtp" else SubmissionPolicy(self._store.directory, name)
        return SmtpDoor(policy, self._intake, self._login, self._switchboard, tls=tls, settings=config.smtp)

    async def keep_house(self) -> None:
        """What is due now of all that nobody waits for. A loop that does it now and then is begun by `work`."""
        await self._visits.write()
        await self._store.office.tidy()
        await self._retention.work()
        await self._devices.work()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._config.office.tidy_seconds)
            try:
                await self.keep_house()
            except Exception as error:
                event("tidy.failed", error=f"{type(error).__name__}: {error}")

    async def _note_visits(self) -> None:
        while True:
            await asyncio.sleep(WRITING_SECONDS)
            try:
                await self._visits.write()
            except StoreError as error:
                event("visits.failed", error=str(error))


def _threads(config: Config) -> int:
    """How many verify passwords in this process: those of all workers together keep every core busy."""
    cores = os.cpu_count() or 1
    return max(1, cores // (config.office.workers or cores))


def _tokens(config: Config, clock: Clock) -> Tokens | None:
    if not config.oauth.is_on:
        return None
    from postoffice.accounts.tokens import Tokens

    return Tokens(config.oauth, clock)


async def own_host(store: Store, config: Config) -> str:
    """What the office calls itself."""
    return config.office.host or next(iter(await store.directory.domains()), "localhost")
