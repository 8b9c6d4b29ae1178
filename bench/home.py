"""`./po bench home`: how long a pull takes, beside other programs that bring mail home.

python -m bench home [--rounds 5] [--programs ours,mpop] [--letters N] [--folder DIR]

Every program pulls the same letters from the floor, a server that costs next to nothing, and keeps each of them
durably; they take turns in every round. What came home must be the letters that were there, each once. Processor time
is that of the program and of its children; memory the most that it had in use at one moment.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import programs
from bench.contender import Mail
from bench.figures import Figure, number
from bench.floor import Floor
from bench.letters import letters
from bench.machine import machine
from bench.measurement import Measurement, Plan, UnequalWork
from bench.process import Server, ServerFailed
from bench.pullers import Digests, Puller, digests, pullers
from bench.results import Results
from postoffice.testing.process import resident_peak

LOOK_SECONDS = 0.02
SMALL_OCTETS = 1024


@dataclass(frozen=True, slots=True)
class Pull:
    """One row: so many letters, so many octets each, over a way that takes so long there and back."""

    letters: int
    octets: int
    round_trip_ms: int = 0

    @property
    def name(self) -> str:
        size = f"{self.octets // 1024} KB" if self.octets < 1_000_000 else f"{self.octets // 1_000_000} MB"
        way = f", {self.round_trip_ms} ms round trip" if self.round_trip_ms else ""
        return f"home {self.letters} x {size}{way}"


ROWS = (Pull(1000, 10 * 1024), Pull(1000, 10 * 1024, 50), Pull(20, 5_000_000))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one pull."""

    seconds: float
    cpu_seconds: float
    memory_octets: int


