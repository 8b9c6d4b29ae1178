"""`postoffice repair` says what it saved and names what it could not; whatever stands in the way is one sentence."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.store.embedded import MailboxFile
from postoffice.testing.check_store.walk import put, seen, text

LETTERS = 12


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mail.mailbox"

    async def fill() -> None:
        mailbox = MailboxFile.open(path, create=True)
        await put(mailbox, *(text(number, lines=200) for number in range(LETTERS)))
        await mailbox.close()

    asyncio.run(fill())
    return path


def repair(*words: object) -> tuple[int, list[str], str]:
    """Status, the lines of standard output, standard error."""
    program = "from postoffice.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "repair", *map(str, words)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def break_letter(path: Path, number: int) -> None:
    octets = bytearray(path.read_bytes())
    octets[:100] = bytes(100)
    octets[octets.index(f"line of {number}\r\n".encode())] ^= 1
    path.write_bytes(octets)


def test_what_is_lost_is_named_and_the_rest_is_in_the_new_file(file: Path) -> None:
    break_letter(file, 7)
    new = file.with_name("new.mailbox")
    status, [lost, summary], said = repair(file, "--into", new)
    assert (status, said) == (os.EX_DATAERR, "")
    assert lost.startswith("LOST  INBOX 8 (")
    assert lost.endswith("'letter 7': its octets are not those it is named by")
    assert summary.startswith(f"{new}: {LETTERS - 1} letters saved (")
    assert "1 letter lost" in summary
    assert "its chain of commits begins anew" in summary

    async def read() -> list[bytes]:
        mailbox = MailboxFile.open(new)
        letters = await seen(mailbox)
        await mailbox.close()
        return letters

    assert asyncio.run(read()) == [text(number, lines=200) for number in range(LETTERS) if number != 7]


def test_a_whole_file_is_told_as_such_to_a_program(file: Path) -> None:
    status, lines, said = repair(file, "--into", file.with_name("new"), "--json")
    told = json.loads("\n".join(lines))
    assert (status, said) == (0, "")
    assert (told["whole"], told["letters"], told["lost"], told["damaged_pages"]) == (True, LETTERS, [], 0)


def test_wrong_use_is_one_sentence_and_makes_nothing(file: Path) -> None:
    folder = file.parent
    before = sorted(folder.iterdir())
    for words, status, sentence in (
        ((folder / "none", "--into", folder / "new"), os.EX_NOINPUT, "there is no such file"),
        ((folder, "--into", folder / "new"), os.EX_NOINPUT, "is a folder"),
        ((file, "--into", file), os.EX_CANTCREAT, "is there already"),
        ((file, "--into", folder / "none" / "new"), os.EX_CANTCREAT, "there is no folder"),
        ((__file__, "--into", folder / "new"), os.EX_DATAERR, "there is nothing of a mailbox in it"),
    ):
        found, lines, said = repair(*words)
        assert (found, lines, said.count("\n")) == (status, [], 1), said
        assert sentence in said
    assert sorted(folder.iterdir()) == before
