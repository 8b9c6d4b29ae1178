"""Contenders take turns, and one that does other work than the others ends the benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.contender import Mail
from bench.floor import Floor
from bench.measure import tree
from bench.measurement import Plan, UnequalWork
from bench.rows import Row, Scene
from bench.run import run_scene

from bench import programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs.compiler() is None, reason="no C compiler here"),
]

PULL = Scene("pull", "pop3", 2, 20, (Row("pull", "", "letter", ("--window", "8")),), is_pinned=False)
DELE = Scene("pull-dele", "pop3", 2, 20, (Row("dele", "", "letter", ()),), is_used_up=True, is_pinned=False)
DELIVER = Scene("deliver", "smtp", 16, 0, (Row("deliver", "", "letter", (), is_delivery=True),), is_pinned=False)


DAY = Scene("day", "smtp", 4, 0, (Row("day", "", "letter", ("--connections", "2")),), is_pinned=False)
COLD = Row("cold", "", "session", ("--seconds", "0"), is_cold=True, without_index=True)
LIST = Scene("list", "pop3", 1, 20, (Row("warm", "", "session"), COLD), is_pinned=False)


class Other(Floor):
    """A second floor; one that says it keeps letters is a server that loses them."""

    name = "other"

    def __init__(self, *, keeps_letters: bool = False, alter: bytes = b"") -> None:
        super().__init__()
        self.keeps_letters = keeps_letters
        self._alter = alter

    def prepare(self, home: Path, mail: Mail) -> None:
        last = mail.letters[-1:]
        altered = [self._alter + one[len(self._alter) :] for one in last]
        super().prepare(home, Mail(mail.accounts, [*mail.letters[: len(mail.letters) - len(last)], *altered]))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(rounds=3, seconds=0.05, folder=tmp_path, tell=lambda line: None)


def test_contenders_take_turns(plan: Plan) -> None:
    measurements = list(run_scene(PULL, [Floor(), Other()], plan))
    assert [(m.contender, m.round_number) for m in measurements] == [
        (name, number) for number in range(3) for name in ("floor", "other")
    ]
    assert all(m.cpu_seconds > 0 and m.memory_octets > 0 and m.operations >= 20 for m in measurements)
    assert len({m.checksum for m in measurements}) == 1


def test_every_round_uses_fresh_accounts_where_they_are_used_up(plan: Plan) -> None:
    measurements = list(run_scene(DELE, [Floor()], plan))
    assert [m.operations for m in measurements] == [40, 40, 40]


class Counting(Floor):
    """Notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def start(self, core: int | None) -> None:
        self.done.append("start")
        super().start(core)

    def chill(self) -> None:
        assert not self.pids(), "it does not run while it forgets"
        self.done.append("chill")


def test_a_cold_server_is_started_anew_before_every_run(plan: Plan) -> None:
    one = Counting()
    measurements = list(run_scene(LIST, [one], plan))
    assert one.done == ["start", *["chill", "start"] * plan.rounds]
    assert [m.operations for m in measurements if m.row == "cold"] == [1] * plan.rounds


def test_a_day_is_twenty_letters_for_everybody(plan: Plan) -> None:
    measurements = list(run_scene(DAY, [Floor()], plan))
    assert [m.operations for m in measurements] == [80] * plan.rounds


@pytest.mark.parametrize(
    ("scene", "other", "why"),
    [
        (PULL, Other(alter=b"from"), "other gave other letters than floor"),
        (DELE, Other(keeps_letters=True), "other still has 40 letters after UPDATE"),
        (DELIVER, Other(keeps_letters=True), r"other accepted \d+ letters and kept 0"),
    ],
)
def test_other_work_ends_the_benchmark_and_every_server(scene: Scene, other: Other, why: str, plan: Plan) -> None:
    with pytest.raises(UnequalWork, match=why):
        list(run_scene(scene, [Floor(), other], plan))
    assert tree([os.getpid()]) == [os.getpid()], "no server is left"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bench", "sessions", "--peers", "none", "--without-ours", "--seconds", "60"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([*words, "--folder", str(tmp_path)], cwd=root, stdout=-1, stderr=-1, text=True) as bench:
        load: list[int] = []
        while not load and bench.poll() is None:
            load = [pid for pid in tree([bench.pid]) if _command(pid) == "load"]
        family = tree([bench.pid])
        bench.send_signal(number)
        bench.communicate()
    assert len(family) >= 4, "the bench, two floors and the load"
    assert bench.returncode in (130, 143)
    assert not any(_command(pid) in {"load", "floor"} for pid in family)
    assert list(tmp_path.iterdir()) == []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
