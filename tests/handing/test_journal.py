"""What a run is about to do is told whole or not at all."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from postoffice.errors import UsageError
from postoffice.handing.journal import Journal, Note


def test_what_was_begun_is_what_the_next_one_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with closing(Journal(path)) as journal:
        assert journal.died == Note()
        journal.begin(["m1", "m2", "a longer name than that of the next one"], 4711)
        journal.begin(["m3"], 5)
    with closing(Journal(path)) as journal:
        assert journal.died == Note(("m3",), 5)
        journal.end()
    with closing(Journal(path)) as journal:
        assert journal.died == Note()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_is_not_whole_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with closing(Journal(path)) as journal:
        journal.begin(["m1"], 1)
    old = path.read_bytes()
    with closing(Journal(path)) as journal:
        journal.begin(["m2", "m3"], 2)
    new = path.read_bytes()
    for cut in range(1, len(new)):
        path.write_bytes(new[:cut] + old[cut:])
        with closing(Journal(path)) as journal:
            assert journal.died in (Note(), Note(("m1",), 1) if new[:cut] == old[:cut] else Note())


def test_one_run_at_a_time_hands_over(tmp_path: Path) -> None:
    with (
        closing(Journal(tmp_path / "a.journal")),
        pytest.raises(UsageError, match="another run is handing these letters over") as caught,
    ):
        Journal(tmp_path / "a.journal")
    assert caught.value.status == os.EX_TEMPFAIL
