"""A table shows medians with their range, and how many times cheaper and faster we are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench.__main__ import arguments, chosen
from bench.figures import Figure, number, ratios, summaries, table
from bench.measurement import Measurement
from bench.report import rows
from bench.results import Results
from bench.rows import SUBJECTS, Row, scenes
from bench.subjects import contenders, fit

from bench import programs

ROW = Row("sessions c=1", "short sessions", "session", ())


def measured(contender: str, round_number: int, operations: int, cpu_seconds: float) -> Measurement:
    return Measurement(
        row=ROW.name,
        contender=contender,
        round_number=round_number,
        operations=operations,
        seconds=2.0,
        settled_seconds=4.0,
        cpu_seconds=cpu_seconds,
        cpu_by_root={"server": cpu_seconds},
        memory_octets=1_000_000 * round_number,
        generator_share=0.95,
        p50_ms=1.0,
        p99_ms=3.0,
        octets=0,
        session_octets=0,
        checksum="",
    )


def test_a_figure_is_the_median_and_the_range() -> None:
    assert Figure.of([9.0, 1.0, 5.0]) == Figure(5.0, 1.0, 9.0)
    assert Figure.of([4.0, 1.0]) == Figure(2.5, 1.0, 4.0)


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (99.95, "100.0"), (12.34, "12.3"), (7.5, "7.50")])
def test_a_number_has_three_digits_or_more(value: float, text: str) -> None:
    assert number(value) == text


def test_rounds_that_alternate_are_summed_up_for_each_contender() -> None:
    rounds = [(1, 1000, 0.2), (2, 3000, 0.3), (3, 2000, 0.6)]
    ours, peer = summaries(
        [measured(name, n, ops, cpu) for n, ops, cpu in rounds for name in ("ours", "dovecot-tuned")]
    )
    assert (ours.contender, peer.contender) == ("ours", "dovecot-tuned")
    assert ours.rate == Figure(1000.0, 500.0, 1500.0)
    assert ours.settled_rate == Figure(500.0, 250.0, 750.0)
    assert (ours.cpu_us.low, ours.cpu_us.median, ours.cpu_us.high) == pytest.approx((100.0, 200.0, 300.0))
    assert ours.memory_octets == 3_000_000


def test_a_ratio_above_one_is_in_our_favour() -> None:
    ours, peer = summaries([measured("ours", 1, 4000, 0.4), measured("peer", 1, 1000, 0.8)])
    assert ratios(ours, peer) == pytest.approx((8.0, 4.0))


def test_the_table_names_ratio_and_busy_generator() -> None:
    lines = summaries([measured("floor", 1, 8000, 0.2), measured("ours", 1, 4000, 0.4), measured("peer", 1, 1000, 0.8)])
    head, _, ours, peer = table(ROW, lines).splitlines()
    assert "CPU us/session" in head
    assert "delivered/s" not in head
    assert "x" not in ours
    assert peer.endswith("x 8.0, x 4.0")
    assert "95% (!)" in peer


def test_the_table_of_a_delivery_shows_when_letters_arrived_and_who_worked() -> None:
    lines = summaries([replace(measured("peer", 1, 1000, 0.8), cpu_by_root={"postfix": 0.5, "dovecot": 0.3})])
    head, peer, parts = table(replace(ROW, is_delivery=True), lines).splitlines()
    assert "delivered/s" in head
    assert "500 [500-500]" in peer
    assert "250 [250-250]" in peer
    assert parts.endswith("postfix 500, dovecot 300")


def test_every_round_is_recorded_and_what_was_there_of_a_subject_is_replaced(tmp_path: Path) -> None:
    results = Results.read(tmp_path / "figures", {"processor": "abacus", "cores": 2})
    results.add("sessions", [measured("ours", 1, 5000, 0.2)], {"ours": "1.0"})
    results.add("sessions", [measured("ours", n, 1000, 0.2) for n in (1, 2)], {"ours": "1.0", "peer": "2.0"})
    results.write(tmp_path / "figures")
    kept = Results.read(tmp_path / "figures", {"processor": "abacus", "cores": 2})
    assert [line["round_number"] for line in kept.subjects["sessions"]["measurements"]] == [1, 2]
    assert kept.subjects["sessions"]["versions"] == {"ours": "1.0"}
    assert kept.lines()[ROW.name, "ours"].cpu_us.median == pytest.approx(200.0)
    assert "measurements" not in kept.without_rounds().subjects["sessions"]


def test_figures_of_two_machines_are_not_put_together(tmp_path: Path) -> None:
    Results({"processor": "abacus", "cores": 2}).write(tmp_path / "figures")
    with pytest.raises(ValueError, match="of another machine"):
        Results.read(tmp_path / "figures", {"processor": "abacus", "cores": 4})


def test_what_is_no_file_of_figures_is_told(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("[]")
    with pytest.raises(ValueError, match=r"holds no figures of \./po bench"):
        Results.read(tmp_path / "figures")


def test_the_command_line_has_defaults() -> None:
    options = arguments([])
    assert (options.subject, options.rounds, options.quick, options.json) == ([], 5, False, None)


def test_an_unknown_subject_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["sessions", "weather"])
    assert ended.value.code == 2
    assert "nothing is called weather; there are sessions, " in capsys.readouterr().err


def test_peers_are_chosen_by_name() -> None:
    names = [one.name for one in chosen("postfix-lmtp,dovecot-tuned", with_ours=True)]
    assert names == ["floor", "ours", "ours-forgetful", "ours-clear", "dovecot-tuned", "postfix-lmtp"]
    assert [one.name for one in chosen("none", with_ours=False)] == ["floor"]
    with pytest.raises(SystemExit, match="nobody is called sendmail"):
        chosen("sendmail", with_ours=True)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_quick_scene_is_part_of_the_whole_one(subject: str) -> None:
    for quick, whole in zip(scenes(subject, quick=True), scenes(subject, quick=False), strict=False):
        assert (quick.mode, quick.protocol) == (whole.mode, whole.protocol)
        assert quick.accounts * quick.letters <= whole.accounts * whole.letters
        assert len(quick.rows) <= len(whole.rows)


def test_no_two_rows_have_the_same_name() -> None:
    names = [row.name for subject in SUBJECTS for scene in scenes(subject, quick=False) for row in scene.rows]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", rows())
def test_every_row_is_described(name: str) -> None:
    assert f"`{name}`" in (programs.HERE / "README.md").read_text()


def test_nobody_is_measured_who_does_something_else() -> None:
    def who(subject: str) -> list[str]:
        return [one.name for one in fit(scenes(subject, quick=True)[0], contenders())]

    dovecots = ["dovecot-tuned-one", "dovecot-tuned", "dovecot-default"]
    assert who("sessions") == ["floor", "ours", *dovecots, "courier", "cyrus"]
    assert who("pull") == ["floor", "ours", *dovecots, "courier", "cyrus"]
    assert who("list") == ["floor", "ours", *dovecots, "courier", "cyrus"]
    assert who("tls") == ["floor", "ours", *dovecots, "courier", "cyrus"]
    assert who("logins") == ["ours", "ours-forgetful", "ours-clear"]
    assert who("day") == ["floor", "ours", "postfix-lmtp"]
    assert who("idle") == ["ours", "dovecot-tuned-one", "dovecot-tuned"]
