"""The password of a maildrop comes from where a person says, and from no place where others could read it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

FAKE_KEYRING = """
def get_password(service, user):
    return {words!r} if (service, user) == ("postoffice", "{user}@127.0.0.1") else None
"""


@dataclass(slots=True)
class Home:
    """A folder, and a server that lets in who knows the password."""

    folder: Path
    port: int
    peer: Pop3Peer
    environment: dict[str, str] = field(default_factory=dict)

    async def fetch(self, *words: str | Path) -> tuple[int | None, str]:
        """The exit status of a pull, and what it complained of."""
        url = f"pop://{USER}@127.0.0.1:{self.port}"
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, ("fetch", url, "--into", self.folder / "m", *words)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(self.folder / "packages"), **self.environment},
        )
        _, errors = await process.communicate()
        return process.returncode, errors.decode()

    def file(self, text: str = f"{PASSWORD}\nlogin: bob\n", mode: int = 0o600) -> Path:
        path = self.folder / "kept"
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "keyring.py").write_text("raise ImportError")
    peer = Pop3Peer({"id-1": b"one\r\n"})
    async with peer.listening() as port:
        yield Home(tmp_path, port, peer)


async def test_each_place_opens_the_maildrop(home: Home) -> None:
    home.environment = {"SECRET": PASSWORD, "CREDENTIALS_DIRECTORY": str(home.folder)}
    file = home.file()
    (home.folder / "packages" / "keyring.py").write_text(FAKE_KEYRING.format(words=PASSWORD, user=USER))
    for words in (
        ("--password-command", f"cat {file} | cat"),
        ("--password-file", file),
        ("--password-variable", "SECRET"),
        ("--password-credential", "kept"),
        ("--password-keyring",),
    ):
        home.peer.heard.clear()
        assert await home.fetch(*words) == (0, ""), words
        assert f"PASS {PASSWORD}" in home.peer.heard


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_file_that_others_may_read_is_refused(home: Home, mode: int) -> None:
    status, errors = await home.fetch("--password-file", home.file(mode=mode))
    assert status == 77
    assert "others may read it" in errors
    assert PASSWORD not in errors
    assert home.peer.heard == []


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--password-command", "exit 3"), 69, "ended with status 3"),
        (("--password-command", "true"), 65, "is empty"),
        (("--password-file", "/nowhere/at/all"), 66, "/nowhere/at/all: No such file"),
        (("--password-variable", "NOT_SET_AT_ALL"), 78, "NOT_SET_AT_ALL is not set"),
        (("--password-credential", "secret"), 78, "$CREDENTIALS_DIRECTORY is not set"),
        (("--password-keyring",), 69, "keyring is not installed"),
        (("--password-keyring", "--password-stdin"), 64, "only one of"),
        ((), 64, "no terminal"),
    ],
)
async def test_a_place_without_a_password_is_told(home: Home, words: tuple[str, ...], status: int, said: str) -> None:
    ended, errors = await home.fetch(*words)
    assert (ended, errors.count("\n")) == (status, 1), errors
    assert said in errors
    assert home.peer.heard == []


async def test_a_keyring_that_has_nothing_says_how_to_put_it_there(home: Home) -> None:
    (home.folder / "packages" / "keyring.py").write_text(FAKE_KEYRING.format(words=PASSWORD, user="somebody else"))
    status, errors = await home.fetch("--password-keyring")
    assert status == 77
    assert f"keyring set postoffice {USER}@127.0.0.1" in errors
