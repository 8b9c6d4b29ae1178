"""`search` as a person and a program meet it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.cli.search import TOLD_LETTERS
from postoffice.home.search.face import LIMIT
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter
from postoffice.testing.command import COMMAND, as_somebody
from postoffice.testing.files import put_into
from postoffice.testing.process import open_folder

AS_SOMEBODY = as_somebody(
    *("postoffice.cli.search", "postoffice.home.search.face", "postoffice.home.search.extraction", "email._parseaddr"),
    *("postoffice.store.embedded.mailbox", "uvloop"),
)

LETTERS = (
    "From: An <an@a.example>\r\nDate: Thu, 15 Jan 2026 12:00:00 +0000\r\nSubject: công nợ\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\nBáo cáo công nợ tháng 9.\r\n",
    "From: \x1b]0;owned\x07 <x@x>\r\nSubject: a\x1b[2Jb\r\n\r\nan \x1b[31mold report\r\n",
    "Subject: another report\r\n\r\n",
)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a command."""

    status: int
    text: str
    errors: str


def run(*words: str | Path, program: Sequence[str] = COMMAND) -> Run:
    done = subprocess.run([*program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    return Run(done.returncode, done.stdout, done.stderr)


async def put(path: Path, letters: Sequence[str]) -> None:
    await put_into(path, *(letter.encode() for letter in letters), date=1_000_000_000.0)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "home.mailbox"
    await put(path, LETTERS)
    return path


async def test_the_first_search_makes_the_index_and_later_ones_find_what_came_since(file: Path) -> None:
    found = run("search", file, 'from:an before:2026-02 "cong no"')
    assert (found.status, found.errors) == (0, "")
    row, line = found.text.splitlines()
    assert row.startswith("    1  2026-01-1")
    assert row.endswith("An <an@a.example>         công nợ")
    assert line == "       Báo cáo công nợ tháng 9."
    await put(file, ["Subject: new\r\n\r\nreport\r\n"])
    assert [line.split()[0] for line in run("search", file, "subject:new").text.splitlines()] == ["4", "report"]


def test_words_may_be_several_arguments_and_some_of_them_not_wanted(file: Path) -> None:
    assert run("search", file, "report", "-31mold").text.split()[0] == "3"
    assert run("search", file, "-31mold report", "--limit", "1").text.split()[0] == "3"


def test_programs_get_a_line_for_each_letter(file: Path) -> None:
    lines = run("search", file, "--json", "-subject:another").text.splitlines()
    first, second = map(json.loads, lines)
    assert (first["number"], second["number"]) == (1, 2)
    assert first["octets"] == len(LETTERS[0].encode())
    assert first["from"] == "An <an@a.example>"
    assert first["date"].startswith("2026-01-1")
    [found] = map(json.loads, run("search", file, "--json", "thang").text.splitlines())
    [[begin, end]] = found["marked"]
    assert found["snippet"][begin:end] == "tháng"


def test_nothing_that_is_shown_steers_a_terminal(file: Path) -> None:
    found = run("search", file, "report")
    assert "owned" in found.text
    assert not set("\x1b\x07") & set(found.text)


def test_what_was_looked_for_stands_out_on_a_terminal(file: Path) -> None:
    terminal, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "search", str(file), "thang"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while some := os.read(terminal, 4096):
            written += some
    except OSError:  # the terminal has nobody on its other side any more
        pass
    assert process.wait(60) == 0
    os.close(terminal)
    assert "công nợ \x1b[1mtháng\x1b[0m 9.".encode() in written


async def test_more_than_is_shown_is_told(tmp_path: Path) -> None:
    path = tmp_path / "many.mailbox"
    await put(path, ["Subject: many\r\n\r\n"] * (LIMIT + 2))
    found = run("search", path, "many")
    assert len(found.text.splitlines()) == LIMIT
    assert found.errors == f"{LIMIT} of {LIMIT + 2} letters; --limit shows more\n"
    assert len(run("search", path, "many", "--limit", "50").text.splitlines()) == LIMIT + 2


async def test_that_the_index_is_made_is_told_where_it_takes_long(tmp_path: Path) -> None:
    path = tmp_path / "many.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    kept = []
    for number in range(TOLD_LETTERS):
        stage = await mailbox.stage()
        await stage.write(b"Subject: word%d\r\n\r\n" % number)
        kept.append(Letter(await stage.finish(), 1_000_000_000.0))
    await mailbox.append(kept)
    await mailbox.close()
    first = run("search", path, "word1234")
    assert (first.text.split()[0], first.errors) == ("1235", f"making the index of {TOLD_LETTERS} letters\n")
    assert run("search", path, "word1234") == Run(0, first.text, "")


def test_nothing_found_is_no_error(file: Path) -> None:
    assert run("search", file, "nowhere") == Run(0, "", "nothing was found\n")


def test_the_index_can_be_made_anew(file: Path) -> None:
    assert run("search", file, "--rebuild") == Run(0, "", "")
    assert run("search", file, "--rebuild", "thang").text.split()[0] == "1"


WRONG = ((), ("colour:red",), ('"',), ("before:soon",), ("--jsn", "x"), ("--limit", "0", "x"))


@pytest.mark.parametrize("question", WRONG)
def test_a_question_that_means_nothing_is_told_before_anything_is_written(
    file: Path, question: tuple[str, ...]
) -> None:
    before = file.read_bytes()
    found = run("search", file, *question)
    assert (found.status, found.text) == (64, "")
    assert file.read_bytes() == before


def test_a_file_that_is_none(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"no database" * 100)
    for path, status in ((tmp_path / "none", 66), (tmp_path, 66), (foreign, 65)):
        found = run("search", path, "x")
        assert (found.status, found.text, found.errors.count("\n")) == (status, "", 1)
    assert not (tmp_path / "none").exists()


async def test_where_nothing_can_be_written_an_index_that_is_there_is_searched(file: Path) -> None:
    somebody = (sys.executable, "-W", "error", "-c", AS_SOMEBODY)
    with open_folder() as folder:
        path = folder / "home.mailbox"
        path.write_bytes(file.read_bytes())
        path.chmod(0o444)
        folder.chmod(0o555)
        found = run("search", path, "thang", program=somebody)
        assert (found.status, found.text) == (77, "")
        assert found.errors == f"postoffice: {path}: its index cannot be written: you may not\n"
        folder.chmod(0o755)
        path.chmod(0o644)
        assert run("search", path, "thang").status == 0
        path.chmod(0o444)
        folder.chmod(0o555)
        out = run("search", path, "thang", program=somebody)
        assert (out.errors, out.text.split()[:1]) == ("", ["1"])
        folder.chmod(0o755)
