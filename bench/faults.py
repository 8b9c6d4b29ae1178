"""`./po bench faults`: ours and other fetchers meet every fault of the matrix, and the page is written.

./po bench faults [--programs mpop,postoffice] [--cells closed,reset] [--slow] [--into docs/fault-matrix.md]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from bench.peers.fetchers import Fetcher, fetchers
from postoffice import __version__
from postoffice.testing.faults.cells import CELLS, HOSTILE, KNOWN, MEASURED, Cell, Fault
from postoffice.testing.faults.fetching import Fetch
from postoffice.testing.faults.places import disk_absence
from postoffice.testing.faults.trial import Finding, NotTried, attempt

PATIENCE_SECONDS = 5.0

_HEAD = """# The fault matrix

Made by `./po bench faults` on {date}; not written by hand. A POP3 server on loopback does one thing wrong, or something
is done to the program that pulls; it runs three times. Every row is tried by who deletes and by who keeps
(delete/keep). **P**: all letters are at home exactly once and intact, nothing else was delivered as mail, the server
is empty (delete) or full (keep); where one letter is bad, that holds for the others; where the server means harm,
nothing came and nothing is gone. No crash, no endless growth, no manual step. **F**: not so, the number leads to why.
–: the program does not speak what the row is about.

The server and what must be so stand in `postoffice.testing.faults`; `python -m postoffice.testing.faults NAME` serves
one of them to any program. Letters are 15 kB, five unless the row says otherwise. A run has 45 seconds, 24 MiB for a
file and 6 GiB of memory; 128 MiB for a file where the server means harm (what has no end there has 96 MiB); with the
letter of more than 2 GiB 240 seconds, and 8 GiB for a file. The programs are Debian's packages, as nobody, each with
its default behaviour, into a Maildir (fetchmail: by a program that keeps a letter whole or fails), and they wait five
seconds for a silent server. Fields that a program puts above a letter, the line ends of the system and one more at
the end are taken for intact; postoffice is compared octet by octet, and its exit status must be the documented one
too.

