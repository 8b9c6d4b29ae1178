"""The page of the figures says what was measured, and nothing else."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bench.figures import Figure, Summary
from bench.goals import GOALS, Part, Verdict
from bench.plot import Dot, Line, plot
from bench.results import Results

from bench import report

PAGE = """# Page

<!-- goals -->
outdated
<!-- end -->
by hand
<!-- machine -->

<!-- end -->
<!-- tables -->

<!-- end -->
"""
MACHINE = {"processor": "abacus", "cores": 2, "memory_mb": 2048, "kernel": "K", "file_system": "ext4", "python": "3"}


def line(row: str, who: str, cpu: float, rate: float) -> Summary:
    cpus, rates = (Figure(value, value * 0.9, value * 1.1) for value in (cpu, rate))
    return Summary(row, who, rates, rates, cpus, {who: cpu}, 1.0, 2.0, 1 << 20, 0.5)


def test_a_measure_is_as_good_as_its_worst_part() -> None:
    goal = GOALS[1]
    row = "tls sessions c=16"
    lines = {(row, "ours"): line(row, "ours", 100, 900)}
    assert goal.verdict(lines) is Verdict.OPEN
    for cpu, rate, verdict in ((260, 300, Verdict.AIM), (210, 300, Verdict.MET), (260, 600, Verdict.MISSED)):
        lines[row, "dovecot-tuned"] = line(row, "dovecot-tuned", cpu, rate)
        assert goal.verdict(lines) is verdict


@pytest.mark.parametrize(("value", "verdict"), [(90, Verdict.AIM), (120, Verdict.MET), (160, Verdict.MISSED)])
def test_less_is_better_where_that_is_said(value: float, verdict: Verdict) -> None:
    assert Part("", lambda lines: value, 150, 100, "{} ms", is_most=True).verdict(value) is verdict


def test_every_row_that_a_goal_reads_can_be_measured() -> None:
    asked: set[str] = set()

    class Asking(dict[tuple[str, str], Summary]):
        def get(self, key: tuple[str, str], default: object = None) -> None:  # type: ignore[override]
            asked.add(key[0])

        def __contains__(self, key: object) -> bool:
            assert isinstance(key, tuple)
            asked.add(key[0])
            return False

    assert len(GOALS) == 18
    for goal in GOALS:
        assert goal.verdict(Asking()) is Verdict.OPEN
    assert len(asked) > 20
    assert asked <= set(report.rows())


def test_the_page_is_written_anew_between_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(dict(MACHINE))
    results.subjects["tls"] = {
        "date": "2026-01-02",
        "rounds": 3,
        "load_after": 0.5,
        "addition_ns": 30,
        "versions": {"ours": "postoffice 1"},
    }
    row = "tls sessions c=16"
    kept = [line(row, "ours", 100, 900), line(row, "dovecot-tuned", 260, 600)]
    results.subjects["tls"]["summaries"] = [dataclasses.asdict(one) for one in kept]
    results.write(tmp_path / "figures.json")
    (tmp_path / "page.md").write_text(PAGE)
    assert report.main([str(tmp_path / "figures.json"), "--into", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text()
    assert "outdated" not in text
    assert "by hand" in text
    assert "| 2 x tuned | 2.5 x | CPU x 2.60, **rate x 1.50** | **missed** |" in text
    assert "| tls | 2026-01-02 | 3 | 0.5 | 30 ns | – | postoffice 1 |" in text
    assert "dovecot-tuned  600 [540-660]" in text
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"ratios.svg", "cpu.svg"}
    assert "missed" in capsys.readouterr().out
    assert report.page(text, Results.read(tmp_path / "performance.json")) == text


@pytest.mark.parametrize(("octets", "status"), [(None, 66), ("{}", 65), ("no JSON", 65)])
def test_a_file_without_figures_changes_nothing(tmp_path: Path, octets: str | None, status: int) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    if octets is not None:
        (tmp_path / "figures.json").write_text(octets)
    assert report.main([str(tmp_path / "figures.json"), "--into", str(tmp_path / "page.md")]) == status
    assert (tmp_path / "page.md").read_text() == PAGE


def test_a_plot_has_a_dot_for_everybody_where_it_belongs() -> None:
    figures = [("ours", Figure(10, 5, 20)), ("peer & son", Figure(1000, 900, 1100))]
    drawn = plot("Costs", "microseconds", [Line("one", [Dot(*each) for each in figures], 20, 40)])
    root = ET.fromstring(drawn)
    dots = {
        group[0].text: float(group[2].get("cx", "0"))
        for group in root.iter("{http://www.w3.org/2000/svg}g")
        if len(group) == 3
    }
    assert list(dots) == ["ours: 10.0 [5.00-20.0]", "peer & son: 1,000 [900-1,100]"]
    ours, peer = dots.values()
    grid = [float(place) for place in re.findall(r'class="grid" d="M([\d.]+)', drawn)]
    assert len(grid) == 5
    assert (ours, peer) == (grid[1], grid[3])


def test_the_page_in_the_repository_says_what_is_kept_beside_it() -> None:
    results = Results.read(report.PAGE.with_name(report.KEPT))
    assert report.page(report.PAGE.read_text(), results) == report.PAGE.read_text()
    for name, drawn in report.plots(results.lines()).items():
        assert (report.PAGE.with_suffix("") / name).read_text() == drawn
        assert f"(performance/{name})" in report.PAGE.read_text()
