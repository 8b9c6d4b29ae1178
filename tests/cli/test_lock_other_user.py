"""A locked mailbox is packed by one user and opened by another: the same letters, and a pull brings what is new."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.home.locking.beside import keys_path
from postoffice.home.locking.finding import key_by
from postoffice.home.mailbox import opening
from postoffice.testing.check_store.walk import seen
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

OTHER = 65534
PASSPHRASE = "correct horse battery"
LETTERS = {f"id-{number}": b"Subject: %d\r\n\r\nletter %d\r\n" % (number, number) for number in range(20)}

# Commands run once before, so that all that they import is there: the other user may not read where it lies.
PROGRAM = f"""
import json, os, sys
from postoffice.cli.main import cli

def run(commands):
    for words in commands:
        try:
            status = cli.main(words, standalone_mode=False)
        except SystemExit as ended:
            status = ended.code
        assert not status, (words, status)

before, after = json.loads(sys.argv[1])
run(before)
os.setgroups([])
os.setgid({OTHER})
os.setuid({OTHER})
run(after)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="postoffice-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def secret(path: Path, words: str, owner: int) -> Path:
    path.write_text(f"{words}\n")
    path.chmod(0o600)
    os.chown(path, owner, owner)
    return path


async def letters_of(file: Path) -> list[bytes]:
    mailbox = opening(file, key=key_by(file, PASSPHRASE))()
    try:
        return await seen(mailbox)
    finally:
        await mailbox.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_packed_by_one_user_and_opened_by_another(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(place))
    here, there = place / "here", place / "there"
    for folder, owner in ((here, os.geteuid()), (there, OTHER)):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, owner)
    peer = Pop3Peer(dict(LETTERS))
    with peer.serving() as port:
        commands = {}
        for folder, owner in ((here, os.geteuid()), (there, OTHER)):
            said = ["--passphrase-file", str(secret(folder / "passphrase", PASSPHRASE, owner))]
            password = str(secret(folder / "password", PASSWORD, owner))
            file = str(folder / "mail.mailbox")
            pull = ["fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", file, "--password-file", password, *said]
            commands[folder] = pull, ["pack", file, "--into", str(place / "one.po"), *said], ["ls", file, *said], file
        pull, pack, ls, file = commands[here]
        lock = ["lock", "--create", file, *ls[2:]]
        for words in (lock, pull, pack):
            subprocess.run([sys.executable, "-m", "postoffice", *words], check=True, capture_output=True, timeout=60)
        (place / "one.po").chmod(0o644)
        before = asyncio.run(letters_of(here / "mail.mailbox"))
        peer.given.clear()
        peer.letters |= {"new-1": b"Subject: new\r\n\r\n", "new-2": b"Subject: newer\r\n\r\n"}
        their_pull, _, their_ls, their_file = commands[there]
        try_out = str(here / "tried.mailbox")
        first = [["open", str(place / "one.po"), "--into", try_out], ["ls", try_out, *ls[2:]]]
        first.append([word if word != file else try_out for word in pull])
        then = [["open", str(place / "one.po"), "--into", their_file], their_ls]
        run = [sys.executable, "-W", "error", "-c", PROGRAM]
        done = subprocess.run(
            [*run, json.dumps([first, then])], capture_output=True, text=True, timeout=60, check=False, cwd=there
        )
        assert done.returncode == 0, done.stderr
        opened = asyncio.run(letters_of(Path(their_file)))
        peer.given.clear()
        done = subprocess.run(
            [*run, json.dumps([first[1:], [their_pull, their_pull]])],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=there,
        )
        assert done.returncode == 0, done.stderr
    assert len(before) == len(LETTERS)
    assert opened == before
    assert peer.given == {"new-1", "new-2"}
    assert asyncio.run(letters_of(Path(their_file)))[: len(before)] == before
    for path in (Path(their_file), keys_path(Path(their_file))):
        found = path.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (OTHER, 0o600)
    assert "Subject" not in done.stderr
