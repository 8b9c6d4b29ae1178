"""`ls`, `read`, `save` and `thread` at home: what is in a mailbox file, with no server and on a disk that is full."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.test_home import Run, fill, run

from postoffice.cli.reading import folded
from postoffice.store.embedded import MailboxFile

FIRST = b"\r\n".join(
    [
        b"From: An <an@a.example>",
        b"Date: Sun, 22 Nov 2026 10:00:00 +0000",
        b"Message-ID: <1@a>",
        b"Subject: Lunch",
        b"",
        b"When?",
        b"",
    ]
)
ANSWER = (
    b"From: Bo <bo@b.example>\r\nDate: Sun, 22 Nov 2026 11:00:00 +0000\r\nMessage-ID: <2@b>\r\nReferences: <1@a>\r\n"
    b"Subject: Re: Lunch\r\n\r\nAt noon.\r\n"
)
PROGRAM = base64.encodebytes(b"MZ\x90\x00").decode()
PHISHING = (
    'From: "service@bank.example" <x@evil.test>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nSubject: Your account\r\n'
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    '--x\r\nContent-Type: text/html\r\n\r\n<p>Log in at <a href="https://evil.test/?a=1&amp;b=2">www.bank.example</a>.</p>'
    "\r\n--x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    f'Content-Disposition: attachment; filename="invoice.pdf.exe"\r\n\r\n{PROGRAM}\r\n--x--\r\n'
).encode()


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "home.mailbox"
    await fill(MailboxFile.open(path, create=True), [FIRST, PHISHING, ANSWER])
    mailbox = MailboxFile.open(path)
    await mailbox.move([(await mailbox.snapshot()).keys[2]], "Sent")
    await mailbox.close()
    return path


async def good(*words: str | Path) -> Run:
    done = await run(*words)
    assert (done.status, done.errors) == (0, "")
    return done


async def test_lists(file: Path) -> None:
    lines = (await good("ls", file)).text.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    newest = (await good("ls", file, "--newest", "1")).text.splitlines()
    assert newest == lines[1:]
    assert [line.split() for line in (await good("ls", file, "--folders")).text.splitlines()] == [
        ["2", str(len(FIRST) + len(PHISHING)), "INBOX"],
        ["1", str(len(ANSWER)), "Sent"],
    ]
    [told] = map(json.loads, (await good("ls", file, "--folder", "Sent", "--json")).text.splitlines())
    assert told | {"date": ""} == {
        "number": 1,
        "folder": "Sent",
        "date": "",
        "from": "Bo <bo@b.example>",
        "subject": "Re: Lunch",
        "octets": len(ANSWER),
        "flags": [],
    }


async def test_the_newest_come_first(file: Path) -> None:
    lines = (await good("ls", file, "--newest", "9")).text.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]


async def test_a_conversation_goes_over_folders(file: Path) -> None:
    lines = (await good("thread", file, "1")).text.splitlines()
    assert ["Lunch" in line for line in lines] == [True, True]
    assert "    1  " in lines[0]
    assert "  [Sent] Re: Lunch" in lines[1]
    told = [
        json.loads(line) for line in (await good("thread", file, "1", "--folder", "Sent", "--json")).text.splitlines()
    ]
    assert [(one["folder"], one["number"], one["depth"]) for one in told] == [("INBOX", 1, 0), ("Sent", 1, 1)]


async def test_conversations_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    await fill(MailboxFile.open(path, create=True), [FIRST, PHISHING, ANSWER])
    told = [json.loads(line) for line in (await good("ls", path, "--threads", "--json")).text.splitlines()]
    assert [(one["number"], one["depth"]) for one in told] == [(1, 0), (3, 1), (2, 0)]


async def test_links_are_whole_and_what_is_wrong_is_flagged(file: Path) -> None:
    assert (await good("read", file, "2")).text.splitlines() == [
        'From: "service@bank.example" <x@evil.test>',
        "Date: Sun, 22 Nov 2026 12:00:00 +0000",
        "Subject: Your account",
        "     (!) The sender is called service@bank.example, and writes from x@evil.test.",
        "",
        "Log in at www.bank.example [1].",
        "",
        "Links:",
        "[1] https://evil.test/?a=1&b=2",
        "     (!) The text names www.bank.example, and it leads to evil.test.",
        "",
        "Attached:",
        "  1  invoice.pdf.exe, application/pdf, 4 octets",
        "     (!) It is a program (.exe) that is called like a document (.pdf).",
    ]


async def test_other_forms_of_a_letter(file: Path) -> None:
    assert (await good("read", file, "1", "--folder", "Sent")).text.endswith("\nAt noon.\n")
    assert "Content-Type: multipart/mixed; boundary=x" in (await good("read", file, "2", "--headers")).text
    assert '<a href="https://evil.test/' in (await good("read", file, "2", "--html-source")).text
    none = await run("read", file, "1", "--html-source")
    assert (none.status, none.errors) == (66, "postoffice: the letter has no HTML\n")


async def test_what_is_saved(file: Path, tmp_path: Path) -> None:
    saved = await run("save", file, "2", "--to", tmp_path)
    assert (saved.status, saved.text) == (0, f"{tmp_path}/invoice.pdf.exe  4 octets\n")
    assert "It is a program" in saved.errors
    assert (tmp_path / "invoice.pdf.exe").read_bytes() == b"MZ\x90\x00"
    assert (tmp_path / "invoice.pdf.exe").stat().st_mode & 0o777 == 0o600
    whole = await good("save", file, "1", "--eml", "--to", tmp_path, "--json")
    assert json.loads(whole.text) == {
        "number": 0,
        "path": f"{tmp_path}/Lunch.eml",
        "octets": len(FIRST),
        "warnings": [],
    }
    assert (tmp_path / "Lunch.eml").read_bytes() == FIRST


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("ls", "home.mailbox", "--folder", "None"), 66, "there is no folder None; there are: INBOX, Sent"),
        (("read", "home.mailbox", "9"), 66, "there is no letter 9; there are 2"),
        (("read", "home.mailbox", "9", "--folder", "Sent"), 66, "there is no letter 9; there is 1"),
        (("thread", "home.mailbox", "9"), 66, "there is no letter 9"),
        (("save", "home.mailbox", "2", "7"), 66, "there is no attachment 7; there is 1"),
        (("save", "home.mailbox", "1"), 66, "nothing is attached to letter 1; --eml saves the letter itself"),
        (("save", "home.mailbox", "1", "--eml", "--to", "no/where"), 73, "no/where: there is no such folder"),
        (("save", "none", "1"), 66, "none: there is no such file"),
        (("ls", "old.mbox"), 65, "old.mbox: is an mbox, not a mailbox file; `postoffice import mbox` brings its"),
        (("read", "one.eml", "1"), 65, "one.eml: is text, not a mailbox file; `postoffice import eml` brings a letter"),
        (
            ("thread", "one.zip", "1"),
            65,
            "one.zip: is a zip, not a mailbox file; `postoffice import zip` brings the letters",
        ),
        (("ls", "noise"), 65, "noise is damaged: file is not a database"),
    ],
)
async def test_what_cannot_be(
    file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, sentence: str
) -> None:
    monkeypatch.chdir(file.parent)
    Path("old.mbox").write_bytes(b"From a@a.example Sun Nov 22 10:00:00 2026\n" + FIRST)
    Path("one.eml").write_bytes(FIRST)
    Path("one.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    Path("noise").write_bytes(bytes(range(256)) * 20)
    failed = await run(*words)
    assert (failed.status, failed.text) == (status, "")
    assert failed.errors == f"postoffice: {sentence}\n" or sentence in failed.errors
    assert failed.errors.count("\n") == 1


STEERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2067\x08\x7f"
STEERING = (
    f"From: {STEERS} <{STEERS}@x.example>\r\nTo: {STEERS}\r\nSubject: {STEERS} =?utf-8?q?=1b[2J=07?=\r\n"
    f"Date: {STEERS}\r\nMessage-ID: <{STEERS}>\r\nX: {STEERS}\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    f"--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>needle {STEERS} &#27;[2J</p>"
    f'<a href="http://x.example/{STEERS}&#27;">{STEERS}&#155;</a><img alt="&#27;[2J">\r\n'
    f'--x\r\nContent-Type: application/pdf; name="{STEERS}.exe"\r\nContent-Disposition: attachment\r\n\r\nMZ\r\n'
    f"--x\r\nContent-Type: message/rfc822\r\n\r\nFrom: {STEERS}\r\nSubject: {STEERS}\r\n\r\n{STEERS}\r\n--x--\r\n"
).encode()
MEBIBYTE = 1024 * 1024
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    "words",
    [
        "ls",
        "ls --threads",
        "ls --json",
        "read 1",
        "read 1 --headers",
        "read 1 --html-source",
        "thread 1",
        "search needle",
        "save 1",
        "save 1 --eml --json",
        "ls --folder \x1b[2Jnone",
    ],
)
async def test_nothing_of_a_letter_steers_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    await fill(MailboxFile.open(Path("home.mailbox"), create=True), [STEERING])
    command, *others = words.split()
    done = await run(command, "home.mailbox", *others)
    assert "owned" in done.text or "none" in done.errors or "save" in command
    assert not UNSAFE.search(done.text + done.errors)
    assert not any(UNSAFE.search(path.name) for path in tmp_path.iterdir())


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from postoffice.cli.main import main
main()
"""
"""The program where no file can grow, as on a disk that is full."""


