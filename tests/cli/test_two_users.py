"""One user packs a mailbox file, another opens it: the letters are the same, and a pull brings only what is new."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.home.locking.recognizing import keys_path
from postoffice.store.embedded import MailboxFile
from postoffice.testing.check_store.walk import seen, text
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer
from postoffice.testing.process import open_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")

PROGRAM = """
import os, sys
import apsw, encodings.idna, tomllib, uvloop
import postoffice.cli.fetch, postoffice.cli.pack, postoffice.cli.home
import postoffice.client.collect, postoffice.client.login, postoffice.client.rules, postoffice.client.secrets
import postoffice.handing.round, postoffice.handing.target, postoffice.handing.way
from postoffice.cli.main import main
import argon2.low_level, cryptography.hazmat.primitives.ciphers.aead, cryptography.hazmat.primitives.kdf.hkdf
import cryptography.hazmat.primitives.hashes, postoffice.home.scanning.policy
import postoffice.cli.lock, postoffice.cli.locked
import postoffice.home.locking.agent, postoffice.home.locking.changing, postoffice.home.locking.holding
import postoffice.home.locking.transcribing
import postoffice.home.config, postoffice.home.hooks, postoffice.home.preview, postoffice.home.pulling
from postoffice.store.embedded import MailboxFile
number = int(sys.argv.pop(1))
os.setgroups([])
os.setresgid(number, number, number)
os.setresuid(number, number, number)
main()
"""
"""What root alone may read is imported before somebody is another."""


PASSPHRASE = ("--passphrase-command", "echo correct horse battery staple")


@dataclass(frozen=True)
class User:
    """One of this machine, who has no name here, and a home that nobody else may look into."""

    number: int
    home: Path

    @property
    def file(self) -> Path:
        return self.home / "mail.mailbox"

    def runs(self, *words: str | Path, given: bytes = b"") -> bytes:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(self.number), *map(str, words)],
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def fetches(self, port: int, *words: str) -> None:
        url = f"pop://{USER}@127.0.0.1:{port}"
        self.runs("fetch", url, "--into", self.file, "--password-stdin", *words, given=f"{PASSWORD}\n".encode())

    def letters(self) -> list[bytes]:
        async def look() -> list[bytes]:
            mailbox = MailboxFile.open(self.file)
            try:
                return await seen(mailbox)
            finally:
                await mailbox.close()

        return asyncio.run(look())


@pytest.fixture
def users() -> Iterator[list[User]]:
    with open_folder() as folder:
        made = [User(number, folder / str(number)) for number in (65531, 65532)]
        for user in made:
            user.home.mkdir(mode=0o700)
            os.chown(user.home, user.number, user.number)
        yield made


def test_a_pack_goes_from_one_user_to_another(users: list[User]) -> None:
    one, other = users
    letters = {f"id-{number}": text(number) for number in range(5)}
    peer = Pop3Peer(dict(letters))
    with peer.serving() as port:
        one.fetches(port)
        pack = other.home / "one.po"
        pack.write_bytes(one.runs("pack", one.file))
        os.chown(pack, other.number, other.number)
        other.runs("open", pack, "--into", other.file)
        assert other.letters() == one.letters() == list(letters.values())
        found = other.file.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (other.number, 0o600)

        peer.given.clear()
        other.fetches(port)
        assert peer.given == set()
        peer.letters["new"] = text("new")
        other.fetches(port)
        assert peer.given == {"new"}
        assert other.letters() == [*letters.values(), text("new")]

        one.runs("merge", one.file, _carried(other.runs("pack", other.file), one))
        peer.given.clear()
        one.fetches(port)
        assert peer.given == set()
        assert one.letters() == other.letters()


def test_a_locked_one_goes_too_and_stays_locked(users: list[User]) -> None:
    one, other = users
    letters = {f"id-{number}": text(number) for number in range(3)}
    peer = Pop3Peer(dict(letters))
    with peer.serving() as port:
        one.fetches(port)
        one.runs("lock", one.file, *PASSPHRASE)
        pack = other.home / "one.po"
        pack.write_bytes(one.runs("pack", one.file, *PASSPHRASE))
        os.chown(pack, other.number, other.number)
        other.runs("open", pack, "--into", other.file)
        assert b"letter 1" not in pack.read_bytes() + other.file.read_bytes()
        for path in (other.file, keys_path(other.file)):
            found = path.stat()
            assert (found.st_uid, found.st_mode & 0o777) == (other.number, 0o600)
        peer.given.clear()
        other.fetches(port, *PASSPHRASE)
        assert peer.given == set()
        peer.letters["new"] = text("new")
        other.fetches(port, *PASSPHRASE)
        assert peer.given == {"new"}
    for number, letter in enumerate([*letters.values(), text("new")], 1):
        words = ("read", str(other.file), str(number), "--raw", *PASSPHRASE)
        program = (sys.executable, "-W", "error", "-c", "from postoffice.cli.main import main; main()")
        assert subprocess.run([*program, *words], capture_output=True, check=True).stdout == letter


def test_neither_can_open_what_is_the_others(users: list[User]) -> None:
    one, other = users
    with Pop3Peer({"id": text(1)}).serving() as port:
        one.fetches(port)
    one.home.chmod(0o711)
    for words in (("ls", one.file), ("pack", one.file)):
        with pytest.raises(AssertionError, match="cannot be read: you may not"):
            other.runs(*words)


def _carried(pack: bytes, to: User) -> Path:
    path = to.home / "two.po"
    path.write_bytes(pack)
    os.chown(path, to.number, to.number)
    return path