def run(words: Sequence[str], home: Path, user: int | None) -> Cost:
    """One program, from its start to its end. An UnequalWork says why it did not end well."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (home / "said").open("wb") as said:
        began = time.monotonic()
        process = subprocess.Popen(
            words,
            stdin=-3,
            stdout=said,
            stderr=said,
            cwd=home,
            user=user,
            group=user,
            env={**env, "HOME": str(home)},
        )
        peaks = [0]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                peaks.append(_peak(process.pid))

        watching = threading.Thread(target=watch, name="peak", daemon=True)
        watching.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            over.set()
            watching.join()
    if process.returncode:
        last = (home / "said").read_text(errors="replace").strip()[-500:]
        raise UnequalWork(f"{words[0]} ended with status {process.returncode}: {last}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, max(peaks))


def _peak(pid: int) -> int:
    try:
        return resident_peak(pid)
    except OSError:
        return 0


@contextmanager
def serving(row: Pull, contents: Sequence[bytes], folder: Path) -> Iterator[int]:
    """The floor, at a port that is as far away as the row says."""
    floor = Floor()
    home = folder / "floor"
    home.mkdir()
    floor.prepare(home, Mail(1, contents))
    relay: Server | None = None
    try:
        floor.start(None)
        port = floor.ports()["pop3"]
        if row.round_trip_ms:
            words = [sys.executable, "-m", "bench.relay", str(port), str(row.round_trip_ms / 2)]
            relay = Server(words, home / "relay.log", None)
            port = int(relay.read_ready().split()[1])
        yield port
    finally:
        if relay is not None:
            relay.stop()
        floor.stop()
        shutil.rmtree(home)


def measure(row: Pull, able: Sequence[Puller], rounds: int, folder: Path) -> dict[str, list[Cost]]:
    """Every program in turn, so many times, each in a folder that is empty at first."""
    contents = letters(row.letters, row.octets)
    there = digests(contents)
    costs: dict[str, list[Cost]] = {one.name: [] for one in able}
    with serving(row, contents, folder) as port:
        del contents
        for _ in range(rounds):
            for one in able:
                if row.letters * row.round_trip_ms <= 20_000 or not one.is_lock_step:
                    costs[one.name].append(_pull(one, port, there, folder / "home"))
    return {name: rounds for name, rounds in costs.items() if rounds}


def measurements(row: Pull, costs: dict[str, list[Cost]]) -> Iterator[Measurement]:
    """The same in the form of all other figures; an operation is a letter."""
    for name, rounds in costs.items():
        for round_number, cost in enumerate(rounds):
            yield Measurement(
                row=row.name,
                contender=name,
                round_number=round_number,
                operations=row.letters,
                seconds=cost.seconds,
                settled_seconds=cost.seconds,
                cpu_seconds=cost.cpu_seconds,
                cpu_by_root={name: cost.cpu_seconds},
                memory_octets=cost.memory_octets,
                generator_share=0.0,
                p50_ms=cost.seconds * 1000,
                p99_ms=cost.seconds * 1000,
                octets=row.letters * row.octets,
                session_octets=row.letters * row.octets,
                checksum="",
            )


def subject(plan: Plan, able: Sequence[Puller], rows: Sequence[Pull]) -> list[Measurement]:
    """All rows, each told when it is measured."""
    found: list[Measurement] = []
    for row in rows:
        plan.tell(row.name)
        costs = measure(row, able, plan.rounds, plan.folder)
        plan.tell("")
        print(f"\n{table(row, costs)}", flush=True)
        found += measurements(row, costs)
    return found


def those_here(names: Sequence[str]) -> list[Puller]:
    """The programs of these names that can run here; says why the others cannot."""
    able = []
    for one in pullers():
        if one.name not in names:
            continue
        if reason := one.absence():
            print(f"{one.name} is left out: {reason}")
            continue
        print(f"{one.name}: {one.version()}")
        able.append(one)
    return able


def smaller(rows: Sequence[Pull]) -> list[Pull]:
    """A tenth of the letters."""
    return [dataclasses.replace(row, letters=max(1, row.letters // 10)) for row in rows]


def _pull(one: Puller, port: int, there: Digests, home: Path) -> Cost:
    home.mkdir(mode=0o755)
    try:
        os.sync()  # what others wrote before is not paid for by this one
        cost = run(one.words(home, port), home, one.user)
        if one.kept(home) != there:
            raise UnequalWork(f"{one.name} brought other letters than there were")
    finally:
        shutil.rmtree(home)
    return cost


def table(row: Pull, costs: dict[str, list[Cost]]) -> str:
    """What a row says; ratios above 1 are in favour of ours."""
    seconds = {name: Figure.of(cost.seconds for cost in rounds) for name, rounds in costs.items()}
    cpu = {name: Figure.of(cost.cpu_seconds for cost in rounds) for name, rounds in costs.items()}
    cells = [["", "seconds", "letters/s", "CPU seconds", "memory MiB", "ours: time, CPU"]]
    for name, rounds in costs.items():
        ratios = ""
        if "ours" in costs and name != "ours":
            times, work = seconds[name].median / seconds["ours"].median, cpu[name].median / cpu["ours"].median
            ratios = f"x {times:.2f}, x {work:.2f}"
        memory = max(cost.memory_octets for cost in rounds) / 2**20
        rate = number(row.letters / seconds[name].median)
        cells.append([name, str(seconds[name]), rate, str(cpu[name]), number(memory), ratios])
    widths = [max(len(cell[column]) for cell in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(value.rjust(width) for value, width in zip(cell, widths, strict=True)) for cell in cells]
    return "\n".join([row.name, *(line.rstrip() for line in lines)])


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench home", description=__doc__.partition("\n\n")[0])
    names = ",".join(one.name for one in pullers())
    parser.add_argument("--rounds", type=int, default=5, help="how often each program is measured (5)")
    parser.add_argument("--programs", default=names, help="of %(default)s")
    parser.add_argument("--letters", type=int, help="only one row: so many letters of 1 KB")
    parser.add_argument("--folder", type=Path, help="where the mail lies; a disk, for what is durable is measured")
    parser.add_argument("--quick", action="store_true", help="one round with less mail: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the figures there, in place of older ones")
    options = parser.parse_args(words)
    rows: Sequence[Pull] = (Pull(options.letters, SMALL_OCTETS),) if options.letters else ROWS
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        programs.program("floor")
        facts = machine(folder)
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()))
        able = those_here(options.programs.split(","))
        plan = Plan(1 if options.quick else options.rounds, 0.0, folder, lambda line: None)
        found = subject(plan, able, smaller(rows) if options.quick else rows)
        if options.json:
            results = Results.read(options.json, facts)
            results.add("home", found, {one.name: one.version() for one in able})
            results.write(options.json)
    except (programs.NoCompiler, ServerFailed, UnequalWork) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 69 if isinstance(failure, programs.NoCompiler) else 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0
