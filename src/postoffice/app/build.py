"""One process of an office: the doors, the queue runner and the housekeeping, around a store."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from postoffice.access.pop3 import Pop3Door
from postoffice.access.takeover import Holders
from postoffice.accounts.guard import Guard
from postoffice.accounts.login import Login
from postoffice.accounts.retention import Retention
from postoffice.app.config import DOORS, Config
from postoffice.clock import Clock, system_clock
from postoffice.events import event
from postoffice.net import tls as tls_room
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
from postoffice.transfer.submission import SubmissionPolicy

if TYPE_CHECKING:
    from postoffice.accounts.tokens import Tokens

IMPLICIT_TLS = frozenset({"pop3s", "submissions"})
NOTING_SECONDS = 2.0
"""How long a courier may take, once all conversations are over, to note what he heard."""


class OpenOffice:
    """An office that answers. Made inside a running loop by `open_office`."""

    def __init__(
        self,
        store: Store,
        config: Config,
        certificate: tuple[Path, Path],
        *,
        host: str,
        tracer: Callable[[Dialogue[Any]], Tracer | None] | None = None,
        guard: Guard | None = None,
        crowd: Crowd | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._store = store
        self._config = config
        self._certificate = certificate
        self._tls: ssl.SSLContext = tls_room.server_context(*certificate)
        # Only people are asked for a certificate: an office that shows one of somebody else's must not be turned away.
        clients = config.tls.client_authorities
        self._login_tls = tls_room.server_context(*certificate, clients) if clients else self._tls
        self.holders = Holders(config.pop3.takeover_seconds)
        crowd = crowd or Crowd(config.crowd, tuple(DOORS), config.guard.trusted_networks)
        self._switchboard = Switchboard(tracer, crowd)
        guard = guard or Guard(config.guard, clock=clock)
        self._login = Login(store.directory, config.login, clock, _tokens(config, clock), guard)
        self._retention = Retention(store.office, store.directory, store.attic, self._login.bylaws, clock)
        self._intake = Intake(host, store.office, store.directory, config.intake, clock)
        self._courier = Courier(host, store.office, Router(config.relay, host), self._switchboard, config.courier)
        self._runner = QueueRunner(store.office, self._intake, self._courier, config.queue, clock)
        self._intake.on_queued = self._runner.wake
        self._clock = clock
        self._servers: list[Answering] = []
        self._carrying: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None

    async def answer(self, doors: Mapping[str, Door]) -> None:
        """Open the doors."""
        for name, door in doors.items():
            context = self._login_tls if name in IMPLICIT_TLS else None
            balancers = self._config.office.proxy_networks
            self._servers += await answer(door, self._answerer(name), context, balancers, self._switchboard.crowd)

    def work(self, *, tidies: bool = True) -> None:
        """Carry what is in the queue, and keep house."""
        self._carrying = asyncio.create_task(self._runner.run(), name="queue")
        if tidies:
            self._tidying = asyncio.create_task(self._keep_house(), name="tidy")

    def reload(self) -> None:
        """Read certificate and key again; conversations that stand keep theirs."""
        tls_room.reload(self._tls, *self._certificate)
        if self._login_tls is not self._tls:
            tls_room.reload(self._login_tls, *self._certificate, self._config.tls.client_authorities)
        event("tls.reloaded", certificate=str(self._certificate[0]))

    def cut(self) -> None:
        """End every conversation at once, without a word: what a lost network does."""
        self._switchboard.close()

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Let nobody in any more, let those finish who are inside, and the couriers, stop working. The store stays
        open."""
        for server in self._servers:
            server.close()
        self._runner.stop()
        tasks = [task for task in (self._tidying, self._carrying) if task is not None]
        if self._tidying is not None:
            self._tidying.cancel()
        await self._switchboard.drain(drain_seconds)
        if self._carrying is not None:
            # What was said to a courier just now is noted; what he still waits for is given back.
            await asyncio.wait([self._carrying], timeout=min(drain_seconds, NOTING_SECONDS))
            self._carrying.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._login.close()

    def _answerer(self, name: str) -> Callable[[], Dialogue[Any]]:
        config = self._config
        tls = None if name in IMPLICIT_TLS else self._tls if name in ("smtp", "lmtp") else self._login_tls
        if name in ("pop3", "pop3s"):
            return Pop3Door(
                self._intake.host,
                self._store.office,
                self._login,
                self._switchboard,
                name=name,
                tls=tls,
                settings=config.pop3,
                holders=self.holders,
                clock=self._clock,
                make_stamp=partial(stamp, self._intake.host),
            )
        if name == "lmtp":
            return LmtpDoor(LmtpPolicy(), self._intake, self._login, self._switchboard, tls=tls, settings=config.smtp)
        policy = MxPolicy() if name == "smtp" else SubmissionPolicy(self._store.directory, name)
        return SmtpDoor(policy, self._intake, self._login, self._switchboard, tls=tls, settings=config.smtp)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._config.office.tidy_seconds)
            try:
                await self._store.office.tidy()
                await self._retention.work()
            except Exception as error:
                event("tidy.failed", error=f"{type(error).__name__}: {error}")


def _tokens(config: Config, clock: Clock) -> Tokens | None:
    if not config.oauth.is_on:
        return None
    from postoffice.accounts.tokens import Tokens

    return Tokens(config.oauth, clock)


async def own_host(store: Store, config: Config) -> str:
    """What the office calls itself."""
    return config.office.host or next(iter(await store.directory.domains()), "localhost")
