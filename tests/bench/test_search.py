"""The bench of searches runs, and its questions find something in the letters that it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import search


def test_it_runs_and_tells_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search.main(["--letters", "300", "--rounds", "1", "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "300 letters" in told
    for what, _ in search.QUESTIONS:
        assert what in told
    assert list(tmp_path.iterdir()) == []
