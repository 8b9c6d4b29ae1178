"""Where the figures come from: they mean nothing without it."""

from __future__ import annotations

import os
import platform
import time
from array import array
from collections.abc import Callable
from pathlib import Path

_STEPS = 500_000


def machine(folder: Path) -> dict[str, str | int | float]:
    """Facts about this machine; `folder` is where the mail lies."""
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(_line("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(folder),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def pace() -> dict[str, int]:
    """How quick it is now, for machines of one name are not: `addition_ns` of one addition in Python, `look_ns` of a
    look into 8 MiB of memory, beyond what one into 4 KiB takes."""
    return {"addition_ns": _each_ns(_add), "look_ns": max(0, _each_ns(_walk(2**21)) - _each_ns(_walk(2**10)))}


def _each_ns(steps: Callable[[], object]) -> int:
    """The best of three, rounded."""
    best = min(_seconds(steps) for _ in range(3))
    return round(best / _STEPS * 1e9)


def _seconds(steps: Callable[[], object]) -> float:
    began = time.perf_counter()
    steps()
    return time.perf_counter() - began


def _add() -> int:
    total = 0
    for number in range(_STEPS):
        total += number
    return total


def _walk(cells: int) -> Callable[[], object]:
    """Steps through so many cells of four octets, a power of two, to one that nobody can foresee."""
    following = array("I", [(1664525 * cell + 1013904223) % cells for cell in range(cells)])

    def walk() -> int:
        cell = 0
        for _ in range(_STEPS):
            cell = following[cell]
        return cell

    return walk


def _line(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "0 unknown"


def file_system(folder: Path) -> str:
    """The type of the file system on which `folder` lies; tmpfs has no durability to pay for."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, this_kind, *_ = line.split()
        if (folder.is_relative_to(place)) and len(place) >= len(best):
            best, kind = place, this_kind
    return kind
