"""Running the contenders through a scene in alternating rounds, and seeing to it that all of them did equal work.

All contenders of a scene are up at the same time, idle but for the one that is measured, and take turns within every
round, so that a noisy minute hits all of them. A run that did other work than it should ends the benchmark: octets
and sums of what was pulled must be those of the letters, what was deleted must be gone, and what was accepted must
lie in the mailboxes, no more and no less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import programs
from bench.contender import DOMAIN, PASSWORD, Contender, Mail
from bench.letters import letters
from bench.measure import PeakMemory, cpu_seconds, on_core
from bench.rows import Row, Scene


class UnequalWork(Exception):
    """A contender did not do the work that it was measured for. Says which and what."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one contender. Times in seconds.

    `cpu_by_root` splits the processor time by tree of processes.
    """

    row: str
    contender: str
    round_number: int
    operations: int
    seconds: float
    settled_seconds: float
    cpu_seconds: float
    cpu_by_root: dict[str, float]
    memory_octets: int
    generator_share: float
    p50_ms: float
    p99_ms: float
    octets: int
    session_octets: int
    checksum: str

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds

    @property
    def settled_rate(self) -> float:
        """Operations per second until everything was in its place."""
        return self.operations / self.settled_seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per operation."""
        return self.cpu_seconds / self.operations * 1e6


@dataclass(slots=True)
class Plan:
    """How long and how often. `tell` hears what happens, a line at a time."""

    rounds: int
    seconds: float
    folder: Path
    tell: Callable[[str], None]
    checksums: dict[int, tuple[str, str]] = field(default_factory=dict)


def cores(scene: Scene) -> tuple[int | None, int | None]:
    """The server's core and the generator's; none where they share all or there is only one."""
    available = sorted(os.sched_getaffinity(0))
    if not scene.is_pinned or len(available) < 2:
        return None, None
    return available[0], available[1]


def run_scene(scene: Scene, contenders: Sequence[Contender], plan: Plan) -> Iterator[Measurement]:
    """Every row of the scene, every contender, `plan.rounds` times."""
    accounts = scene.accounts * (plan.rounds if scene.is_used_up else 1)
    mail = Mail(accounts, letters(scene.letters), scene.with_scram)
    with ExitStack() as running:
        for contender in contenders:
            home = plan.folder / f"{scene.mode}-{contender.name}"
            home.mkdir(mode=0o755)
            plan.tell(f"{contender.name}: {accounts} accounts with {scene.letters} letters each")
            contender.prepare(home, mail)
            running.callback(contender.stop)
            contender.start(cores(scene)[0])
            _warm(scene, contender, accounts)
        for row in scene.rows:
            for round_number in range(plan.rounds):
                for contender in contenders:
                    measurement = _measure(scene, row, contender, round_number, plan)
                    plan.tell(
                        f"{row.name} {round_number + 1}/{plan.rounds} {contender.name}: "
                        f"{measurement.rate:,.0f}/s, {measurement.cpu_us:,.1f} us"
                    )
                    yield measurement


def _warm(scene: Scene, contender: Contender, accounts: int) -> None:
    """Every account is used once, so that processes are up, mailboxes made, and what is remembered is remembered."""
    if scene.protocol == "pop3":
        _load(contender, "pop3", ["count", "--accounts", str(accounts)], None)
        return
    words = ["deliver", "--accounts", str(accounts), "--connections", "16", "--seconds", "3", "--seed", "1000"]
    _load(contender, "smtp", words, None)
    contender.settle()


