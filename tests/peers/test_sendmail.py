"""Programs that call a sendmail: what they write arrives as they meant it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.programs import PASSWORD, PostOffice, Program

pytestmark = pytest.mark.peer

BOB = "bob@a.example"


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[PostOffice, Path]]:
    """An office, and a sendmail that hands letters to it."""
    with open_folder() as folder:
        make_office(folder / "office", {BOB: PASSWORD})
        program = folder / "sendmail"
        words = f'{sys.executable} -W error -m postoffice sendmail --socket {folder / "socket"} "$@"'
        program.write_text(f"#!/bin/sh\nexec {words}\n")
        program.chmod(0o755)
        with OfficeProcess(
            folder / "office", f'{CLEAR_TEXT}[office.sockets]\nsendmail = "{folder / "socket"}"\n'
        ) as office:
            yield PostOffice(office, folder), program


def need(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def newest(place: tuple[PostOffice, Path]) -> bytes:
    return place[0].letters(BOB)[-1]


@pytest.mark.parametrize("name", ["s-nail", "bsd-mailx"])
def test_mail(place: tuple[PostOffice, Path], program: Program, name: str) -> None:
    need(name)
    (program.home / ".mailrc").write_text(f"set sendmail={place[1]}\nset sendwait\n")
    own = ("-S", f"mta={place[1]}", "-S", "sendwait") if name == "s-nail" else ()
    program.run(name, *own, "-s", "from mail", BOB, given=b"one\n.two\n")
    letter = newest(place)
    assert b"\r\nSubject: from mail\r\n" in letter
    assert letter.endswith(b"\r\n\r\none\r\n.two\r\n")
    assert all(letter.lower().count(b"\r\n" + field) == 1 for field in (b"from: ", b"date: ", b"message-id: <"))


def test_neomutt(place: tuple[PostOffice, Path], program: Program) -> None:
    need("neomutt")
    rc = program.home / "muttrc"
    words = (
        f'sendmail="{place[1]} -oem -oi"',
        f'from="{BOB}"',
        "use_envelope_from",
        'record=""',
        'send_charset="utf-8"',
    )
    rc.write_text("".join(f"set {word}\n" for word in words))
    program.run("neomutt", "-F", rc, "-s", "chữ Việt", BOB, given="chào\n.\n".encode())
    letter = newest(place)
    assert letter.startswith(b"Return-Path: <bob@a.example>\r\n")
    assert b"\r\nSubject: =?utf-8?" in letter
    assert letter.endswith("\r\n\r\nchào\r\n.\r\n".encode())


def test_git_send_email(place: tuple[PostOffice, Path], program: Program) -> None:
    need("git")
    commands = Path(program.run("git", "--exec-path").stdout.decode().strip())
    if not (commands / "git-send-email").exists():
        pytest.skip("git-email is not installed")
    who = ("-c", "user.name=Bob", "-c", f"user.email={BOB}")
    program.run("git", "init", "-q", ".")
    (program.home / "file").write_text("one\n")
    program.run("git", "add", "file")
    program.run("git", *who, "commit", "-q", "-m", "A change")
    program.run("git", *who, "format-patch", "--root", "-o", "out")
    words = ("--to", BOB, "--confirm=never", f"--smtp-server={place[1]}", "out/0001-A-change.patch")
    program.run("git", *who, "send-email", *words)
    letter = newest(place)
    assert b"\r\nSubject: [PATCH] A change\r\n" in letter
    assert b"\r\n+one\r\n" in letter
    (program.home / "patch").write_bytes(letter)
    program.run("git", "rm", "-q", "file")
    program.run("git", *who, "commit", "-q", "-m", "Away")
    program.run("git", *who, "am", "-q", "patch")
    assert (program.home / "file").read_text() == "one\n", "it can be applied where it arrived"


def test_pythons_and_perls_way_by_a_pipe(place: tuple[PostOffice, Path], program: Program) -> None:
    given = b"To: bob@a.example\nSubject: piped\n\nhello\n"
    program.run("sh", "-c", f'cat | "{place[1]}" -oi -t', given=given)
    assert newest(place).endswith(b"\r\n\r\nhello\r\n")
