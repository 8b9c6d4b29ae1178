"""`./po bench`: measure the office beside the floor and its peers, and print a table.

Rounds alternate between the contenders; every figure is the median with its range. Processor time is that of the
server's whole tree of processes and is the figure to steer by: rates depend on what else the machine does. Memory is
the largest sum of proportional set sizes. For POP3 the server has one core and the generator another; deliveries
share all cores.

`./po bench all --json FILE` measures everything, and goes on where it was stopped; `./po bench report FILE` writes
docs/performance.md from it. `./po bench --quick` tells what became dearer since the kept figures (see `bench.guard`).
`./po bench home` measures the other end, programs that pull (see `bench.home`), and `./po bench search` looks for
letters in what came home (see `bench.search`), `./po bench tui` reads them on a terminal (see `bench.tui`), `./po bench
lock` says what it costs that a mailbox file is locked (see `bench.lock`), `./po bench profile ROW` where the time of an
operation goes (see `bench.profile`). Two more are other matters: `./po bench
conformance` asks POP3 servers what they do right (see `bench.conformance`), and `./po bench faults` tries programs that
pull with servers that fail (see `bench.faults`).
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench import conformance, faults, guard, home, lock, profile, programs, report, search, tui
from bench.contender import Contender
from bench.machine import machine
from bench.measurement import Plan, UnequalWork
from bench.process import ServerFailed
from bench.results import Results
from bench.subjects import SUBJECTS, contenders, measure, versions

DEFAULT_PEERS = "dovecot-tuned,dovecot-default,courier,cyrus,postfix-lmtp"
OTHERS = {
    "conformance": conformance.main,
    "faults": faults.main,
    "guard": guard.main,
    "home": home.main,
    "lock": lock.main,
    "profile": profile.main,
    "report": report.main,
    "search": search.main,
    "tui": tui.main,
}


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./po bench",
        description=__doc__.partition("\n\n")[0],
        epilog=f"Each of {', '.join(OTHERS)} has a --help of its own. Without a subject, --quick is that of guard.",
    )
    parser.add_argument("subject", nargs="*", help=f"one of {', '.join(SUBJECTS)}, or all (all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run takes (3)")
    parser.add_argument(
        "--quick", action="store_true", help="with a subject: one short round with less mail, does it run?"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="put the figures there; a subject that is in it is measured anew"
    )
    parser.add_argument("--folder", type=Path, help="where the mail lies while it is measured (the system's choice)")
    parser.add_argument("--without-ours", action="store_true", help="measure the floor and the peers only")
    names = ",".join(one.name for one in contenders()[4:])
    parser.add_argument("--peers", default=DEFAULT_PEERS, help=f"of {names}, or none ({DEFAULT_PEERS})")
    options = parser.parse_args(words)
    if unknown := set(options.subject) - {*SUBJECTS, "all"}:
        parser.error(f"nothing is called {', '.join(sorted(unknown))}; there are {', '.join((*SUBJECTS, *OTHERS))}")
    return options


def chosen(peers: str, *, with_ours: bool) -> list[Contender]:
    """The contenders to measure, in their order."""
    names = {
        "floor",
        *(["ours", "ours-forgetful", "ours-clear"] if with_ours else []),
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


def run(options: argparse.Namespace, able: Sequence[Contender], folder: Path, results: Results) -> None:
    """Every subject that was asked for; of `all`, those that are not measured yet. Each is kept when it is over."""
    asked = SUBJECTS if "all" in options.subject else options.subject
    for subject in asked:
        if "all" in options.subject and subject in results.subjects:
            print(f"\n{subject} was measured on {results.subjects[subject]['date']}")
            continue
        room = folder / subject
        room.mkdir(mode=0o755)
        plan = Plan(1 if options.quick else options.rounds, 1.0 if options.quick else options.seconds, room, tell)
        measurements = measure(subject, able, plan, quick=options.quick)
        shutil.rmtree(room, ignore_errors=True)
        if options.json:
            results.add(subject, measurements, versions(able))
            results.write(options.json)


def _stop(signal_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal_number)


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, _stop)
    if words and words[0] in OTHERS and not set(words[1:]) & {*SUBJECTS, "all"}:
        return OTHERS[words[0]](words[1:])
    options = arguments(words)
    if options.quick and not options.subject:
        return guard.main([])
    options.subject = options.subject or ["all"]
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        for name in ("load", "floor"):
            programs.program(name)
        facts = machine(folder)
        results = Results.read(options.json, facts) if options.json else Results(dict(facts))
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()))
        able = present(chosen(options.peers, with_ours=not options.without_ours))
        run(options, able, folder, results)
    except (programs.NoCompiler, ServerFailed, UnequalWork, ValueError) as failure:
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
