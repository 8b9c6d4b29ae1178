"""The bench of locked files runs, and its rows stand in the document."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import lock, programs

PAGE = (Path(__file__).parents[2] / "docs" / "locking.md").read_text(encoding="utf-8")


def test_it_runs_and_tells_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        programs.program("floor")
    except programs.NoCompiler as missing:
        pytest.skip(str(missing))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert lock.main(["--letters", "50", "--rounds", "1", "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for row in (*lock.ROWS, *lock.LOCK_ROWS):
        assert f"\n{row} " in told
    assert list(tmp_path.iterdir()) == []


def test_each_row_has_its_figures_in_the_document() -> None:
    assert all(f"\n{row} " in PAGE for row in (*lock.ROWS, *lock.LOCK_ROWS))