@pytest.mark.parametrize("words", [("ls",), ("read", "1"), ("thread", "1"), ("ls", "--folders")])
async def test_a_full_disk_keeps_nobody_from_reading(file: Path, words: tuple[str, ...]) -> None:
    command, *others = words
    before = file.read_bytes()

    def read() -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", FULL, command, str(file), *others]
        return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)

    done = await asyncio.to_thread(read)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (await good(command, file, *others)).text
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("> one two three", ["> one two", "> three"]),
        ("  one two three", ["  one two", "  three"]),
        ("* one two three", ["* one two", "  three"]),
        ("https://a.example/long", ["https://a.example/long"]),
        ("một hai ba", ["một hai", "ba"]),
        ("東京 東京 東京", ["東京 東京", "東京"]),
        ("> > > one two", ["> > > one", "two"]),
        ("short", ["short"]),
        ("", [""]),
    ],
)
def test_long_lines_are_broken_at_blanks(line: str, lines: list[str]) -> None:
    assert folded(line, 9).split("\n") == lines


@pytest.mark.parametrize("line", ["> " * 500_000 + "a " * 500_000, "a " * MEBIBYTE, "東京 " * 300_000, "x" * MEBIBYTE])
def test_a_line_of_a_million_characters_is_broken_in_time_that_grows_with_it(line: str) -> None:
    began = time.process_time()
    assert len(folded(line, 80)) <= len(line) * 2
    assert time.process_time() - began < 5
