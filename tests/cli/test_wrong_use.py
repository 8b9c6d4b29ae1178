"""What a person gets wrong is told in one sentence with its status, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.database.sqlite import PAGE_OCTETS
from postoffice.testing.command import PROGRAM, as_somebody
from postoffice.testing.files import put_into
from postoffice.testing.process import make_office, open_folder

BOB = "bob@a.example"
LETTER = b"From: x\r\nSubject: hello\r\n\r\nx\r\n"
AS_SOMEBODY = as_somebody(
    *("postoffice.cli.reading", "postoffice.home.letters", "postoffice.message.mime.view", "postoffice.cli.people"),
    *("postoffice.store.embedded.store", "postoffice.store.embedded.mailbox"),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {BOB: "secret"})
    return folder / "office"


@pytest.fixture
def file(folder: Path) -> Path:
    """A mailbox file with one letter, alone in a folder."""
    path = folder / "home" / "mail.mailbox"
    path.parent.mkdir()
    asyncio.run(put_into(path, LETTER))
    return path


def run(*words: str | Path, given: bytes = b"secret\n", program: str = PROGRAM) -> tuple[int, str, str]:
    """Status, standard output, standard error; no terminal anywhere."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, words)],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"\n", "the password is empty"),
        (b"\xff\xfe\n", "the password is not UTF-8 without NUL, so no login could carry it"),
        (b"a\0b\n", "the password is not UTF-8 without NUL, so no login could carry it"),
    ],
)
def test_a_password_that_no_login_could_carry_is_refused(data: Path, given: bytes, said: str) -> None:
    words = ("account", "add", "carl@a.example", "--data", data, "--password-stdin")
    assert run(*words, given=given) == (os.EX_USAGE, "", f"postoffice: {said}\n")
    assert run("account", "list", "--data", data)[1] == f"{BOB}\n"


def test_a_domain_that_cannot_be_is_wrong_use(data: Path) -> None:
    status, _, said = run("domain", "add", "--data", data, "foo bar")
    assert (status, said) == (os.EX_USAGE, "postoffice: foo bar: This domain name cannot exist\n")


def test_nobody_is_removed_without_being_asked_for(data: Path) -> None:
    status, _, said = run("account", "remove", "--data", data, BOB)
    assert (status, said) == (
        os.EX_USAGE,
        f"postoffice: there is no terminal to ask whether {BOB} may go; use --yes\n",
    )
    assert run("account", "list", "--data", data)[1] == f"{BOB}\n"


@pytest.mark.parametrize(("answer", "left"), [("n", f"{BOB}\n"), ("y", "")])
def test_who_is_asked_at_a_terminal_decides(data: Path, answer: str, left: str) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", 0) as keyboard, os.fdopen(theirs, "r+b", 0) as terminal:
        keyboard.write(f"{answer}\n".encode())
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, "account", "remove", "--data", data.name, BOB],
            cwd=data.parent,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            timeout=60,
            check=False,
        )
        said = os.read(ours, 4096).decode()
    assert "  letters     0 letters, 0 octets" in said
    assert "Nothing of it can be had back, for its `recovery` is 0." in said
    assert f"Remove {BOB}? [y/N]: " in said
    assert run("account", "list", "--data", data)[1] == left


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the folder to somebody else")
def test_root_makes_no_office_where_its_owner_cannot_go(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    status, out, said = run("init", "--data", private / "office", "--password-stdin", BOB)
    assert status == os.EX_CANTCREAT
    assert not out
    assert f"{private} lets nobody pass" in said
    assert not list(private.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user keeps the folder")
def test_root_is_told_whose_the_office_is_now(folder: Path) -> None:
    status, out, _ = run("init", "--data", folder / "office", "--password-stdin", BOB)
    assert status == os.EX_OK
    assert f"belongs to the user {(folder / 'office').owner()};" in out


@pytest.mark.parametrize("words", [("account", "list"), ("queue",)])
def test_who_may_not_look_into_an_office_is_told_so(folder: Path, words: tuple[str, ...]) -> None:
    office = folder / "office"
    office.mkdir()
    office.chmod(0)
    status, _, said = run(*words, "--data", office, program=AS_SOMEBODY)
    office.chmod(0o700)
    assert (status, said) == (os.EX_NOPERM, f"postoffice: {office}: you may not look into it: Permission denied\n")


def test_who_may_not_read_a_mailbox_file_is_told_so(folder: Path) -> None:
    file = folder / "mail.mailbox"
    file.touch(mode=0)
    status, _, said = run("ls", file, program=AS_SOMEBODY)
    assert (status, said) == (os.EX_NOPERM, f"postoffice: {file}: cannot be read: you may not\n")


def test_a_port_that_there_is_not_is_wrong_use(data: Path) -> None:
    status, _, said = run("serve", "--data", data, "--port-offset", "70000")
    assert status == os.EX_USAGE
    assert "'--port-offset': 70000 is not in the range" in said


@pytest.mark.parametrize("gone", ["certificate.pem", "key.pem"])
def test_a_certificate_that_is_not_there_is_said_once_and_no_door_opens(data: Path, gone: str) -> None:
    (data / "tls" / gone).unlink()
    doors = [
        word
        for door in ("smtp", "pop3", "pop3s", "submission", "submissions", "metrics")
        for word in ("--port", f"{door}=0")
    ]
    assert run("serve", "--data", data, *doors) == (
        os.EX_CONFIG,
        "",
        f"postoffice: tls/{gone}: cannot be read: No such file or directory\n",
    )


def test_a_mailbox_file_whose_insides_are_torn_is_damaged_and_left_as_it_is(file: Path) -> None:
    torn = file.read_bytes()[:PAGE_OCTETS].ljust(file.stat().st_size, b"\xff")
    file.write_bytes(torn)
    status, out, said = run("ls", file)
    assert (status, out) == (os.EX_DATAERR, "")
    assert said.startswith(f"postoffice: {file} is damaged: ")
    assert said.count("\n") == 1
    assert file.read_bytes() == torn


def test_a_mailbox_file_is_read_where_nobody_may_write(file: Path) -> None:
    file.chmod(0o444)
    file.parent.chmod(0o555)
    status, out, said = run("ls", file, program=AS_SOMEBODY)
    assert (status, said) == (os.EX_OK, "")
    assert out.split() == ["1", *out.split()[1:3], "x", "hello", str(len(LETTER))]
    assert run("read", "--raw", file, "1", program=AS_SOMEBODY) == (os.EX_OK, LETTER.decode(), "")
    assert list(file.parent.iterdir()) == [file]
