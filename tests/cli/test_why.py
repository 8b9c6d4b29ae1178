"""`why` tells what became of a letter, here and where it came from."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.client.collect import Options, collect
from postoffice.client.rules import NOW
from postoffice.client.url import Source
from postoffice.store.embedded import MailboxFile
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

LETTERS = {"id-1": b"Message-ID: <1@x>\r\n\r\none\r\n", "id-2": b"Message-ID: <2@x>\r\n\r\ntwo\r\n", "id-3": b"\r\n"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two letters, of which one was deleted there, and a third that the server did not give."""
    path = tmp_path / "home.mailbox"

    async def pull() -> None:
        mailbox = MailboxFile.open(path, create=True)
        peer = Pop3Peer(dict(LETTERS), says={"RETR 3": b"-ERR \x1b[2Jbroken\r\n", "DELE 2": b"-ERR no\r\n"})
        async with peer.listening() as port:
            for rules in ((), (NOW,), ()):
                await collect(Source("127.0.0.1", port, USER), mailbox, Options(PASSWORD, rules=rules))
                peer.says["RETR 2"] = peer.says["RETR 3"]  # its number when the first one has gone
        await mailbox.close()

    asyncio.run(pull())
    return path


def why(file: Path, *words: str) -> tuple[int, str]:
    call = [sys.executable, "-m", "postoffice", "why", str(file), *words]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def test_the_whole_life_of_a_letter_is_told(file: Path) -> None:
    status, told = why(file, "1")
    assert status == 0
    assert first_words(told) == ["seen", "fetched", "DELE", "QUIT", "gone"]
    assert "as id-1, 26 octets" in told
    assert "by the rule: now" in told
    assert why(file, "id-1") == (0, told)


def test_a_letter_that_is_not_here_is_known_by_its_unique_id(file: Path) -> None:
    status, told = why(file, "id-3")
    assert (status, first_words(told)) == (0, ["seen", "refused", "fetched"])
    assert "3 times, the last time: " in told
    assert "broken" in told
    assert "\x1b" not in told


def test_what_the_server_would_not_remove_is_told(file: Path) -> None:
    assert first_words(why(file, "2")[1]) == ["seen", "fetched", "DELE"]


def test_programs_get_all_of_it(file: Path) -> None:
    status, told = why(file, "2", "--json")
    life = json.loads(told)
    assert (status, life["source_id"], life["octets"], life["is_here"]) == (0, "id-2", 26, True)
    assert len(life["sha256"]) == 64


def test_what_nobody_knows_is_said_to_be_unknown(file: Path) -> None:
    assert why(file, "id-9")[0] == 66
    assert why(file, "9")[0] == 66
    assert why(file.with_name("none"), "1")[0] == 66
