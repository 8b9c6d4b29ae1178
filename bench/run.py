"""Running the contenders through a scene in alternating rounds, and seeing to it that all of them did equal work.

All contenders of a scene are up at the same time, idle but for the one that is measured, and take turns within every
round, so that a noisy minute hits all of them. A run that did other work than it should ends the benchmark: octets
and sums of what was pulled must be those of the letters, what was deleted must be gone, and what was accepted must
lie in the mailboxes, no more and no less.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from bench import idle
from bench.contender import Contender, Mail
from bench.letters import letters
from bench.measure import PeakMemory, cpu_seconds
from bench.measurement import Measurement, Plan, UnequalWork, load
from bench.rows import Row, Scene

_DAYS_LETTERS = 20


def cores(scene: Scene) -> tuple[int | None, int | None]:
    """The server's core and the generator's; none where they share all or there is only one."""
    available = sorted(os.sched_getaffinity(0))
    if not scene.is_pinned or len(available) < 2:
        return None, None
    return available[0], available[1]


def run_scene(scene: Scene, contenders: Sequence[Contender], plan: Plan) -> Iterator[Measurement]:
    """Every row of the scene, every contender, `plan.rounds` times."""
    accounts = scene.accounts * (plan.rounds if scene.is_used_up else 1)
    contents = letters(scene.letters, scene.octets)
    mail = Mail(accounts, contents, scene.with_scram, in_clear=scene.in_clear, just_arrived=scene.just_arrived)
    with ExitStack() as running:
        for contender in contenders:
            home = plan.folder / f"{scene.rows[0].name} {contender.name}".replace(" ", "-")
            home.mkdir(mode=0o755)
            plan.tell(f"{contender.name}: {accounts} accounts with {scene.letters} letters each")
            contender.prepare(home, mail)
            running.callback(contender.stop)
            contender.start(cores(scene)[0])
            _warm(scene, contender, accounts)
        for row in scene.rows:
            for round_number in range(plan.rounds):
                for contender in (one for one in contenders if _can(one, row)):
                    measurement = _measure(scene, row, contender, round_number, plan)
                    plan.tell(
                        f"{row.name} {round_number + 1}/{plan.rounds} {contender.name}: "
                        f"{measurement.rate:,.0f}/s, {measurement.cpu_us:,.1f} us"
                    )
                    yield measurement


def _can(contender: Contender, row: Row) -> bool:
    return not row.is_tls or "pop3s" in contender.ports()


def _warm(scene: Scene, contender: Contender, accounts: int) -> None:
    """Every account is used once, so that processes are up, mailboxes made, and what is remembered is remembered."""
    if scene.protocol == "pop3":
        _count(contender, ["--accounts", str(accounts)], accounts)
        return
    words = ["deliver", "--accounts", str(accounts), "--connections", "16", "--seconds", "3", "--seed", "1000"]
    if scene.mode in {"day", "relay"}:
        words += ["--limit", str(accounts)]
    _load(contender, "smtp", words, None)
    contender.settle()
    if scene.mode == "day":
        _load(
            contender, "pop3", ["pull-dele", "--differ", "1", "--accounts", str(accounts), "--connections", "16"], None
        )


def _measure(scene: Scene, row: Row, contender: Contender, round_number: int, plan: Plan) -> Measurement:
    count = row.accounts or scene.accounts
    accounts = ["--accounts", str(count)]
    if scene.is_used_up:
        accounts += ["--first", str(scene.accounts * round_number)]
    if row.is_cold:
        contender.stop()
        if row.without_index:
            contender.chill()
        contender.start(cores(scene)[0])
    if scene.mode == "idle":
        words = ["idle", *accounts, *row.arguments, *_way(row)]
        return idle.measure(row, contender, round_number, words, cores(scene)[1])
    before = _delivered(scene, contender, accounts, count)
    words = [*accounts, "--seconds", str(plan.seconds), *row.arguments, *_way(row), "--seed", str(round_number)]
    roots = contender.pids()
    with plan.beside(), PeakMemory(list(roots.values())) as peak:
        cpu = {name: cpu_seconds([pid]) for name, pid in roots.items()}
        began = time.monotonic()
        said = _work(scene, row, contender, words)
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
    if scene.protocol == "pop3" and row.mode != "greet" and said["counted"] != said["sessions"] * scene.letters:
        raise UnequalWork(f"{contender.name} showed {said['counted']} letters in {said['sessions']} sessions")
    _check_pulled(scene, measurement, plan)
    if contender.keeps_letters:
        _check_kept(scene, measurement, contender, accounts, before)
    return measurement


def _way(row: Row) -> list[str]:
    return ["--tls", "1"] if row.is_tls else []


def _work(scene: Scene, row: Row, contender: Contender, words: Sequence[str]) -> dict[str, Any]:
    """What is measured."""
    load_core = cores(scene)[1]
    if scene.mode == "day":
        return _day(row.accounts or scene.accounts, contender, words)
    mode = row.mode or ("deliver" if scene.mode == "relay" else scene.mode)
    protocol = "pop3s" if row.is_tls else scene.protocol
    if load_core is not None and mode != "logins":
        words = [*words, "--awake", "1"]  # it takes nobody's core
    return _load(contender, protocol, [mode, *words], load_core)


def _day(accounts: int, contender: Contender, words: Sequence[str]) -> dict[str, Any]:
    """Letters come in, and go out when all of them are in their mailboxes."""
    count = accounts * _DAYS_LETTERS
    limits = ["--kept", str(_DAYS_LETTERS), "--limit", str(count)]
    began = time.monotonic()
    came = _load(contender, "smtp", ["deliver", *words, *limits], None)
    contender.settle()
    went = _load(contender, "pop3", ["pull-dele", "--differ", "1", *words], None)
    if contender.keeps_letters and not came["operations"] == went["operations"] == count:
        raise UnequalWork(
            f"{contender.name} took {came['operations']} letters and gave {went['operations']}, not {count}"
        )
    generator = came["generator_cpu_seconds"] + went["generator_cpu_seconds"]
    seconds = time.monotonic() - began
    return {**went, "operations": count, "seconds": seconds, "generator_cpu_seconds": generator}


def _check_pulled(scene: Scene, measurement: Measurement, plan: Plan) -> None:
    """What was pulled has the octets of the letters and the sum that every other contender had."""
    if scene.mode not in {"pull", "pull-dele"}:
        return
    expected = sum(len(letter) for letter in letters(scene.letters, scene.octets))
    if measurement.session_octets != expected:
        raise UnequalWork(f"{measurement.contender} gave {measurement.session_octets} octets, not {expected}")
    checksum, first = plan.checksums.setdefault(scene.letters, (measurement.checksum, measurement.contender))
    if measurement.checksum != checksum:
        raise UnequalWork(f"{measurement.contender} gave other letters than {first}")


def _check_kept(scene: Scene, measurement: Measurement, contender: Contender, accounts: list[str], before: int) -> None:
    """What was accepted is there, and what was deleted is not."""
    count = int(accounts[1])
    if scene.mode in {"deliver", "relay"}:
        arrived = _delivered(scene, contender, accounts, count) - before
        if arrived != measurement.operations:
            raise UnequalWork(f"{contender.name} accepted {measurement.operations} letters and kept {arrived}")
    if scene.mode in {"pull-dele", "day"}:
        left = _count(contender, accounts, count)
        if left:
            raise UnequalWork(f"{contender.name} still has {left} letters after UPDATE")


def _delivered(scene: Scene, contender: Contender, accounts: list[str], count: int) -> int:
    """How many letters lie in all mailboxes of a contender that keeps them, where that matters."""
    if scene.mode not in {"deliver", "relay"} or not contender.keeps_letters:
        return 0
    found = contender.delivered()
    return _count(contender, accounts, count) if found is None else found


def _count(contender: Contender, accounts: list[str], count: int) -> int:
    words = ["count", *accounts, "--connections", str(min(16, count))]
    return int(_load(contender, "pop3", words, None)["counted"])


def _load(contender: Contender, protocol: str, words: list[str], core: int | None) -> dict[str, Any]:
    also = contender.load_words if protocol == "smtp" else ()
    return load(contender.ports()[protocol], [*words, *also], core, contender.name)
