"""The guard tells what became dearer beside the floor, and not that a machine is slow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench.guard import Finding, compared, ratios
from bench.measurement import Measurement
from bench.report import rows

from bench import guard, programs


def measured(who: str, round_number: int, cpu_seconds: float) -> Measurement:
    return Measurement("row", who, round_number, 1000, 1.0, 1.0, cpu_seconds, {}, 0, 0.0, 1.0, 1.0, 0, 0, "")


def test_a_ratio_is_that_of_each_round_so_a_busy_machine_changes_nothing() -> None:
    quiet = [measured(who, n, cpu) for n in range(3) for who, cpu in (("floor", 0.1), ("ours", 0.3))]
    busy = [measured(who, n, cpu * (n + 1)) for n in range(3) for who, cpu in (("floor", 0.1), ("ours", 0.3))]
    assert ratios(quiet) == pytest.approx({"row": 3.0})
    assert ratios(busy) == pytest.approx({"row": 3.0})


@pytest.mark.parametrize(("now", "is_dearer"), [(2.0, False), (3.5, False), (3.61, True)])
def test_a_fifth_more_is_dearer(now: float, is_dearer: bool) -> None:
    (found,) = compared({"row": now}, {"row": 3.0})
    assert found.is_dearer is is_dearer


def test_a_row_of_which_nothing_is_kept_is_not_dearer() -> None:
    assert not Finding("row", 9.0, None).is_dearer
    assert "nothing is kept" in str(Finding("row", 9.0, None))


def test_what_is_kept_is_of_rows_that_are_measured() -> None:
    guarded = {row.name for scene in guard.those_guarded() for row in scene.rows}
    assert guarded <= set(rows())
    kept = json.loads(guard.KEPT.read_text())
    assert kept
    for figures in kept.values():
        assert set(figures) == guarded
        assert all(value > 1 for value in figures.values())


@pytest.mark.slow
@pytest.mark.skipif(programs.compiler() is None, reason="no C compiler here")
def test_the_guard_ends_with_one_when_something_became_dearer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = guard.those_guarded()[0]
    tiny = replace(scene, accounts=64, letters=2)
    monkeypatch.setattr(guard, "those_guarded", lambda: [tiny])
    monkeypatch.setattr(guard, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    assert guard.main(["--keep"]) == 0
    kept = json.loads((tmp_path / "kept.json").read_text())
    ((kind, figures),) = kept.items()
    assert figures.keys() == {"sessions c=64"}
    (tmp_path / "kept.json").write_text(json.dumps({kind: {"sessions c=64": figures["sessions c=64"] * 10}}))
    assert guard.main([]) == 0
    (tmp_path / "kept.json").write_text(json.dumps({"another": {"sessions c=64": figures["sessions c=64"] / 10}}))
    assert guard.main([]) == 1
    told = capsys.readouterr().out
    assert "nothing is kept of" in told
    assert "1 of 1 became dearer" in told
