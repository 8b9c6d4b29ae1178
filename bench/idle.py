"""What a connection costs a server while nobody says anything on it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from bench import programs
from bench.contender import Contender
from bench.measure import cpu_seconds, descriptors, memory_octets, on_core
from bench.measurement import Measurement, UnequalWork, load_command
from bench.rows import Row


def measure(row: Row, contender: Contender, round_number: int, words: Sequence[str], core: int | None) -> Measurement:
    """Log in on all connections and keep still. Time and processor time are those of the logins, memory the growth.

    `more`: `octets each`, by proportional set sizes, without what the kernel keeps for sockets; `descriptors each`.
    """
    roots = list(contender.pids().values())
    memory, files, cpu = memory_octets(roots), descriptors(roots), cpu_seconds(roots)
    with on_core(core):
        process = subprocess.Popen(
            load_command(contender.ports()["pop3s" if row.is_tls else "pop3"], words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=programs.HERE.parent,
        )
    with process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline() or "{}")
        if "resting" not in first:
            process.kill()
            raise UnequalWork(f"{contender.name}: {first.get('error', 'the load died')}")
        count = int(first["resting"])
        memory_after, files_after = memory_octets(roots), descriptors(roots)
        cpu = cpu_seconds(roots) - cpu
        said, _ = process.communicate()
    report = json.loads(said)
    return Measurement(
        row=row.name,
        contender=contender.name,
        round_number=round_number,
        operations=count,
        seconds=first["seconds"],
        settled_seconds=first["seconds"],
        cpu_seconds=cpu,
        cpu_by_root={contender.name: cpu},
        memory_octets=memory_after,
        generator_share=report["generator_cpu_seconds"] / first["seconds"],
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
        octets=0,
        session_octets=0,
        checksum="",
        more={
            "octets each": (memory_after - memory) / count,
            "descriptors each": (files_after - files) / count,
        },
    )
