"""What a server costs: processor time and memory of its whole tree of processes, from /proc.

Processor time is that of every living process (its clock, to the nanosecond) and of every child that was waited for
(in ticks of 10 ms, summed by the kernel before it rounds). A child that ends between two readings moves from the one
to the other and is lost in neither. Memory is the sum of the proportional set sizes: a page shared by ten processes
counts once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat behind the name, which may itself hold spaces and brackets; proc(5)."""
    try:
        return (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Every process with its `_stat`."""
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            yield int(entry.name), fields


def session(leader: int) -> list[int]:
    """The pids of all processes in the session of `leader` that still run."""
    return [pid for pid, fields in _processes() if int(fields[3]) == leader and fields[0] != b"Z"]


def tree(roots: Sequence[int]) -> list[int]:
    """The pids of `roots` and of all that descend from them, parents first."""
    children: dict[int, list[int]] = {}
    for pid, fields in _processes():
        children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(roots: Sequence[int]) -> float:
    """Processor time, user and system, used so far by the trees under `roots`."""
    total = 0.0
    for pid in tree(roots):
        fields = _stat(pid)
        if fields is None:
            continue
        total += (int(fields[13]) + int(fields[14])) * _TICK_SECONDS
        try:
            total += time.clock_gettime(_process_clock(pid))
        except OSError:  # it has ended and waits for its parent
            total += (int(fields[11]) + int(fields[12])) * _TICK_SECONDS
    return total


def _process_clock(pid: int) -> int:
    """The number of a process's processor time clock: clock_getcpuclockid(3), which Python does not offer."""
    return (~pid << 3) | 2


def memory_octets(roots: Sequence[int]) -> int:
    """The sum of the proportional set sizes of the trees under `roots`, now."""
    total = 0
    for pid in tree(roots):
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_bytes()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def descriptors(roots: Sequence[int]) -> int:
    """How many file descriptors the trees under `roots` have open, now."""
    total = 0
    for pid in tree(roots):
        try:
            total += sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
        except OSError:
            continue
    return total


class PeakMemory:
    """The largest `memory_octets` seen inside the `with`, looked at every so many seconds and at the end."""

    def __init__(self, roots: Sequence[int], every_seconds: float = 1.0) -> None:
        self.octets = 0
        self._roots = roots
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(self._every_seconds):
            self.octets = max(self.octets, memory_octets(self._roots))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.octets = max(self.octets, memory_octets(self._roots))


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside runs on this core only; None means: on any."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
