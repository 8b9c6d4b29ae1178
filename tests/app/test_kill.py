"""Two offices whose processes are killed at random moments keep every promise that they gave.

Clients send by SMTP to both, also through the queue of the one to the other, and pull by POP3 all the while; three
devices of one account do. Every letter answered with 250 is there, once, for each device; nothing is removed without
a complete QUIT of its own; what a QUIT removed stays gone from it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from postoffice.testing.ledger import Ledger
from postoffice.testing.process import (
    CLEAR_TEXT,
    OfficeProcess,
    check_office,
    make_office,
    wait_until,
)
from postoffice.testing.raw import Pop3Raw, SmtpRaw

PASSWORD = "secret"
SENDER = "alice@a.example"
AT_A = ["anna@a.example", "anton@a.example"]
AT_B = ["bob@b.example", "berta@b.example", "bruno@b.example"]
DEVICES = ["laptop", "phone"]
"""Of bob, besides his own password."""
SPOOLED = 0.12
"""The part of the letters that is too large for one row."""

SETTINGS = """
[office]
addresses = ["127.0.0.1"]
workers = 2
tidy_seconds = 0.1
absorb_seconds = 0.0
[queue]
retry_minutes = [0.005]
lease_seconds = 3.0
[relay.routes."b.example"]
host = "127.0.0.1"
port = {port}
"""


class Town:
    """Two offices on ports that stay theirs, and everybody who uses them."""

    def __init__(self, folder: Path, seed: int, stack: ExitStack) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.a = self._office(folder / "a", [SENDER, *AT_A], stack)
        self.ports_a = self.a.ports.copy()
        self.ports_b: dict[str, int] = {}
        self.keys = {(address, ""): PASSWORD for address in (SENDER, *AT_A, *AT_B)}
        self.b = self._office(folder / "b", AT_B, stack, devices=DEVICES)
        self.ports_b = self.b.ports.copy()
        self.a.stop()
        self.a = self._office(folder / "a", [], stack, others_port=self.ports_b["smtp"])
        self.ports_a = self.a.ports.copy()

    def _office(
        self, data: Path, people: list[str], stack: ExitStack, others_port: int = 25, devices: Sequence[str] = ()
    ) -> OfficeProcess:
        if people:
            make_office(data, dict.fromkeys(people, PASSWORD))
        for device in devices:
            call = [sys.executable, "-m", "postoffice", "device", "add", "--data", str(data), people[0], device]
            made = subprocess.run(call, capture_output=True, text=True, check=True)
            self.keys[people[0], device] = made.stdout.strip()
        ports = {door: _kept_port(stack) for door in ("smtp", "submission", "pop3")}
        words = [word for door, port in ports.items() for word in ("--port", f"{door}={port}")]
        office = OfficeProcess(data, SETTINGS.format(port=others_port) + CLEAR_TEXT, words)
        return stack.enter_context(office)

    # --- who lives there

    def open(self) -> None:
        jobs: list[Callable[[random.Random], None]] = [
            lambda dice: self._send(dice, self.ports_b["smtp"], "x@elsewhere.example", AT_B),
            lambda dice: self._send(dice, self.ports_a["smtp"], "x@elsewhere.example", AT_A),
            lambda dice: self._send(dice, self.ports_a["submission"], SENDER, [*AT_A, *AT_B], log_in=True),
            lambda dice: self._send(dice, self.ports_a["submission"], SENDER, AT_B, log_in=True),
        ]
        dice = random.Random(self.seed)
        for who in self.keys:
            self._pull(dice, self._port_of(who), who, keeps_all=True)  # a device counts from its first login
            if who[0] != SENDER:
                jobs.append(lambda dice, who=who: self._pull(dice, self._port_of(who), who))  # type: ignore[misc]
        for number, job in enumerate(jobs):
            dice = random.Random(f"{self.seed}-{number}")
            self._threads.append(threading.Thread(target=self._live, args=(job, dice), daemon=True))
        for thread in self._threads:
            thread.start()

    def _live(self, job: Callable[[random.Random], None], dice: random.Random) -> None:
        while not self.over.is_set():
            try:
                job(dice)
            except TimeoutError as error:
                self.ledger.problems.append(f"a client waited in vain: {error!r}")
            except OSError:
                self.over.wait(0.02)  # killed just now; somebody else comes up
            except Exception as error:
                self.ledger.problems.append(f"a client did not understand: {error!r}")

    def close(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _send(self, dice: random.Random, port: int, sender: str, people: list[str], *, log_in: bool = False) -> None:
        """One session of a few letters."""
        with SmtpRaw(port) as client:
            client.ask("EHLO client.example")
            if log_in and client.log_in(sender, PASSWORD) != 235:
                return
            for _ in range(dice.randint(1, 4)):
                octets = dice.randint(300_000, 900_000) if dice.random() < SPOOLED else dice.randint(100, 8000)
                recipients = dice.sample(people, dice.randint(1, 2))
                sent, letter = self.ledger.write(recipients, octets)
                sent.is_answered = client.send(sender, recipients, letter) == 250

    def _port_of(self, who: tuple[str, str]) -> int:
        return (self.ports_b if who[0] in AT_B else self.ports_a)["pop3"]

    def _pull(self, dice: random.Random, port: int, who: tuple[str, str], *, keeps_all: bool = False) -> None:
        """One session of a device: look at what is new, mark some, and end in one of three ways."""
        drop = self.ledger.drop(*who)
        with Pop3Raw(port) as client:
            if not client.log_in(who[0], self.keys[who]).startswith(b"+OK"):
                return
            by_name = {unique_id: number for number, unique_id in client.unique_ids().items()}
            for unique_id in self.ledger.shown(drop, by_name):
                self.ledger.retrieved(drop, unique_id, client.retrieve(by_name[unique_id]))
            marked = [] if keeps_all else [name for name in by_name if dice.random() < 0.6]
            for unique_id in marked:
                client.ask(f"DELE {by_name[unique_id]}")
            ending = 1.0 if keeps_all else dice.random()
            if ending < 0.15:
                return
            self.ledger.quit(drop, marked, is_answered=False)
            if ending < 0.3:
                client.say(b"QUIT\r\n")
            elif client.ask("QUIT").startswith(b"+OK"):
                self.ledger.quit(drop, marked, is_answered=True)

    # --- what happens to them

    def strike(self) -> None:
        """Wait for a random moment, and kill: everything of an office, or one process of it."""
        office = self.random.choice([self.a, self.b])
        self.over.wait(self.random.uniform(0.05, 0.6))
        kind = self.random.choice(["all", "all", "worker", "committer"])
        self.ledger.kills += 1
        if kind == "all":
            office.kill()
            damages = check_office(office.data)
            assert not damages, f"seed {self.seed}: {damages}"
            office.start()
            return
        for pid in office.children(kind)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def settle(self) -> None:
        """Nobody is killed any more: everything comes to where it belongs."""
        dice = random.Random(self.seed)

        def all_is_there() -> bool:
            for who in self.keys:
                with suppress(ConnectionError):
                    self._pull(dice, self._port_of(who), who, keeps_all=True)
            return not self.ledger.missing()

        try:
            wait_until(all_is_there, "every letter answered with 250 is there", 60)
        except AssertionError as error:
            raise AssertionError(f"seed {self.seed}: {error}: {self.ledger.missing()}") from None


def _kept_port(stack: ExitStack) -> int:
    """A free port that nobody else gets meanwhile: bound here too, but not listening."""
    holder = stack.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return int(holder.getsockname()[1])


def besiege(folder: Path, rounds: int, seed: int) -> None:
    with ExitStack() as stack:
        town = Town(folder, seed, stack)
        town.open()
        stack.callback(town.close)
        for _ in range(rounds):
            town.strike()
        town.close()
        town.settle()
        for office in (town.a, town.b):
            assert office.stop() == 0
            assert not check_office(office.data), f"seed {seed}"
        ledger = town.ledger
        answered = sum(sent.is_answered for sent in ledger.sent.values())
        print(
            f"seed {seed}: {len(ledger.sent)} letters sent, {answered} answered,"
            f" {sum(len(d.copies) for d in ledger.drops.values())} copies,"
            f" {sum(len(d.removed) for d in ledger.drops.values())} removed,"
            f" {sum(len(d.uncertain) for d in ledger.drops.values())} uncertain,"
            f" {ledger.relayed_twice()} relayed twice"
        )
        assert not ledger.problems, f"seed {seed}: {ledger.problems}"
        assert not ledger.repeated(), f"seed {seed}: {ledger.repeated()}"
        assert any(drop.removed for drop in ledger.drops.values()), f"seed {seed}: nobody pulled anything"
        assert answered > rounds


def test_whatever_is_killed_in_twenty_rounds_every_promise_is_kept(folder: Path) -> None:
    besiege(folder, 20, random.SystemRandom().randrange(1 << 32))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_whatever_is_killed_in_five_hundred_rounds_every_promise_is_kept(folder: Path, part: int) -> None:
    besiege(folder, 50, random.SystemRandom().randrange(1 << 32))
