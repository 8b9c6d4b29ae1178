"""`postoffice demo`, run as a person runs it."""

from __future__ import annotations

import json
import os
import poplib
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from postoffice.testing.journey import STEPS
from postoffice.testing.process import open_folder

ROAD_WITHOUT_B = """
import sys
from postoffice.cli.demo import Show, watch
sys.exit(watch(Show(as_json="--json" in sys.argv, zone={"a.example": {"MX": ["10 mx.a.example."]}})))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo puts what is temporary. It must leave nothing there, and no process that works there."""
    with open_folder() as folder:
        yield folder
        assert not list(folder.iterdir())
        assert not processes_in(folder)


@contextmanager
def demo(folder: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that is under way."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *words],
        env=os.environ | {"TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def run(folder: Path, *words: str, **environment: str) -> tuple[int, list[str], str]:
    """Exit status, lines of standard output, standard error."""
    with demo(folder, *words, **environment) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out.splitlines(), err


def processes_in(folder: Path) -> list[int]:
    """Who works in this folder or below it, whether it is still there or not."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            where = str((entry / "cwd").readlink()) if entry.name.isdecimal() else ""
        except OSError:
            continue
        if where.startswith(str(folder)):
            found.append(int(entry.name))
    return found


def read_until(process: subprocess.Popen[str], key: str) -> list[dict[str, Any]]:
    """The JSON objects up to the first that has this key."""
    assert process.stdout is not None
    objects: list[dict[str, Any]] = []
    while not objects or key not in objects[-1]:
        objects.append(json.loads(process.stdout.readline()))
    return objects


def test_every_step_is_observed_in_the_order_of_cause_and_effect(folder: Path) -> None:
    status, lines, err = run(folder, "-m", "postoffice", "demo", "--json")
    assert (status, err) == (0, "")
    steps = [json.loads(line) for line in lines]
    assert [step["step"] for step in steps] == list(STEPS)
    times = [step["at"] for step in steps]
    assert times == sorted(times)
    assert times[0] > 0
    by_name = {step["step"]: step for step in steps}
    assert by_name["relayed"]["letter"] == by_name["queued"]["letter"] != by_name["accepted"]["letter"]
    assert by_name["unchanged"]["octets"] == by_name["written"]["octets"]
    assert by_name["pulled"]["octets"] == by_name["unchanged"]["octets"] + by_name["unchanged"]["trace_octets"]
    assert {by_name[name]["tls"][:5] for name in ("admitted", "relayed", "pulled")} == {"TLSv1"}


def test_people_see_the_road_in_80_columns(folder: Path) -> None:
    status, lines, err = run(folder, "-m", "postoffice", "demo")
    assert (status, err) == (0, "")
    assert lines[0].startswith("alice's program ──SMTP──▶ a.example")
    assert max(map(len, lines)) <= 80
    assert sum("▶│" in line for line in lines) == 4
    assert lines[-1].endswith("every step was observed.")


def test_a_terminal_without_arrows_sees_all_the_same(folder: Path) -> None:
    status, lines, err = run(folder, "-m", "postoffice", "demo", PYTHONIOENCODING="ascii")
    assert (status, err) == (0, "")
    assert lines[-1].endswith("every step was observed.")


def test_trace_prints_each_conversation_without_its_secrets(folder: Path) -> None:
    status, lines, _ = run(folder, "-m", "postoffice", "demo", "--trace", "--json")
    assert status == 0
    told = {one["conversation"]: one["lines"] for one in map(json.loads, lines[len(STEPS) :])}
    assert list(told) == [
        "mx.a.example, door submission",
        "mx.b.example, door smtp",
        "mx.b.example, door pop3s",
    ]
    submission, relay, pull = told.values()
    assert submission.index("! TLS") < submission.index("C: AUTH PLAIN ...")
    assert "C: RCPT TO:<bob@b.example>" in relay
    assert pull[0] == "! TLS"
    assert pull.index("C: RETR 1") < pull.index("C: DELE 1") < pull.index("C: QUIT")


def test_a_road_that_ends_names_the_step_that_was_not_observed(folder: Path) -> None:
    status, lines, err = run(folder, "-c", ROAD_WITHOUT_B)
    assert status == os.EX_SOFTWARE
    assert "every step was observed" not in lines[-1]
    assert "the step 'asked' was not observed: mx.a.example told letter.failed" in err
    assert '"event": "letter.failed"' in err.splitlines()[-1]


def test_a_road_that_ends_is_told_to_programs_too(folder: Path) -> None:
    status, lines, _ = run(folder, "-c", ROAD_WITHOUT_B, "--json")
    assert status == os.EX_SOFTWARE
    assert [json.loads(line)["step"] for line in lines[:-1]] == list(STEPS[: STEPS.index("asked")])
    assert json.loads(lines[-1])["missing"] == "asked"


def test_stay_lets_another_program_in_until_interrupted(folder: Path) -> None:
    with demo(folder, "-m", "postoffice", "demo", "--stay", "--json") as process:
        *steps, invitation = read_until(process, "stay")
        assert [step["step"] for step in steps] == list(STEPS[: STEPS.index("stopped")])
        bob = invitation["stay"][1]
        trusted = ssl.create_default_context(cafile=invitation["ca"])
        maildrop = poplib.POP3_SSL(bob["host"], bob["ports"]["pop3s"], timeout=10, context=trusted)
        maildrop.user(bob["user"])
        maildrop.pass_(bob["password"])
        assert maildrop.stat()[0] == 1
        maildrop.quit()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert [json.loads(line)["step"] for line in out.splitlines()] == list(STEPS[STEPS.index("stopped") :])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_journey_leaves_nothing_behind(folder: Path, number: signal.Signals) -> None:
    with demo(folder, "-m", "postoffice", "demo", "--json") as process:
        read_until(process, "step")
        assert processes_in(folder)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (128 + number, "")
        assert "unchanged" not in out
