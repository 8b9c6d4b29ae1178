"""What profilers wrote is told as shares of what an operation costs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from bench.flame import draw
from bench.profile import budget, rooms, row_of, stacks

PARENT = 'process 1:"serve";Supervisor.run (postoffice/app/run.py:195)'
CHILD = 'process 1:"serve";process 2:"serve";Supervisor._become_child (postoffice/app/run.py:275)'
LOOP = f"{CHILD};Runner.run (asyncio/runners.py:118)"
SESSION = "Dialogue.data_received (postoffice/net/dialogue.py:{});_Session.talk (postoffice/access/pop3.py:{})"

RAW = f"""\
{PARENT};_look (postoffice/app/run.py:200) 7
{LOOP};{SESSION.format(317, 190)} 3
{LOOP};{SESSION.format(319, 191)} 2
{CHILD};commit (postoffice/store/embedded/committing.py:98);crc (zlib.py:1) 4
{LOOP} 1
"""


def test_only_those_who_work_and_no_numbers_of_lines(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text(RAW)
    seen = stacks(tmp_path / "raw")
    session = ("Dialogue.data_received (postoffice/net/dialogue.py)", "_Session.talk (postoffice/access/pop3.py)")
    assert seen[session] == 5
    assert sum(seen.values()) == 10
    assert rooms(seen) == {"access": 5, "store": 4, "the loop": 1}


def test_shares_of_what_it_costs() -> None:
    assert budget("where", Counter({"here": 3, "there": 1, "nowhere": 0}), 200.0).splitlines() == [
        "| where | µs | |",
        "|---|---:|---:|",
        "| here | 150.0 | 75% |",
        "| there | 50.0 | 25% |",
    ]


def test_a_flame_is_as_wide_as_it_takes_time() -> None:
    drawn = draw("a & b", {("outer", "inner (postoffice/net/dialogue.py)"): 3, ("outer",): 1, ("<other>",): 4})
    assert "a &amp; b" in drawn
    assert "<title>outer: 50.0%</title>" in drawn
    assert "<title>inner (postoffice/net/dialogue.py): 37.5%</title>" in drawn
    assert "&lt;other&gt;" in drawn


def test_a_row_that_is_none_is_told() -> None:
    assert row_of("pull 5 MB")[1].name == "pull 5 MB"
    with pytest.raises(SystemExit, match="there is no row nonsense; there are sessions c=1"):
        row_of("nonsense")
