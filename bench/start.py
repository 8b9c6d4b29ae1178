"""How long it takes to start: the command line until it has told its help, and a server until its first greeting."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.contender import Contender, Mail
from bench.measure import cpu_seconds, memory_octets
from bench.measurement import Measurement, Plan, UnequalWork
from bench.ours import command
from bench.process import ServerFailed
from bench.rows import Row

HELP = Row("start --help", "the command, from its start to its end; beside it `python -c pass`", "start")
SERVE = Row("start serve", "from the start of a server to its first greeting; {accounts} accounts", "start")
ROWS = (HELP, SERVE)
_TIMES = 10


def measure(plan: Plan, contenders: Sequence[Contender]) -> list[Measurement]:
    """Both rows. The help is told ten times in a round."""
    found = []
    for number in range(plan.rounds):
        for name, words in (("python", [sys.executable, "-c", "pass"]), ("ours", [*command(), "--help"])):
            found.append(_told(name, words, number))
    for contender in contenders:
        if contender.name == "floor" or not contender.does_pop3:
            continue
        home = plan.folder / f"start-{contender.name}"
        home.mkdir(mode=0o755)
        contender.prepare(home, Mail(10, []))
        for number in range(plan.rounds):
            plan.tell(f"{SERVE.name} {number + 1}/{plan.rounds} {contender.name}")
            found.append(_greeted(contender, number))
        shutil.rmtree(home, ignore_errors=True)
    return found


def _told(name: str, words: Sequence[str], number: int) -> Measurement:
    seconds, before = [], os.times()
    for _ in range(_TIMES):
        began = time.monotonic()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.monotonic() - began)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return _measurement(HELP, name, number, _TIMES, sum(seconds), cpu, 0, sorted(seconds)[_TIMES // 2])


def _greeted(contender: Contender, number: int) -> Measurement:
    began = time.monotonic()
    try:
        contender.start(None)
        with socket.create_connection(("127.0.0.1", contender.ports()["pop3"]), timeout=20) as talk:
            if not talk.recv(100).startswith(b"+OK"):
                raise UnequalWork(f"{contender.name} does not greet")
            seconds = time.monotonic() - began
        roots = list(contender.pids().values())
        cpu, memory = cpu_seconds(roots), memory_octets(roots)
    except (OSError, KeyError) as error:
        raise ServerFailed(f"{contender.name} does not greet: {error}") from error
    finally:
        contender.stop()
    return _measurement(SERVE, contender.name, number, 1, seconds, cpu, memory, seconds)


def _measurement(
    row: Row, name: str, number: int, operations: int, seconds: float, cpu: float, memory: int, median: float
) -> Measurement:
    return Measurement(
        row=row.name,
        contender=name,
        round_number=number,
        operations=operations,
        seconds=seconds,
        settled_seconds=seconds,
        cpu_seconds=cpu,
        cpu_by_root={name: cpu},
        memory_octets=memory,
        generator_share=0.0,
        p50_ms=median * 1000,
        p99_ms=median * 1000,
        octets=0,
        session_octets=0,
        checksum="",
    )