"""

_PARTS: Mapping[str, Sequence[Fault]] = {
    "The eleven of the first study": MEASURED,
    "Known real cases": KNOWN,
    "Servers that mean harm": HOSTILE,
}


@dataclass(slots=True)
class Column:
    """What one program made of the cells. A cell that is not there was not tried."""

    name: str
    version: str
    found: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sum(self) -> str:
        return f"{sum(not problems for problems in self.found.values())}/{len(self.found)}"


def measure(program: Fetch | Fetcher, cells: Sequence[Cell], folder: Path, is_stopped: Event) -> Column:
    """Every cell in a folder of its own, until somebody stops it."""
    column = Column(program.name, program.version() if isinstance(program, Fetcher) else __version__)
    for cell in cells:
        if is_stopped.is_set():
            break
        home = folder / program.name / str(cell)
        home.mkdir(parents=True)
        home.chmod(0o755)
        began = time.monotonic()
        try:
            finding = attempt(cell, program, home)
        except NotTried as absence:
            print(f"{program.name:12}{cell!s:26}- {absence}", flush=True)
            continue
        finally:
            shutil.rmtree(home, ignore_errors=True)
        problems = [*finding.problems, *(_statuses(cell, finding) if program.is_exact else [])]
        column.found[str(cell)] = problems
        took = f"{time.monotonic() - began:6.1f} s {finding.statuses}"
        last = f" | {finding.last_words[:120]}" if problems else ""
        print(f"{program.name:12}{cell!s:26}{'F' if problems else 'P'} {took} {'; '.join(problems)}{last}", flush=True)
    return column


def _is_here(program: Fetch | Fetcher) -> bool:
    return not isinstance(program, Fetcher) or program.is_installed()


def _statuses(cell: Cell, finding: Finding) -> list[str]:
    """Exit statuses that are not the documented ones."""
    first, last = finding.statuses[0], finding.statuses[-1]
    wrong = [] if first in cell.fault.first else [f"exit status {first} in the first run"]
    return wrong if last in cell.fault.last else [*wrong, f"exit status {last} in the last run"]


def page(columns: Sequence[Column], faults: Sequence[Fault], left_out: Sequence[str], date: str) -> str:
    """The document."""
    notes: dict[str, int] = {}
    lines = [_HEAD.format(date=date).rstrip() + "\n", "| program | version | passed of those tried |", "|---|---|---|"]
    lines += [f"| {column.name} | {column.version} | {column.sum} |" for column in columns]
    lines += [f"\nNot tried: {one}." for one in left_out]
    for part, rows in _PARTS.items():
        shown = [fault for fault in rows if fault in faults]
        if shown:
            lines += [f"\n## {part}\n", "| fault | " + " | ".join(column.name for column in columns) + " |"]
            lines.append("|---|" + "---|" * len(columns))
            lines += [_row(fault, columns, notes) for fault in shown]
    lines += ["\n## What went wrong\n", *(f"{number}. {text}" for text, number in notes.items())]
    ours = next((column for column in columns if column.name == Fetch.name), None)
    return "\n".join([*lines, f"\npostoffice {ours.sum}" if ours else ""]).rstrip() + "\n"


def _row(fault: Fault, columns: Sequence[Column], notes: dict[str, int]) -> str:
    signs = []
    for column in columns:
        both = [_sign(column.found.get(str(Cell(fault, delete))), notes) for delete in (True, False)]
        signs.append("–" if both == ["–", "–"] else "/".join(both))
    return f"| {fault.what} | " + " | ".join(signs) + " |"


def _sign(problems: list[str] | None, notes: dict[str, int]) -> str:
    if problems is None:
        return "–"
    if not problems:
        return "P"
    number = notes.setdefault("; ".join(problems), len(notes) + 1)
    return f"**F** {number}"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench faults", description=__doc__.partition("\n\n")[0])
    everybody: list[Fetch | Fetcher] = [*fetchers(), Fetch(PATIENCE_SECONDS)]
    names = [program.name for program in everybody]
    parser.add_argument("--programs", default=",".join(names), help="whom to try (%(default)s)")
    parser.add_argument("--cells", default="", help="names of faults, all without it")
    parser.add_argument("--slow", action="store_true", help="also what takes minutes: the letter of more than 2 GiB")
    parser.add_argument("--jobs", type=int, default=2, help="programs that are tried at the same time (%(default)s)")
    parser.add_argument("--into", type=Path, default=Path("docs/fault-matrix.md"), help="the page (%(default)s)")
    options = parser.parse_args(words)
    if absence := disk_absence() or (None if shutil.which("faketime") else "faketime is not installed"):
        print(f"bench: {absence}", file=sys.stderr)
        return 69
    wanted = [name for name in options.cells.split(",") if name]
    cells = [
        cell for cell in CELLS if (cell.fault.name in wanted if wanted else options.slow or not cell.fault.is_slow)
    ]
    chosen = [program for program in everybody if program.name in options.programs.split(",")]
    left_out = [f"{program.name}, which is not installed" for program in chosen if not _is_here(program)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-faults-", ignore_cleanup_errors=True) as name,
        ThreadPoolExecutor(options.jobs) as pool,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        is_stopped = Event()
        try:
            columns = list(pool.map(lambda one: measure(one, cells, folder, is_stopped), filter(_is_here, chosen)))
        finally:
            is_stopped.set()
    faults = list(dict.fromkeys(cell.fault for cell in cells))
    options.into.write_text(page(columns, faults, left_out, f"{datetime.now(UTC):%Y-%m-%d}"))
    for column in columns:
        print(f"{column.name} {column.version}: {column.sum}")
    ours = [column for column in columns if column.name == Fetch.name]
    return 1 if any(any(column.found.values()) for column in ours) else 0
