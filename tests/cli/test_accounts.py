"""`fetch ACCOUNT` and `fetch --all`: what the settings say is pulled, and the worst that happened is the status."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

LETTERS = {f"id-{number}": b"Subject: %d\r\n\r\nx\r\n" % number for number in range(3)}


@dataclass(slots=True)
class Settings:
    """A person with a home folder."""

    folder: Path

    def write(self, *accounts: str, mode: int = 0o600) -> None:
        path = self.folder / "config" / "postoffice" / "home.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(accounts))
        path.chmod(mode)

    async def run(self, *words: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config")},
            cwd=self.folder,
        )
        out, errors = await process.communicate()
        return process.returncode, out.decode(), errors.decode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


def account(name: str, port: int, more: str = "", password: str = PASSWORD) -> str:
    return (
        f'[accounts."{name}"]\nurl = "pop://{USER}@127.0.0.1:{port}"\ninto = "~/Mail/{name}.mailbox"\n'
        f'password = "{password}"\n{more}\n'
    )


async def test_an_account_is_pulled_by_its_name(settings: Settings) -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        settings.write(account("me@b.example", port, 'delete = ["now"]'))
        status, out, errors = await settings.run("fetch", "me@b.example")
    assert (status, errors) == (0, "")
    assert out == "3 letters, 51 octets, already had 0; 3 deleted from the server\n"
    assert peer.letters == {}
    listed = await settings.run("ls", "Mail/me@b.example.mailbox")
    assert len(listed[1].splitlines()) == 3
    assert (settings.folder / "Mail").stat().st_mode & 0o777 == 0o700


async def test_all_are_pulled_and_the_worst_status_wins(settings: Settings) -> None:
    good, bad = Pop3Peer(dict(LETTERS)), Pop3Peer(dict(LETTERS), says={"RETR 1": b"-ERR no\r\n"})
    async with good.listening() as port, bad.listening() as other:
        settings.write(account("one", port), account("two", other))
        status, out, errors = await settings.run("fetch", "--all")
        assert status == 75
        assert sorted(out.splitlines()) == [
            "one: 3 letters, 51 octets, already had 0",
            "two: 2 letters, 34 octets, already had 0",
        ]
        assert errors == "postoffice: two: the server did not give 1 letter; try again\n"
        settings.write(account("one", port), account("two", other), account("three", port, password="guess"))
        status, out, errors = await settings.run("fetch", "--all")
    assert status == 77
    assert "one: 0 letters, 0 octets, already had 3\n" in out
    assert "postoffice: three: 127.0.0.1 refused the login of bob: [AUTH] no\n" in errors


async def test_json_names_the_account_of_each_event(settings: Settings) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port, Pop3Peer({}).listening() as other:
        settings.write(account("one", port), account("two", other, password="guess"))
        status, out, _ = await settings.run("fetch", "--all", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 77
    assert {one["account"] for one in told} == {"one", "two"}
    assert [one["account"] for one in told if one["event"] == "fetched"] == ["one"] * 3
    ends = {one["account"]: (one["event"], one["status"]) for one in told if one["event"] in ("closed", "failed")}
    assert ends == {"one": ("closed", 0), "two": ("failed", 77)}


async def test_a_dry_run_of_an_account_makes_nothing(settings: Settings) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        settings.write(account("one", port))
        status, out, _ = await settings.run("fetch", "one", "--dry-run")
    assert (status, out) == (0, "would fetch 3 letters, 51 octets, already had 0\n")
    assert not (settings.folder / "Mail").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("fetch",), 64, "which accounts? Name them, or say --all"),
        (("fetch", "one", "--all"), 64, "which accounts?"),
        (("fetch", "nobody"), 67, "nobody: there is no such account in "),
        (("fetch", "one", "--into", "m"), 64, "stands in its settings"),
        (("fetch", "one", "--password-stdin"), 64, "stands in its settings"),
        (("fetch", "pop://a@127.0.0.1"), 64, "Name it with --into"),
        (("fetch", "pop://a@127.0.0.1", "one", "--into", "m"), 64, "a URL is pulled alone"),
        (("fetch", "--all", "--config", "none.toml"), 78, "none.toml: there are no settings yet"),
        (("fetch", "closed"), 69, "postoffice: cannot reach 127.0.0.1 port 1: "),
        (("fetch", "asks"), 77, "asks: the settings do not say where its password is"),
    ],
)
async def test_what_is_wrong_is_told_in_one_sentence(
    settings: Settings, words: tuple[str, ...], status: int, said: str
) -> None:
    asks = account("asks", 1).replace('password = "secret"\n', "")
    settings.write(account("one", 1), account("closed", 1), asks)
    ended, _, errors = await settings.run(*words)
    assert (ended, errors.count("\n")) == (status, 1), errors
    assert said in errors


async def test_a_password_in_settings_that_others_may_read_is_refused(settings: Settings) -> None:
    settings.write(account("one", 1), mode=0o644)
    status, _, errors = await settings.run("fetch", "one")
    assert status == 78
    assert "home.toml:4: accounts.one.password: " in errors
    assert PASSWORD not in errors
