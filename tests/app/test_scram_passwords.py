"""`account add` and `account password` beside a running server: which passwords open by SCRAM."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl.server import Claim
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office
from postoffice.testing.raw import Pop3Raw

ANNA, CARL = "anna@a.example", "carl@a.example"


@pytest.fixture
def office(folder: Path) -> Iterator[OfficeProcess]:
    make_office(folder / "office", {ANNA: "secret"})
    with OfficeProcess(folder / "office", CLEAR_TEXT, ["--workers", "1"]) as office:
        yield office


def account(office: OfficeProcess, *words: str, given: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "postoffice", "account", *words, "--data", str(office.data)],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def is_announced(office: OfficeProcess) -> bool:
    with Pop3Raw(office.ports["pop3"]) as client:
        client.ask("CAPA")
        return b"SCRAM-SHA-256" in client.block()


def opens(office: OfficeProcess, address: str, password: str) -> bool:
    """Whether a password opens by SCRAM."""
    exchange = sasl.begin(b"SCRAM-SHA-256", Claim("", address, password))
    with Pop3Raw(office.ports["pop3"]) as client:
        client.say(b"AUTH SCRAM-SHA-256 " + (exchange.initial or b"") + b"\r\n")
        while (line := client.line()).startswith(b"+ "):
            client.say(exchange.step(line[2:]) + b"\r\n")
        return line.startswith(b"+OK") and exchange.is_satisfied


def test_a_password_of_ones_own_opens_by_scram_only_if_that_is_asked_for(office: OfficeProcess) -> None:
    assert not opens(office, ANNA, "secret")
    assert account(office, "password", ANNA, "--password-stdin", "--scram", given="second\n")[0] == 0
    assert opens(office, ANNA, "second")
    assert is_announced(office)
    assert account(office, "add", CARL, "--password-stdin", given="first\n")[:2] == (0, f"{CARL} added\n")
    assert not is_announced(office)
    assert account(office, "password", ANNA, "--password-stdin", given="third\n")[0] == 0
    assert not opens(office, ANNA, "second")
    assert not opens(office, ANNA, "third")


def test_a_generated_password_is_printed_once_and_opens_by_scram(office: OfficeProcess) -> None:
    printed = [account(office, *words, "--generate")[1] for words in (("add", CARL), ("password", ANNA))]
    assert all(re.fullmatch(r"([a-z2-9]{4}-){4}[a-z2-9]{4}\n", password) for password in printed)
    assert printed[0] != printed[1]
    assert opens(office, CARL, printed[0].strip())
    assert opens(office, ANNA, printed[1].strip())
    assert is_announced(office)


def test_a_password_that_scram_cannot_carry_changes_nothing(office: OfficeProcess) -> None:
    status, _, errors = account(office, "add", CARL, "--password-stdin", "--scram", given="a\x07b\n")
    assert (status, "this password cannot be used with SCRAM" in errors) == (65, True)
    assert account(office, "list")[1] == f"{ANNA}\n"
    status, _, errors = account(office, "password", ANNA, "--password-stdin", "--generate", given="x\n")
    assert (status, "choose one" in errors) == (64, True)
