"""What is set for accounts and domains is kept, shown with whose it is, and refused where it is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.accounts.terms import RULES
from postoffice.testing.process import make_office, open_folder

BOB = "bob@a.example"


@pytest.fixture
def data() -> Iterator[Path]:
    with open_folder() as folder:
        make_office(folder / "office", {BOB: "secret"})
        yield folder / "office"


def run(data: Path, *words: str) -> tuple[int, str, str]:
    """Status, standard output, standard error."""
    program = "from postoffice.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *words, "--data", str(data)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def shown(data: Path, *words: str) -> dict[str, str]:
    status, out, said = run(data, *words)
    assert (status, said) == (0, "")
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines()}


def test_a_setting_is_inherited_overridden_and_taken_back(data: Path) -> None:
    assert shown(data, "account", "show", BOB)["retain"] == "never-expire (as everybody)"
    assert run(data, "domain", "set", "a.example", "retain=90", "recovery=7")[0] == 0
    assert run(data, "account", "set", BOB, "retain=30", "quota-octets=2G") == (0, f"{BOB} is kept as said\n", "")
    facts = shown(data, "account", "show", BOB)
    assert (facts["retain"], facts["recovery"]) == ("30", "7 (of the domain)")
    assert facts["octets"] == "0 (0 % of the quota)"
    assert shown(data, "domain", "show", "a.example")["retain"] == "90"
    assert run(data, "account", "set", BOB, "retain=default")[0] == 0
    assert shown(data, "account", "show", BOB)["retain"] == "90 (of the domain)"


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_set(data: Path) -> None:
    status, out, said = run(data, "account", "set", BOB, "retain=soon", "recovery", "color=blue", "recent=7")
    assert (status, out) == (os.EX_USAGE, "")
    assert said.splitlines() == [
        "postoffice: retain=soon: must be never-expire or days from 1 to 36500",
        "recovery: is not key=value; to take a setting back: recovery=default",
        f"color: there is no such setting; there are {', '.join(RULES)}",
    ]
    assert shown(data, "account", "show", BOB)["recent"] == "none (as everybody)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("account", "set", "eve@a.example", "retain=1"), "eve@a.example: there is no such account"),
        (("domain", "set", "c.example", "retain=1"), "c.example: there is no such domain"),
        (("domain", "show", "c.example"), "c.example: there is no such domain"),
    ],
)
def test_somebody_who_is_not_here_is_told(data: Path, words: tuple[str, ...], said: str) -> None:
    assert run(data, *words) == (os.EX_NOUSER, "", f"postoffice: {said}\n")
