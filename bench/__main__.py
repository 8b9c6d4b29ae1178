"""`./po bench`: measure the office beside the floor and its peers, and print a table.

Rounds alternate between the contenders; every figure is the median with its range. Processor time is that of the
server's whole tree of processes and is the figure to steer by: rates depend on what else the machine does. Memory is
the largest sum of proportional set sizes. For POP3 the server has one core and the generator another; deliveries
share all cores.

`./po bench home` measures the other end, programs that pull (see `bench.home`), and `./po bench search` looks for
letters in what came home (see `bench.search`), `./po bench tui` reads them on a terminal (see `bench.tui`). Two more
are other matters:
`./po bench conformance` asks POP3 servers what they do right (see `bench.conformance`), and `./po bench faults` tries
programs that pull with servers that fail (see `bench.faults`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench import conformance, faults, home, programs, search, tui
from bench.contender import Contender
from bench.figures import Summary, summaries, table
from bench.floor import Floor
from bench.machine import machine
from bench.ours import Ours
from bench.peers.dovecot import CONFIGURATIONS, Dovecot
from bench.peers.postfix import Postfix
from bench.process import ServerFailed
from bench.rows import SUBJECTS, Scene, scene
from bench.run import Measurement, Plan, UnequalWork, run_scene

DEFAULT_PEERS = "dovecot-tuned,dovecot-default,postfix-lmtp"


def contenders() -> list[Contender]:
    """Everybody who can be measured, the floor first."""
    dovecots = [Dovecot(configuration) for configuration in reversed(CONFIGURATIONS)]
    return [Floor(), Ours(), Ours(is_forgetful=True), *dovecots, Postfix("lmtp"), Postfix("virtual")]


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./po bench", description=__doc__.partition("\n\n")[0])
    parser.add_argument("subject", nargs="?", default="all", choices=(*SUBJECTS, "all"))
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run takes (3)")
    parser.add_argument("--quick", action="store_true", help="one short round with less mail: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    parser.add_argument("--folder", type=Path, help="where the mail lies while it is measured (the system's choice)")
    parser.add_argument("--without-ours", action="store_true", help="measure the floor and the peers only")
    names = ",".join(one.name for one in contenders()[3:])
    parser.add_argument("--peers", default=DEFAULT_PEERS, help=f"of {names}, or none ({DEFAULT_PEERS})")
    return parser.parse_args(words)


def chosen(peers: str, *, with_ours: bool) -> list[Contender]:
    """The contenders to measure, in their order."""
    names = {
        "floor",
        *(["ours", "ours-forgetful"] if with_ours else []),
        *(name for name in peers.split(",") if name != "none"),
    }
    known = contenders()
    if unknown := names - {one.name for one in known}:
        raise SystemExit(f"bench: nobody is called {', '.join(sorted(unknown))}")
    return [one for one in known if one.name in names]


def present(everybody: Sequence[Contender]) -> list[Contender]:
    """Those who can run here; says why the others cannot."""
    able = []
    for one in everybody:
        if reason := one.absence():
            print(f"{one.name} is left out: {reason}")
        else:
            print(f"{one.name}: {one.version()}")
            able.append(one)
    return able


def tell(line: str) -> None:
    """Progress, for a person at a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def show(what: Scene, measurements: Sequence[Measurement]) -> list[Summary]:
    """Print the tables of a scene."""
    tell("")
    lines = summaries(measurements)
    for row in what.rows:
        words = row.what.format(accounts=what.accounts, letters=what.letters)
        print(f"\n{row.name}: {words}\n{table(row, [line for line in lines if line.row == row.name])}", flush=True)
    return lines


def measure(options: argparse.Namespace, able: Sequence[Contender], folder: Path) -> list[Measurement]:
    """Every scene that was asked for."""
    plan = Plan(1 if options.quick else options.rounds, 1.0 if options.quick else options.seconds, folder, tell)
    everything: list[Measurement] = []
    for subject in SUBJECTS if options.subject == "all" else (options.subject,):
        what = scene(subject, quick=options.quick)
        fit = [one for one in able if _fits(what, one)]
        measurements = list(run_scene(what, fit, plan))
        show(what, measurements)
        everything += measurements
    return everything


def _fits(what: Scene, contender: Contender) -> bool:
    """Whether somebody does what the scene is about."""
    if what.with_scram:
        return contender.does_logins
    return contender.does_pop3 if what.protocol == "pop3" else contender.does_smtp


def record(path: Path, facts: dict[str, object], measurements: Sequence[Measurement]) -> None:
    """Write all of it as JSON."""
    lines = [dataclasses.asdict(line) for line in summaries(measurements)]
    rounds = [dataclasses.asdict(measurement) for measurement in measurements]
    path.write_text(json.dumps({**facts, "summaries": lines, "measurements": rounds}, indent=1) + "\n")


def _stop(signal_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal_number)


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, _stop)
    if words[:1] == ["conformance"]:
        return conformance.main(words[1:])
    if words[:1] == ["home"]:
        return home.main(words[1:])
    if words[:1] == ["search"]:
        return search.main(words[1:])
    if words[:1] == ["tui"]:
        return tui.main(words[1:])
    if words[:1] == ["faults"]:
        return faults.main(words[1:])
    options = arguments(words)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        for name in ("load", "floor"):
            programs.program(name)
        facts = machine(folder)
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()))
        able = present(chosen(options.peers, with_ours=not options.without_ours))
        measurements = measure(options, able, folder)
        if options.json:
            versions = {one.name: one.version() for one in able}
            record(options.json, {"machine": facts, "versions": versions}, measurements)
    except (programs.NoCompiler, ServerFailed, UnequalWork) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 69 if isinstance(failure, programs.NoCompiler) else 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
