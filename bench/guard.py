"""`./po bench --quick`: has anything become dearer?

python -m bench guard [--keep]

Measures the processor time of an operation for a few rows, a few minutes in all, and compares it with what is kept in
`bench/kept.json`. What is kept is how many times more than the floor we need, the floor being measured beside us in
every round: so a machine that is slower, or busy, says the same. Kinds of machines differ all the same, and each has
figures of its own; one that has none is compared with another one's, and told so.

A row that is dearer by more than a fifth is measured again, twice at most, and counts only if it is so each time.
Ends with 1 if one is. `--keep` writes what was measured as what is to be kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import programs
from bench.floor import Floor
from bench.machine import machine
from bench.measurement import Measurement, Plan, UnequalWork
from bench.ours import Ours
from bench.process import ServerFailed
from bench.rows import Scene, scenes
from bench.run import run_scene

KEPT = programs.HERE / "kept.json"
DEARER = 1.2
ROUNDS, SECONDS, TRIES = 5, 0.7, 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: how many times more than the floor we need now, and what is kept."""

    row: str
    now: float
    kept: float | None

    @property
    def is_dearer(self) -> bool:
        return self.kept is not None and self.now > self.kept * DEARER

    def __str__(self) -> str:
        if self.kept is None:
            return f"{self.row}: x {self.now:.1f} of the floor; nothing is kept"
        change = (self.now / self.kept - 1) * 100
        return f"{self.row}: x {self.now:.1f} of the floor, kept x {self.kept:.1f}, {change:+.0f} %"


def kind(facts: Mapping[str, object]) -> str:
    """What machines must have in common for their figures to be compared as they are."""
    python = ".".join(str(facts["python"]).split(".")[:2])
    return f"{facts['processor']}, {facts['cores']} cores, Python {python}"


def those_guarded() -> list[Scene]:
    """The rows, with less mail than where they are measured in earnest."""
    (pull, *_), (tls,) = scenes("pull", quick=False), scenes("tls", quick=False)
    return [
        replace(scenes("sessions", quick=True)[0], accounts=128),
        replace(tls, accounts=64, rows=tls.rows[:1]),
        replace(pull, letters=200),
        replace(scenes("pull-dele", quick=True)[0], accounts=2),
        replace(scenes("deliver", quick=True)[0], accounts=64),
    ]


def ratios(measurements: Iterable[Measurement]) -> dict[str, float]:
    """How many times more processor time than the floor we need, by row: the median of the rounds."""
    found: dict[str, dict[tuple[int, str], float]] = {}
    for one in measurements:
        found.setdefault(one.row, {})[one.round_number, one.contender] = one.cpu_us
    return {
        row: statistics.median(cpu / values[number, "floor"] for (number, who), cpu in values.items() if who == "ours")
        for row, values in found.items()
    }


def compared(now: Mapping[str, float], kept: Mapping[str, float]) -> list[Finding]:
    return [Finding(row, value, kept.get(row)) for row, value in now.items()]


def measure(kept: Mapping[str, float], folder: Path) -> list[Finding]:
    """Every row, and again what seems dearer; the least of what was measured counts."""
    best: dict[str, float] = {}
    for number, whole in enumerate(those_guarded()):
        scene = whole
        for attempt in range(TRIES):
            room = folder / f"{number}-{attempt}"
            room.mkdir(mode=0o755)
            plan = Plan(ROUNDS, SECONDS, room, lambda line: None)
            measured = ratios(run_scene(scene, [Floor(), Ours()], plan))
            shutil.rmtree(room, ignore_errors=True)
            best |= {row: min(value, best.get(row, value)) for row, value in measured.items()}
            dear = {one.row for one in compared(best, kept) if one.is_dearer}
            again = tuple(row for row in scene.rows if row.name in dear)
            for one in compared({row: best[row] for row in measured}, kept):
                if not one.is_dearer or attempt + 1 == TRIES:
                    print(one, flush=True)
            if not again:
                break
            scene = replace(scene, rows=again)
    return compared(best, kept)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench --quick", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="keep what is measured, for this kind of machine")
    options = parser.parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)
    everything: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    this = kind(machine(folder))
    try:
        for name in ("load", "floor"):
            programs.program(name)
        if this not in everything and everything and not options.keep:
            print(f"nothing is kept of {this}; compared with {next(iter(everything))}")
        kept = everything.get(this) or next(iter(everything.values()), {})
        findings = measure({} if options.keep else kept, folder)
    except (programs.NoCompiler, ServerFailed, UnequalWork) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 69 if isinstance(failure, programs.NoCompiler) else 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.keep:
        everything[this] = {one.row: round(one.now, 2) for one in findings}
        KEPT.write_text(json.dumps(everything, indent=1) + "\n")
        return 0
    dear = [one for one in findings if one.is_dearer]
    print(f"{len(dear)} of {len(findings)} became dearer by more than a fifth")
    return 1 if dear else 0