def _measure(scene: Scene, row: Row, contender: Contender, round_number: int, plan: Plan) -> Measurement:
    load_core = cores(scene)[1]
    accounts = ["--accounts", str(scene.accounts)]
    if scene.is_used_up:
        accounts += ["--first", str(scene.accounts * round_number)]
    before = _delivered(scene, contender) if scene.mode == "deliver" else 0
    words = [scene.mode, *accounts, *row.arguments, "--seconds", str(plan.seconds), "--seed", str(round_number)]
    roots = contender.pids()
    with PeakMemory(list(roots.values())) as peak:
        cpu = {name: cpu_seconds([pid]) for name, pid in roots.items()}
        began = time.monotonic()
        said = _load(contender, scene.protocol, words, load_core)
        contender.settle()
        settled_seconds = time.monotonic() - began
        cpu = {name: cpu_seconds([pid]) - cpu[name] for name, pid in roots.items()}
    measurement = Measurement(
        row=row.name,
        contender=contender.name,
        round_number=round_number,
        operations=said["operations"],
        seconds=said["seconds"],
        settled_seconds=max(settled_seconds, said["seconds"]),
        cpu_seconds=sum(cpu.values()),
        cpu_by_root=cpu,
        memory_octets=peak.octets,
        generator_share=said["generator_cpu_seconds"] / said["seconds"],
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
        octets=said["octets"],
        session_octets=said["session_octets"],
        checksum=said["checksum"],
    )
    if said["counted"] != said["sessions"] * scene.letters and scene.protocol == "pop3":
        raise UnequalWork(f"{contender.name} showed {said['counted']} letters in {said['sessions']} sessions")
    _check_pulled(scene, measurement, plan)
    if contender.keeps_letters:
        _check_kept(scene, measurement, contender, accounts, before)
    return measurement


def _check_pulled(scene: Scene, measurement: Measurement, plan: Plan) -> None:
    """What was pulled has the octets of the letters and the sum that every other contender had."""
    if scene.mode not in {"pull", "pull-dele"}:
        return
    expected = sum(len(letter) for letter in letters(scene.letters))
    if measurement.session_octets != expected:
        raise UnequalWork(f"{measurement.contender} gave {measurement.session_octets} octets, not {expected}")
    checksum, first = plan.checksums.setdefault(scene.letters, (measurement.checksum, measurement.contender))
    if measurement.checksum != checksum:
        raise UnequalWork(f"{measurement.contender} gave other letters than {first}")


def _check_kept(scene: Scene, measurement: Measurement, contender: Contender, accounts: list[str], before: int) -> None:
    """What was accepted is there, and what was deleted is not."""
    if scene.mode == "deliver":
        arrived = _delivered(scene, contender) - before
        if arrived != measurement.operations:
            raise UnequalWork(f"{contender.name} accepted {measurement.operations} letters and kept {arrived}")
    if scene.mode == "pull-dele":
        left = _load(contender, "pop3", ["count", *accounts], None)["counted"]
        if left:
            raise UnequalWork(f"{contender.name} still has {left} letters after UPDATE")


def _delivered(scene: Scene, contender: Contender) -> int:
    """How many letters lie in all mailboxes of a contender that keeps them."""
    if not contender.keeps_letters:
        return 0
    found = contender.delivered()
    if found is None:
        found = int(_load(contender, "pop3", ["count", "--accounts", str(scene.accounts)], None)["counted"])
    return found


def _load(contender: Contender, protocol: str, words: list[str], core: int | None) -> dict[str, Any]:
    return load(contender.ports()[protocol], words, core, contender.name)


def load(port: int, words: Sequence[str], core: int | None = None, whom: str = "the server") -> dict[str, Any]:
    """Run `bench/load.c`, or `bench.logins` for what that does not do, against a port; gives what it reports."""
    fixed = ["--port", str(port), "--domain", DOMAIN, "--password", PASSWORD]
    program = [sys.executable, "-m", "bench.logins"] if words[0] == "logins" else [str(programs.program("load"))]
    with on_core(core):
        process = subprocess.Popen(
            [*program, words[0], *fixed, *words[1:]], stdout=subprocess.PIPE, text=True, cwd=programs.HERE.parent
        )
    try:
        said, _ = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise UnequalWork(f"{whom}: the load ended with status {process.returncode}: {said.strip()}")
    report: dict[str, Any] = json.loads(said)
    return report
