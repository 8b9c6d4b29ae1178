"""`postoffice device`: made, listed and removed by name, the password printed once."""

from __future__ import annotations

import poplib
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.testing.process import OfficeProcess

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


def listed(data: Path) -> list[list[str]]:
    """The rows of `device list`, in words."""
    status, said, _ = postoffice(data, "device", "list", BOB)
    assert status == 0
    return [line.split("  ") for line in (" ".join(line.split("   ")) for line in said.splitlines()[1:])]


def test_devices_are_made_listed_and_removed(data: Path) -> None:
    printed = [postoffice(data, "device", "add", BOB, name)[1].strip() for name in ("Điện thoại", "laptop")]
    assert printed[0] != printed[1]
    assert postoffice(data, "device", "list", BOB)[1] == (
        "device      kept as                    last came  waiting  lapses\n"
        "password    own                        never      0        -\n"
        "laptop      generated, good for SCRAM  never      -        -\n"
        "Điện thoại  generated, good for SCRAM  never      -        -\n"
    )
    assert postoffice(data, "device", "remove", BOB, "laptop")[:2] == (
        0,
        "the device laptop of bob@b.example is removed; letters that waited for it alone and went: 0\n",
    )
    assert "laptop" not in postoffice(data, "device", "list", BOB)[1]


def test_what_is_wrong_is_said(data: Path) -> None:
    assert postoffice(data, "device", "add", BOB, "phone")[0] == 0
    wrong = [
        (("add", BOB, "token"), 64, "no device can be named token"),
        (("add", BOB, "password"), 64, "no device can be named password"),
        (("add", BOB, ""), 64, "1 to 64 characters"),
        (("add", BOB, "a\nb"), 64, "1 to 64 characters"),
        (("add", BOB, "phone"), 73, "has a device named phone already"),
        (("add", "eve@b.example", "phone"), 67, "there is no such account"),
        (("list", "eve@b.example"), 67, "there is no such account"),
        (("remove", BOB, "tablet"), 67, "has no device named tablet"),
        (("remove", BOB, "password"), 64, "is the account itself"),
    ]
    for words, status, said in wrong:
        found = postoffice(data, "device", *words)
        assert (found[0], said in found[2]) == (status, True), (words, found)
        assert found[1] == ""
    assert [row[0] for row in listed(data)] == ["password", "phone"]


def test_a_password_in_clear_is_kept_only_where_that_is_asked_for(data: Path) -> None:
    assert postoffice(data, "account", "password", BOB, "--password-stdin", "--clear", given="tanstaaf\n")[0] == 0
    assert "password  kept in clear, good for SCRAM" in postoffice(data, "device", "list", BOB)[1]
    assert "readable for whoever reads the data folder" in " ".join(
        postoffice(data, "account", "password", "--help")[1].split()
    )


def test_a_device_in_a_running_office(data: Path) -> None:
    """It logs in, is listed with its visit, and removed; the session that it has comes to its end."""
    secret = postoffice(data, "device", "add", BOB, "phone")[1].strip()
    with OfficeProcess(data) as server:
        session = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=20)
        session.user(BOB)
        session.pass_(secret)
        status, said, _ = postoffice(data, "device", "remove", BOB, "phone")
        assert (status, "it has a session still" in said) == (0, True), said
        status, _, said = postoffice(data, "device", "add", BOB, "phone")
        assert (status, "has a session still" in said) == (75, True), "a new one would see with the old one's eyes"
        session.quit()
        again = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=20)
        again.user(BOB)
        with pytest.raises(poplib.error_proto, match="AUTH"):
            again.pass_(secret)
        again.close()
        status, said, _ = postoffice(data, "device", "remove", BOB, "phone")
        assert (status, "is removed" in said) == (0, True), said
        assert postoffice(data, "device", "remove", BOB, "phone")[0] == 67
