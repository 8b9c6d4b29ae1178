"""Every fault of the matrix, by who deletes and by who keeps: `postoffice fetch` runs a few times, and all is at home
exactly once.

The rows stand in `postoffice.testing.faults.cells`. Where nothing is killed and no disk is full, the command runs in
this process: it is the same command, and what it ends with is its exit status.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from postoffice.cli.main import run
from postoffice.testing.faults.cells import CELLS, Cell, Trial
from postoffice.testing.faults.fetching import Fetch, at_home, command
from postoffice.testing.faults.judging import judge
from postoffice.testing.faults.opening import opened
from postoffice.testing.faults.places import disk_absence
from postoffice.testing.faults.trial import RUNS, attempt

PATIENCE_SECONDS = 20.0
SHORT_PATIENCE_SECONDS = 1.0


def cells(*trials: Trial) -> Sequence[object]:
    """The cells in which that is done to the program."""
    chosen = []
    for cell in CELLS:
        if cell.fault.trial not in trials:
            continue
        marks: list[pytest.MarkDecorator] = []
        if cell.fault.is_slow:
            marks += [pytest.mark.slow, pytest.mark.timeout(900)]
        chosen.append(pytest.param(cell, id=str(cell), marks=marks))
    return chosen


@pytest.mark.parametrize("cell", cells(Trial.NONE))
def test_everything_is_at_home_exactly_once(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "home.mailbox"
    statuses = []
    with opened(cell.fault, tmp_path) as door:
        patience = SHORT_PATIENCE_SECONDS if cell.fault.needs_patience else PATIENCE_SECONDS
        words = command(door, file, tmp_path, delete=cell.delete, patience=patience)
        monkeypatch.setattr(sys, "argv", ["postoffice", *words])
        for _ in range(RUNS):
            statuses.append(run())
            door.peer.is_repaired = True
        assert judge(cell, door.peer, at_home(file), exact=True) == []
    assert statuses[0] in cell.fault.first
    assert statuses[-1] in cell.fault.last


@pytest.mark.parametrize("cell", cells(Trial.KILL, Trial.TWO, Trial.CLOCK))
def test_what_is_done_to_the_program_changes_nothing(cell: Cell, tmp_path: Path) -> None:
    tried_as_a_process(cell, tmp_path)


@pytest.mark.skipif(disk_absence() is not None, reason=disk_absence() or "")
@pytest.mark.parametrize("cell", cells(Trial.DISK_OF_LETTERS, Trial.DISK_OF_INDEX, Trial.DISK_OF_MEMORY))
def test_a_full_disk_is_told_and_costs_nothing(cell: Cell, tmp_path: Path) -> None:
    tried_as_a_process(cell, tmp_path)


def tried_as_a_process(cell: Cell, folder: Path) -> None:
    finding = attempt(cell, Fetch(PATIENCE_SECONDS), folder)
    assert finding.problems == [], finding.last_words
    assert finding.statuses[0] in cell.fault.first
    assert finding.statuses[-1] in cell.fault.last
