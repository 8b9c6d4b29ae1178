"""The bench of the terminal reader runs: the first screen, both ends of the list and a letter are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import tui


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tui.main(["--letters", "300", "--rounds", "1", "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "300 letters" in told
    for what in (tui.FIRST, *(what for what, _, _ in tui.KEYS)):
        assert f"\n{what} " in told
    assert not list(tmp_path.iterdir())
