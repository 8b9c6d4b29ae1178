"""One measurement, and the load that brings it about."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import programs
from bench.contender import DOMAIN, PASSWORD
from bench.measure import on_core


class UnequalWork(Exception):
    """A contender did not do the work that it was measured for. Says which and what."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one contender. Times in seconds.

    `cpu_by_root` splits the processor time by tree of processes. `more` are figures that only some rows have, by name.
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
    more: dict[str, float] = field(default_factory=dict)

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
    """How long and how often. `tell` hears what happens, a line at a time; `beside` is entered while work is measured,
    and not while it is prepared or checked."""

    rounds: int
    seconds: float
    folder: Path
    tell: Callable[[str], None]
    beside: Callable[[], AbstractContextManager[None]] = nullcontext
    checksums: dict[int, tuple[str, str]] = field(default_factory=dict)


def load_command(port: int, words: Sequence[str]) -> list[str]:
    """The command for `bench/load.c`, or for `bench.logins`, which does what that does not."""
    program = [sys.executable, "-m", "bench.logins"] if words[0] == "logins" else [str(programs.program("load"))]
    return [*program, words[0], "--port", str(port), "--domain", DOMAIN, "--password", PASSWORD, *words[1:]]


def load(port: int, words: Sequence[str], core: int | None = None, whom: str = "the server") -> dict[str, Any]:
    """Run the load against a port; gives what it reports."""
    with on_core(core):
        process = subprocess.Popen(
            load_command(port, words), stdout=subprocess.PIPE, text=True, cwd=programs.HERE.parent
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
