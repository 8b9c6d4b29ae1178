"""A program that pulls, and one cell of the matrix: it runs a few times, and then it is judged.

A run has an end in time, and what it may write has a limit: who grows without end is stopped, and has failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from postoffice.testing.faults.cells import HOSTILE, Cell, Fault, Trial
from postoffice.testing.faults.judging import Stored, judge
from postoffice.testing.faults.opening import Door, opened
from postoffice.testing.faults.places import Place, make_place, small_disk

RUNS = 3
RUN_SECONDS = 45.0
REST_SECONDS = 0.3
SLOW_RUN_SECONDS = 240.0
FILE_OCTETS = 24 * 1024 * 1024
HOSTILE_FILE_OCTETS = 128 * 1024 * 1024
"""Where a server tries to fill the disk itself: more than it sends."""
MEMORY_OCTETS = 6 * 1024 * 1024 * 1024
SLOW_FILE_OCTETS = 8 * 1024 * 1024 * 1024

_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
_LETTERS_KIB = 24
_INDEX_KIB = tuple(range(40, 136, 16))
_MEMORY_KIB = tuple(range(136, 184, 8))
"""What is written for five letters ends somewhere here, where letters and memory are one file."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A small disk below letters or memory, with so much room in the first run."""

    kib: int
    is_of_memory: bool = False


class Program(Protocol):
    """Somebody who pulls. `is_exact`: what it keeps is what the server had, octet by octet. `keeps_memory_apart`: what
    it remembers lies in a file of its own."""

    @property
    def name(self) -> str: ...

    @property
    def is_exact(self) -> bool: ...

    @property
    def keeps_memory_apart(self) -> bool: ...

    def absence(self, door: Door) -> str | None:
        """Why it cannot be tried with this: what it does not speak at all."""

    def prepare(self, place: Place, door: Door, *, delete: bool) -> Sequence[str]:
        """Write its settings; gives the command line of a run."""

    def yesterday(self, words: Sequence[str]) -> Sequence[str]:
        """The same command line with a clock that goes a day behind."""

    def at_home(self, place: Place) -> list[Stored]:
        """The letters that it delivered."""


class NotTried(Exception):
    """The program does not speak what the fault is about. Says what."""


@dataclass(slots=True)
class Finding:
    """What came of a cell. `statuses` are those of its runs, -9 who was killed; `last_words` what it said at last."""

    problems: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    last_words: str = ""


def attempt(cell: Cell, program: Program, folder: Path) -> Finding:
    """Try it in a folder that is empty. Raises NotTried."""
    finding = Finding()
    for number, disk in enumerate(_disks(cell.fault, program)):
        home = folder / f"{number}"
        home.mkdir()
        home.chmod(0o755)
        with opened(cell.fault, home) as door:
            if absence := program.absence(door):
                raise NotTried(absence)
            with _place(home / "home", disk) as place:
                tried = _Attempt(cell, program, door, place).run(disk)
        size = f"with {disk.kib} KiB: " if disk and disk.kib else ""
        finding.problems += [size + problem for problem in tried.problems]
        finding.statuses, finding.last_words = tried.statuses, tried.last_words
        if tried.problems:
            break
    return finding


def _disks(fault: Fault, program: Program) -> Sequence[Disk | None]:
    """The disks that are tried, one after the other; None is no small one."""
    match fault.trial:
        case Trial.DISK_OF_LETTERS:
            return [Disk(_LETTERS_KIB)]
        case Trial.DISK_OF_INDEX:
            return [Disk(kib) for kib in _INDEX_KIB]
        case Trial.DISK_OF_MEMORY if program.keeps_memory_apart:
            return [Disk(0, is_of_memory=True)]
        case Trial.DISK_OF_MEMORY:
            return [Disk(kib) for kib in _MEMORY_KIB]
        case _:
            return [None]


@contextmanager
def _place(folder: Path, disk: Disk | None) -> Iterator[Place]:
    place = make_place(folder)
    if disk is None:
        yield place
        return
    with small_disk(place, place.memory if disk.is_of_memory else place.letters) as small:
        yield small


class _Attempt:
    """The runs of one cell in one place."""

    def __init__(self, cell: Cell, program: Program, door: Door, place: Place) -> None:
        self._cell = cell
        self._program = program
        self._door = door
        self._place = place
        self._is_slow = cell.fault.is_slow
        self._file_octets = HOSTILE_FILE_OCTETS if cell.fault in HOSTILE else FILE_OCTETS
        if self._is_slow:
            self._file_octets = SLOW_FILE_OCTETS
        self._words = program.prepare(place, door, delete=cell.delete)
        self._found = Finding()

    def run(self, disk: Disk | None) -> Finding:
        filled = self._place.memory if disk and disk.is_of_memory else self._place.letters
        if disk:
            self._run_without_letters()
            self._place.fill(filled, disk.kib)
        for number in range(RUNS):
            if not self._run(number):
                return self._found
            self._door.peer.is_repaired = True
            if disk and number == 0:
                self._place.make_room(filled)
        self._found.problems += judge(
            self._cell, self._door.peer, self._program.at_home(self._place), exact=self._program.is_exact
        )
        return self._found

    def _run_without_letters(self) -> None:
        """So that the disk is not full before the first letter comes."""
        peer = self._door.peer
        letters, peer.letters = peer.letters, {}
        self._end(self._begin(self._words))
        peer.letters = letters

    def _run(self, number: int) -> bool:
        """One run; False if there is no use in another."""
        trial = self._cell.fault.trial
        words = self._words if trial is not Trial.CLOCK or number == 0 else self._program.yesterday(self._words)
        processes = [self._begin(words) for _ in range(2 if trial is Trial.TWO and number == 0 else 1)]
        if trial is Trial.KILL and number == 0:
            self._door.peer.reached.wait(RUN_SECONDS)
            self._wait_for_rest()
            _kill(processes[0])
        is_over = [self._end(process) for process in processes]
        self._found.statuses.append(processes[0].returncode)
        if not all(is_over):
            self._found.problems.append("does not end")
        if any(process.returncode in _CRASHES for process in processes) and "crashes" not in self._found.problems:
            self._found.problems.append("crashes")
        if is_large := any(process.returncode == -signal.SIGXFSZ for process in processes) or (
            self._place.octets() > 2 * self._file_octets
        ):
            self._found.problems.append("fills the disk")
        return all(is_over) and not is_large

    def _wait_for_rest(self) -> None:
        """Until it has written what has come."""
        before = -1
        while before != (before := self._place.octets()):
            time.sleep(REST_SECONDS)

    def _begin(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        limited = ["prlimit", f"--fsize={self._file_octets}", f"--as={MEMORY_OCTETS}", "--core=0", "--", *words]
        folder = self._place.folder
        log = folder.with_name("log")
        with log.open("ab") as said:
            return subprocess.Popen(
                self._place.words(limited),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(folder),
                    "TMPDIR": str(folder),
                    "LC_ALL": "C.UTF-8",
                    "SSL_CERT_FILE": str(self._door.authority),
                },
                start_new_session=True,
            )

    def _end(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it ended by itself."""
        try:
            process.wait(SLOW_RUN_SECONDS if self._is_slow else RUN_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            _kill(process)
            lines = self._place.folder.with_name("log").read_text(errors="replace").strip().splitlines()
            self._found.last_words = lines[-1] if lines else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it began; ended already is fine."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
