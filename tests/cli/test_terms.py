"""What is set for accounts and domains is kept, shown with whose it is, and refused where it is wrong."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.accounts.terms import RULES
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import REMOVED, Letter
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


def delete_three(data: Path) -> None:
    """Bob gets three letters and deletes them."""

    async def do() -> None:
        store = EmbeddedStore.open(data)
        bob = await store.directory.find(BOB)
        assert bob is not None
        mailbox = await store.office.mailbox(bob.account_id)
        for number in range(1, 4):
            stage = await mailbox.stage()
            await stage.write(f"From: al@x.example\r\nSubject: letter {number}\r\n\r\nhello\r\n".encode())
            keys = await mailbox.append([Letter(await stage.finish(), 0.0)])
            await mailbox.remove(keys, into=REMOVED)
        await store.close()

    asyncio.run(do())
    if os.geteuid() == 0:
        owner = data.stat()
        for path in data.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)


def test_deleted_letters_are_listed_and_come_back(data: Path) -> None:
    assert run(data, "recover", BOB) == (0, f"nothing of {BOB} can be recovered\n", "")
    assert run(data, "account", "set", BOB, "recovery=7")[0] == 0
    delete_three(data)
    listed = run(data, "recover", BOB)[1].splitlines()
    assert [(line.split()[0], line.split("  ")[-1]) for line in listed] == [
        (str(number), f"letter {number}") for number in range(1, 4)
    ]
    assert shown(data, "account", "show", BOB)["recoverable"] == "3"
    assert run(data, "recover", BOB, "2") == (0, f"recovered 1 into the maildrop of {BOB}\n", "")
    wrong = run(data, "recover", BOB, "2", "3", "9")
    assert wrong == (os.EX_DATAERR, "", f"postoffice: {BOB}: nothing that can be recovered has the number 2, 9\n")
    assert [line.split()[0] for line in run(data, "recover", BOB)[1].splitlines()] == ["1", "3"], "numbers stay"
    assert run(data, "recover", BOB, "--all")[0] == 0
    facts = shown(data, "account", "show", BOB)
    assert (facts["letters"], facts["recoverable"]) == ("3", "0")


def test_without_recovery_nothing_is_left_to_be_recovered(data: Path) -> None:
    assert run(data, "domain", "set", "a.example", "recovery=7")[0] == 0
    delete_three(data)
    said = run(data, "domain", "set", "a.example", "recovery=default")[1]
    assert said == "a.example is kept as said\nletters that could be recovered until now and are gone: 3\n"
    assert shown(data, "account", "show", BOB)["recoverable"] == "0"
