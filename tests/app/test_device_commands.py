"""`account password --name` and `account passwords`: made, listed and removed by name, printed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BOB = "bob@b.example"


@pytest.fixture
def data(folder: Path) -> Path:
    data = folder / "office"
    assert postoffice(data, "init", BOB, "--password-stdin", given="my own\n")[0] == 0
    return data


def postoffice(data: Path, *words: str, given: str = "") -> tuple[int, str, str]:
    call = [sys.executable, "-m", "postoffice", *words, "--data", str(data)]
    done = subprocess.run(call, input=given, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_named_passwords_are_made_listed_and_removed(data: Path) -> None:
    printed = [
        postoffice(data, "account", "password", BOB, "--generate", "--name", name)[1].strip()
        for name in ("Điện thoại", "laptop")
    ]
    assert printed[0] != printed[1]
    assert postoffice(data, "account", "passwords", BOB)[1] == (
        "password    own\nlaptop      generated, good for SCRAM\nĐiện thoại  generated, good for SCRAM\n"
    )
    assert postoffice(data, "account", "passwords", BOB, "--remove", "laptop")[:2] == (
        0,
        "the password laptop of bob@b.example is removed\n",
    )
    assert "laptop" not in postoffice(data, "account", "passwords", BOB)[1]


def test_what_is_wrong_with_a_named_password_is_said(data: Path) -> None:
    wrong = [
        (("password", BOB, "--name", "phone", "--password-stdin"), 64, "use --generate with --name"),
        (("password", BOB, "--generate", "--name", "token"), 64, "no password can be named token"),
        (("password", BOB, "--generate", "--name", ""), 64, "1 to 64 characters"),
        (("password", BOB, "--generate", "--name", "a\nb"), 64, "1 to 64 characters"),
        (("password", "eve@b.example", "--generate", "--name", "phone"), 67, "there is no such account"),
        (("passwords", "eve@b.example"), 67, "there is no such account"),
        (("passwords", BOB, "--remove", "phone"), 67, "has no password named phone"),
    ]
    for words, status, said in wrong:
        found = postoffice(data, "account", *words, given="secret\n")
        assert (found[0], said in found[2]) == (status, True), (words, found)
        assert found[1] == ""
    assert postoffice(data, "account", "passwords", BOB)[1] == "password  own\n"


def test_a_password_in_clear_is_kept_only_where_that_is_asked_for(data: Path) -> None:
    assert postoffice(data, "account", "password", BOB, "--password-stdin", "--clear", given="tanstaaf\n")[0] == 0
    assert postoffice(data, "account", "passwords", BOB)[1] == "password  kept in clear, good for SCRAM\n"
    assert "readable for whoever reads the data folder" in " ".join(
        postoffice(data, "account", "password", "--help")[1].split()
    )
