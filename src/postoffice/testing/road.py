"""The whole mail road on loopback: two offices, each a server of its own as a person would run it, a small DNS that
knows both, and an authority that nobody else trusts.

    async with Road() as road:
        await road.a.watch.first("letter.relayed")

What happens in the offices is known from what they tell themselves, their log as JSON; nobody looks into their
folders. When the road is left, every process is gone, however it is left, and its folder with them.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from postoffice.app.config import PORTS
from postoffice.events import Fact
from postoffice.testing.certificates import Authority
from postoffice.testing.dns import FakeDNS, Records
from postoffice.testing.process import make_office
from postoffice.testing.watch import Sighting, Watch

T = TypeVar("T")

START_SECONDS = 20.0
STOP_SECONDS = 15.0
LINE_OCTETS = 1024 * 1024

ENDED = "process.ended"
READY = "ready"
ASKED = "dns.asked"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    address: str
    password: str


class WatchedDNS(FakeDNS):
    """Tells every question when it comes."""

    def __init__(self, zone: Mapping[str, Records]) -> None:
        super().__init__(zone)
        self.watch = Watch("the DNS")

    def reply(self, question: bytes, limit: int) -> bytes | None:
        known = len(self.questions)
        answer = super().reply(question, limit)
        for name, kind in self.questions[known:]:
            self.watch.tell(Sighting(ASKED, time.time(), {"name": name, "type": kind}))
            self.watch.log.append(f"asked for {kind} of {name}")
        return answer


class RoadOffice:
    """One office: a folder, a server process, and what it tells.

    `watch` has the events of its log, `ready` with a fact for each door, and `process.ended` with the exit status.
    """

    def __init__(self, domain: str, local: str, folder: Path) -> None:
        self.domain = domain
        self.host = f"mx.{domain}"
        self.person = Person(f"{local}@{domain}", secrets.token_hex(6))
        self.data = folder / domain
        self.config = folder / f"{domain}.toml"
        self.watch = Watch(self.host)
        self._mx = _reserved_port()
        self.ports = {"smtp": int(self._mx.getsockname()[1])}
        self._process: Process | None = None
        self._listening: asyncio.Task[None] | None = None

    def furnish(self, authority: Authority) -> None:
        """Make the office: folder, certificate, domain, account. Takes some 50 ms; for a thread."""
        make_office(self.data, {self.person.address: self.person.password}, authority)

    def configure(self, nameserver: tuple[str, int], others: list[RoadOffice]) -> None:
        """Where this office asks for the way, and at which port it finds the others: theirs are not number 25."""
        ports = dict.fromkeys(PORTS, 0) | self.ports
        lines = [
            "[office]",
            f'host = "{self.host}"',
            'addresses = ["127.0.0.1"]',
            "workers = 1",
            "drain_seconds = 2.0",
            "[office.ports]",
            *(f"{door} = {port}" for door, port in ports.items()),
            "[relay]",
            f'nameservers = [["{nameserver[0]}", {nameserver[1]}]]',
        ]
        for other in others:
            lines += [f'[relay.routes."{other.domain}"]', f"port = {other.ports['smtp']}"]
        self.config.write_text("\n".join(lines) + "\n")

    async def open(self, *, trace: bool) -> None:
        """Start the server. It is open when it tells `ready`."""
        words = ["serve", "--data", str(self.data), "--config", str(self.config), "--log-json"]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "postoffice", *words, *(["--trace"] if trace else [])),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            limit=LINE_OCTETS,
            start_new_session=True,  # a Ctrl-C is for us; we stop them
        )
        self._listening = asyncio.create_task(self._listen(self._process))

    async def ready(self) -> Sighting:
        """When every door is open; `ports` has them from then on."""
        ready = await self.watch.first(READY, unless=(ENDED,), seconds=START_SECONDS)
        self.ports = {door: int(str(where).rpartition(":")[2]) for door, where in ready.facts.items()}
        return ready

    async def close(self) -> Sighting:
        """Ask the server to end and wait until it has; one that does not is killed with all its processes."""
        process, listening = self._process, self._listening
        assert process is not None
        assert listening is not None
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            self.kill()
        await listening
        return await self.watch.first(ENDED)

    async def leave(self) -> None:
        """Whatever was begun is ended."""
        self._mx.close()
        if self._process is not None:
            await self.close()

    def kill(self) -> None:
        """SIGKILL to all its processes at one moment, as a crash would; `process.ended` is seen when all are gone."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def answers(self) -> bool:
        """Whether somebody still answers at any door."""
        for port in self.ports.values():
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
                return True
        return False

    async def _listen(self, process: Process) -> None:
        """Until both its outputs are closed, which is when all its processes are gone."""
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(self._hear_ready(process.stdout), self._hear_log(process.stderr))
        status = await process.wait()
        self.watch.tell(Sighting(ENDED, time.time(), {"status": status}))

    async def _hear_ready(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            word, *doors = line.decode().split()
            if word == READY:
                facts: dict[str, Fact] = {}
                for door in doors:
                    name, _, where = door.partition("=")
                    facts[name] = where
                self.watch.tell(Sighting(READY, time.time(), facts))

    async def _hear_log(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            text = line.decode(errors="replace").rstrip()
            facts = _facts(text)
            if facts.get("event") != "trace":
                self.watch.log.append(text)
            if "event" in facts and "time" in facts:
                name, at = str(facts.pop("event")), float(facts.pop("time") or 0)
                self.watch.tell(Sighting(name, at, facts))


class Road:
    """a.example with alice, b.example with bob. `zone` replaces what the DNS knows; `trace` makes the offices tell
    every line of their conversations."""

    def __init__(self, *, zone: Mapping[str, Records] | None = None, trace: bool = False) -> None:
        self._zone = zone
        self._trace = trace

    async def __aenter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="postoffice-road-"))
        self.folder.chmod(0o711)  # as root, the offices become somebody else, who must pass here
        self.a = RoadOffice("a.example", "alice", self.folder)
        self.b = RoadOffice("b.example", "bob", self.folder)
        self.dns = WatchedDNS(zone_of(self.a, self.b) if self._zone is None else self._zone)
        try:
            await to_its_end(self._set_up())
        except BaseException:
            await to_its_end(self._tidy_up())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self._tidy_up())

    @property
    def offices(self) -> tuple[RoadOffice, RoadOffice]:
        return self.a, self.b

    @property
    def ca(self) -> Path:
        """The certificate of the authority."""
        return self.authority.ca_path

    async def _set_up(self) -> None:
        await self.dns.__aenter__()
        self.authority = Authority(self.folder)
        await asyncio.gather(*(asyncio.to_thread(office.furnish, self.authority) for office in self.offices))
        for office, other in ((self.a, self.b), (self.b, self.a)):
            office.configure(self.dns.address, [other])
            await office.open(trace=self._trace)

    async def _tidy_up(self) -> None:
        try:
            left = await asyncio.gather(*(office.leave() for office in self.offices), return_exceptions=True)
            await self.dns.__aexit__(None, None, None)
            for problem in left:
                if problem is not None:
                    raise problem
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


async def to_its_end(work: Awaitable[T]) -> T:
    """What must not stop half-way: whoever is cancelled meanwhile, however often, waits for it all the same."""
    working = asyncio.ensure_future(work)
    interrupted: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError as cancelled:
            interrupted = cancelled
    if interrupted is not None:
        with suppress(Exception):
            working.result()
        raise interrupted
    return working.result()


def zone_of(*offices: RoadOffice) -> dict[str, Records]:
    """MX and A for each."""
    zone: dict[str, Records] = {}
    for office in offices:
        zone[office.domain] = {"MX": [f"10 {office.host}."]}
        zone[office.host] = {"A": ["127.0.0.1"]}
    return zone


def _facts(line: str) -> dict[str, Fact]:
    """A line of the log; what is none (a server that falls over) has no facts."""
    try:
        facts = json.loads(line)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _reserved_port() -> socket.socket:
    """A port that is ours, and that a server which sets SO_REUSEADDR may still listen on, because we never do.

    So both offices know the port of the other before either is open.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
