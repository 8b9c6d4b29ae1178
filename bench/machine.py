"""Where the figures come from: they mean nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


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
