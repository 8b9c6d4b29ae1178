"""Processor time and memory are those of a whole tree of processes, also of those that are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.measure import PeakMemory, cpu_seconds, memory_octets, on_core, tree

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


@contextmanager
def python(program: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that talks over its pipes; ended by closing them."""
    process = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True)
    with process:
        yield process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_grandchild_belongs_to_the_tree() -> None:
    inner = "input()"
    outer = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {inner!r}], stdin=sys.stdin)\n"
        "print(child.pid, flush=True)\nchild.wait()\n"
    )
    with python(outer) as process:
        grandchild = int(said(process))
        assert tree([process.pid]) == [process.pid, grandchild]
        assert {process.pid, grandchild} <= set(tree([os.getpid()]))
        process.communicate("\n")


def test_the_time_of_a_child_that_was_waited_for_counts() -> None:
    inner = f"subprocess.run([sys.executable, '-c', {BURN!r}])"
    outer = f"import subprocess, sys\n{inner}\nprint('done', flush=True)\ninput()\n"
    with python(outer) as process:
        assert said(process) == "done"
        assert cpu_seconds([process.pid]) >= 0.3
        process.communicate("\n")


def test_the_time_of_a_living_process_counts() -> None:
    with python(BURN + "print('done', flush=True)\ninput()\n") as process:
        assert said(process) == "done"
        used = cpu_seconds([process.pid])
        assert 0.3 <= used < 3.0
        assert cpu_seconds([process.pid]) == used, "it does nothing now"
        process.communicate("\n")


def test_memory_is_that_of_the_tree_and_the_peak_is_kept() -> None:
    program = "held = b'x' * 50_000_000\nprint('done', flush=True)\ninput()\n"
    with python(program) as process:
        assert said(process) == "done"
        with PeakMemory([process.pid]) as peak:
            pass
        assert peak.octets >= memory_octets([process.pid]) * 0.9 > 45_000_000
        process.communicate("\n")


def test_a_process_that_is_gone_costs_nothing() -> None:
    with python("") as process:
        process.communicate()
    assert cpu_seconds([process.pid]) == 0.0
    assert memory_octets([process.pid]) == 0


def test_what_is_started_on_a_core_stays_there_and_we_do_not() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core), python("import os\nprint(os.sched_getaffinity(0), flush=True)\n") as process:
        assert said(process) == f"{{{core}}}"
    assert os.sched_getaffinity(0) == before
