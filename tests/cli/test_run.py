"""`run`: accounts of the settings file are pulled until it is told to stop, whatever some of them do meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postoffice.store.embedded import MailboxFile
from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer


class Service:
    """`run` in a process of its own, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def heard(self, name: str, **facts: Any) -> dict[str, Any]:
        """The next event of this name, with these facts."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self.process.stdout.readline():
                told: dict[str, Any] = json.loads(line)
                if told["event"] == name and facts.items() <= told.items():
                    return told
        raise AssertionError(f"it ended before it said {name}")

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def service(settings: Path, **environment: str) -> AsyncIterator[Service]:
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "run", "--json", "--config", str(settings)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    try:
        yield Service(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def account(name: str, port: int, file: Path, password: str = PASSWORD, every: str = "1d") -> str:
    return (
        f'[accounts."{name}"]\nurl = "pop://{USER}@127.0.0.1:{port}"\ninto = "{file}"\n'
        f'password_command = "echo {password}"\nevery = "{every}"\n'
    )


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Path]:
    def write(*parts: str) -> Path:
        path = tmp_path / "home.toml"
        path.write_text("\n".join(parts))
        return path

    return write


async def letters_in(file: Path) -> int:
    mailbox = MailboxFile.open(file)
    number = len((await mailbox.snapshot()).keys)
    await mailbox.close()
    return number


async def test_all_accounts_are_pulled_and_again_when_somebody_wants_it(
    tmp_path: Path, settings: Callable[..., Path]
) -> None:
    one, two = Pop3Peer({"a": b"Subject: a\r\n\r\n"}), Pop3Peer({"b": b"Subject: b\r\n\r\n"})
    async with one.listening() as first, two.listening() as second:
        path = settings(account("one", first, tmp_path / "1"), account("two", second, tmp_path / "2"))
        async with service(path) as run:
            assert (await run.heard("ready"))["accounts"] == 2
            pulled = [await run.heard("pulled") for _ in range(2)]
            assert sorted((told["account"], told["letters"]) for told in pulled) == [("one", 1), ("two", 1)]
            one.letters["c"] = b"Subject: c\r\n\r\n"
            run.tell(signal.SIGUSR1)
            await run.heard("fetched", account="one", source_id="c")
            await run.heard("pulled", account="one", letters=1)
            run.tell(signal.SIGTERM)
            assert await run.process.wait() == 0
    assert (await letters_in(tmp_path / "1"), await letters_in(tmp_path / "2")) == (2, 1)


async def test_a_failing_account_is_told_once_and_stands_in_nobodys_way(
    tmp_path: Path, settings: Callable[..., Path]
) -> None:
    peer, busy = Pop3Peer({"a": b"Subject: a\r\n\r\n"}), Pop3Peer({}, says={"PASS": b"-ERR [IN-USE] wait\r\n"})
    told = tmp_path / "told"
    hooks = f'[hooks]\nfailed = "echo $POSTOFFICE_ACCOUNT $POSTOFFICE_STATUS >> {told}"'
    async with peer.listening() as port, busy.listening() as closed:
        path = settings(hooks, account("wrong", port, tmp_path / "1", "guess"), account("busy", closed, tmp_path / "2"))
        async with service(path) as run:
            failed = [await run.heard("failed") for _ in range(2)]
            assert {one["account"] for one in failed} == {"wrong", "busy"}
            peer.heard.clear()
            run.tell(signal.SIGUSR1)
            busy.says = {}
            run.tell(signal.SIGUSR1)
            await run.heard("well_again", account="busy")
            await run.heard("pulled", account="busy")
            run.tell(signal.SIGTERM)
            assert await run.process.wait() == 0
    assert peer.heard == []  # a login that was refused is not tried again because somebody pokes
    assert sorted(told.read_text().splitlines()) == ["busy 75", "wrong 77"]


async def test_the_hook_of_the_settings_hears_of_each_account(tmp_path: Path, settings: Callable[..., Path]) -> None:
    heard = tmp_path / "heard"
    hooks = f"[hooks]\nnew_mail = 'echo $POSTOFFICE_ACCOUNT $POSTOFFICE_LETTERS $(cat) >> {heard}'"
    one, two = Pop3Peer({"a": b"From: a\r\nSubject: b\r\n\r\n"}), Pop3Peer({})
    async with one.listening() as first, two.listening() as second:
        path = settings(hooks, account("one", first, tmp_path / "1"), account("two", second, tmp_path / "2"))
        async with service(path) as run:
            for _ in range(2):
                await run.heard("pulled")
    assert heard.read_text() == 'one 1 {"from": "a", "subject": "b", "octets": 23}\n'


async def test_new_settings_are_taken_and_wrong_ones_are_not(tmp_path: Path, settings: Callable[..., Path]) -> None:
    peer = Pop3Peer({"a": b"Subject: a\r\n\r\n"})
    async with peer.listening() as port:
        path = settings(account("one", port, tmp_path / "1", "guess"))
        async with service(path) as run:
            await run.heard("failed", account="one")
            settings("nonsense")
            run.tell(signal.SIGHUP)
            assert str(path) in (await run.heard("not_reloaded"))["because"]
            settings(account("one", port, tmp_path / "1"), account("two", port, tmp_path / "2"))
            run.tell(signal.SIGHUP)
            await run.heard("reloaded", accounts=2)
            pulled = [await run.heard("pulled") for _ in range(2)]
            assert {one["account"] for one in pulled} == {"one", "two"}
            settings(account("two", port, tmp_path / "2"))
            run.tell(signal.SIGHUP)
            await run.heard("reloaded", accounts=1)


async def test_one_connection_per_maildrop_at_a_time(tmp_path: Path, settings: Callable[..., Path]) -> None:
    peer = Pop3Peer({f"{number}": b"Subject: a\r\n\r\n" for number in range(50)})
    async with peer.listening() as port:
        path = settings(*[account(f"a{number}", port, tmp_path / f"{number}") for number in range(4)])
        async with service(path) as run:
            for _ in range(4):
                await run.heard("pulled", letters=50)
            peer.heard.clear()
            run.tell(signal.SIGUSR1)  # now all of them are due at one moment
            for _ in range(4):
                await run.heard("pulled", letters=0)
    logins = [line for line in peer.heard if line in ("USER bob", "QUIT")]
    assert logins == ["USER bob", "QUIT"] * 4


async def test_who_is_stopped_amid_a_pull_keeps_what_came(tmp_path: Path, settings: Callable[..., Path]) -> None:
    letters = {f"{number}": b"Subject: %d\r\n\r\n" % number for number in range(20)}
    peer = Pop3Peer(letters, capabilities=("UIDL", "USER"))
    peer.says = {"RETR 11": b""}  # it never answers that
    async with peer.listening() as port, service(settings(account("one", port, tmp_path / "1"))) as run:
        await run.heard("fetched", source_id="9")
        run.tell(signal.SIGTERM)
        assert await run.process.wait() == 0
    assert await letters_in(tmp_path / "1") == 10


async def test_login_delay_is_waited_for(tmp_path: Path, settings: Callable[..., Path]) -> None:
    peer = Pop3Peer({"a": b"Subject: a\r\n\r\n"}, capabilities=("UIDL", "USER", "LOGIN-DELAY 600"))
    other = Pop3Peer({})
    async with peer.listening() as port, other.listening() as second:
        path = settings(account("one", port, tmp_path / "1"), account("two", second, tmp_path / "2"))
        async with service(path) as run:
            for _ in range(2):
                await run.heard("pulled")
            peer.heard.clear()
            run.tell(signal.SIGUSR1)
            await run.heard("pulled", account="two")
            run.tell(signal.SIGTERM)
            await run.process.wait()
    assert peer.heard == []


async def test_systemd_is_told_that_it_is_ready_and_how_it_is(tmp_path: Path, settings: Callable[..., Path]) -> None:
    ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ears.bind(str(tmp_path / "notify"))
    ears.settimeout(30)
    peer = Pop3Peer({}, says={"PASS": b"-ERR no\r\n"})
    async with peer.listening() as port:
        path = settings(account("one", port, tmp_path / "1"))
        async with service(path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="30000") as run:
            heard = ""
            while not ("READY=1" in heard and "failing: one" in heard and heard.count("WATCHDOG=1") > 2):
                heard += (await asyncio.to_thread(ears.recv, 4096)).decode() + "\n"
            run.tell(signal.SIGTERM)
            assert await run.process.wait() == 0
    ears.setblocking(False)
    left = b""
    while True:
        try:
            left += ears.recv(4096)
        except BlockingIOError:
            break
    ears.close()
    assert b"STOPPING=1" in left


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there are no settings yet"),
        ("[hooks]\nnone = 'x'", "home.toml:2: hooks.none: there is no such hook; there are new_mail and failed"),
        ("[hooks]\nfailed = 1", "home.toml:2: hooks.failed: Expected str, got int"),
        ("hooks = 1", "hooks: must be a section"),
    ],
)
async def test_wrong_settings_end_it_at_once(
    tmp_path: Path, settings: Callable[..., Path], text: str | None, said: str
) -> None:
    path = tmp_path / "none.toml" if text is None else settings(text)
    process = await asyncio.create_subprocess_exec(*COMMAND, "run", "--config", path, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 78
    assert said in errors.decode()


async def test_what_goes_on_is_handed_over_and_what_waits_is_told(
    settings: Callable[..., Path], tmp_path: Path
) -> None:
    letters = {f"id-{number}": b"Subject: %d\r\n\r\nx\r\n" % number for number in range(3)}
    async with Pop3Peer(letters).listening() as port, Pop3Peer(letters).listening() as other:
        refuses_one = "command:! grep -q '^Subject: 1'"
        path = settings(
            account("one", port, tmp_path / "one").replace('into = "', 'into = "maildir:'),
            account("two", other, tmp_path / "two").replace(str(tmp_path / "two"), refuses_one),
        )
        async with service(path, XDG_STATE_HOME=str(tmp_path / "state")) as run:
            told = [await run.heard("pulled"), await run.heard("pulled")]
    assert {one["account"]: (one["letters"], one["staying"]) for one in told} == {"one": (3, 0), "two": (3, 1)}
    assert len(list((tmp_path / "one" / "new").iterdir())) == 3
