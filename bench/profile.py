"""`./po bench profile ROW`: where the time of an operation goes.

python -m bench profile "sessions c=64" [--seconds 5] [--flame docs/performance/sessions.svg]

The row's load runs against our office alone, three times: as it is, for what an operation costs; under `perf`, which
tells in whose code the processor is (the kernel's, SQLite's, the interpreter's ...); and under `py-spy`, which tells
in which function of ours, what that calls being counted with it unless it is a function of ours too. Both look from
outside, a thousand times a second. `perf` is Debian's linux-perf, `py-spy` is on PyPI; one that is missing is left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import programs
from bench.flame import draw
from bench.measure import session
from bench.measurement import Plan
from bench.ours import Ours
from bench.process import ServerFailed
from bench.rows import SUBJECTS, Row, Scene, scenes
from bench.run import run_scene

SAMPLES_A_SECOND = 997
ATTACH_SECONDS, STOP_SECONDS = 2.0, 30.0
LEAST_SHARE = 0.01
OWNERS = (
    (re.compile(r"kernel|vdso"), "the kernel"),
    (re.compile(r"apsw|sqlite|^__init__\.cpython"), "SQLite"),
    (re.compile(r"libssl|libcrypto|_ssl|_hashlib"), "OpenSSL"),
    (re.compile(r"^loop\.cpython|uvloop"), "uvloop"),
    (re.compile(r"python"), "Python"),
)
"""What the files are in whose code the processor is. (`__init__.cpython…` is apsw's, with SQLite in it.)"""


_LINE = re.compile(r":\d+\)$")
_BEGINNINGS = ("Supervisor._become_child ", "Runner.run ")
_ROOM = re.compile(r"postoffice/(?P<room>[^/]+)/|postoffice/(?P<module>[^/.]+)\.py")

Stacks = Mapping[tuple[str, ...], int]


def row_of(name: str) -> tuple[Scene, Row]:
    """The row of this name, and its mail."""
    known = [(scene, row) for subject in SUBJECTS for scene in scenes(subject, quick=False) for row in scene.rows]
    for scene, row in known:
        if row.name == name:
            return scene, row
    raise SystemExit(f"bench: there is no row {name}; there are {', '.join(row.name for _, row in known)}")


@contextmanager
def watched(words: Sequence[str]) -> Iterator[None]:
    """While a profiler looks on; what it gathered is written when this is over."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as profiler:
        time.sleep(ATTACH_SECONDS)
        try:
            yield
        finally:
            profiler.send_signal(signal.SIGINT)
            try:
                profiler.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                profiler.kill()


def owners(samples: Path) -> Counter[str]:
    """How often the processor was in whose code, from what `perf record` wrote."""
    words = ["perf", "script", "-i", str(samples), "-F", "ip,sym,dso"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: Counter[str] = Counter()
    for line in said.splitlines():
        if line.strip():
            file = Path(line.rpartition("(")[2].rstrip(")")).name
            found[next((owner for form, owner in OWNERS if form.search(file)), "the C library and others")] += 1
    return found


def stacks(samples: Path) -> Stacks:
    """What `py-spy record -f raw` wrote of the processes that work, from where their work begins."""
    seen: Counter[tuple[str, ...]] = Counter()
    for line in samples.read_text().splitlines():
        words, _, count = line.rpartition(" ")
        frames = [_LINE.sub(")", frame) for frame in words.split(";")]
        begins = [at for at, frame in enumerate(frames) if frame.startswith(_BEGINNINGS)]
        if begins:
            seen[tuple(frames[begins[-1] + 1 :])] += int(count)
    return seen


def rooms(seen: Stacks) -> Counter[str]:
    """How often the innermost function of ours was one of which room."""
    found: Counter[str] = Counter()
    for stack, count in seen.items():
        ours = [match for frame in stack if (match := _ROOM.search(frame))]
        found[(ours[-1]["room"] or ours[-1]["module"]) if ours else "the loop"] += count
    return found


def budget(title: str, counted: Counter[str], cpu_us: float) -> str:
    """A table: of what an operation costs, how much goes where."""
    lines = [f"| {title} | µs | |", "|---|---:|---:|"]
    for name, count in counted.most_common():
        share = count / counted.total()
        if share >= LEAST_SHARE:
            lines.append(f"| {name} | {share * cpu_us:.1f} | {share:.0%} |")
    return "\n".join(lines)


def profile(name: str, seconds: float, flame: Path | None, folder: Path) -> str:
    """Measure, look, and write it down."""
    scene, row = row_of(name)
    ours = Ours()
    once = replace(scene, rows=(row, row, row))
    plan = Plan(1, seconds, folder, lambda _: None)
    turns = run_scene(once, [ours], plan)
    plain = next(turns)
    text = [f"{name}: {plain.cpu_us:.1f} µs of processor time each"]
    rate = str(SAMPLES_A_SECOND)
    pids = [str(pid) for root in ours.pids().values() for pid in session(root)]
    if shutil.which("perf"):
        samples = folder / "perf.data"
        plan.beside = partial(watched, ["perf", "record", "-F", rate, "-o", str(samples), "-p", ",".join(pids)])
        next(turns)
        text.append(budget("in whose code", owners(samples), plain.cpu_us))
    if shutil.which("py-spy"):
        samples = folder / "stacks"
        root = str(next(iter(ours.pids().values())))
        words = ["py-spy", "record", "--subprocesses", "--nonblocking", "-r", rate, "-d", "600"]
        plan.beside = partial(watched, [*words, "-f", "raw", "-o", str(samples), "-p", root])
        next(turns)
        seen = stacks(samples)
        text.append(budget("asked for by", rooms(seen), plain.cpu_us))
        if flame:
            flame.write_text(draw(f"{name}: {plain.cpu_us:.0f} µs", seen))
    return "\n\n".join(text)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench profile", description=__doc__.partition("\n\n")[0])
    parser.add_argument("row", help="such as 'sessions c=64'")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each run takes (5)")
    parser.add_argument("--flame", type=Path, metavar="FILE", help="draw a flame graph there, as SVG")
    options = parser.parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)
    try:
        programs.program("load")
        print(profile(options.row, options.seconds, options.flame, folder))
    except (programs.NoCompiler, ServerFailed) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 69 if isinstance(failure, programs.NoCompiler) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0
