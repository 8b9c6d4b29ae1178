"""When the store fails the POP3 door says so, in step, and keeps nothing from anybody (RFC 1939 §4, §6, RFC 3206)."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from postoffice.access.pop3 import Pop3Door, Pop3Settings
from postoffice.accounts import verifiers
from postoffice.accounts.login import Login, LoginSettings
from postoffice.accounts.visits import VisitBook
from postoffice.errors import StoreUnavailable
from postoffice.events import collected
from postoffice.net.switchboard import Switchboard
from postoffice.store.base import Store
from postoffice.store.model import CHUNK_OCTETS, Credential, Letter
from postoffice.testing.scenes import made_letter

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Failing:
    """Anything with verbs, of which those in `verbs` fail; `mailbox` gives one that does the same."""

    def __init__(self, sound: object, verbs: set[str]) -> None:
        self._sound = sound
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._sound, name)

        async def failing(*arguments: Any, **named: Any) -> Any:
            if name in self._verbs or f"{name} {named.get('index') or arguments[1:2]}" in self._verbs:
                raise StoreUnavailable("the disk is on fire")
            answer = await verb(*arguments, **named)
            return Failing(answer, self._verbs) if name == "mailbox" else answer

        return failing


class Session:
    """A connection to a door over a store that can be made to fail."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def ask(self, *lines: str) -> list[bytes]:
        """Say lines at once; gives one line of reply for each."""
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        return [await self.reader.readline() for _ in lines]

    async def log_in(self) -> bytes:
        return (await self.ask("USER mrose", "PASS tanstaaf"))[1]


@asynccontextmanager
async def session(store: Store, verbs: set[str], letter: int = 120) -> AsyncIterator[tuple[Session, Session]]:
    """Two connections at one door, for one account with one letter."""
    await store.directory.add_domain("example.org")
    account = await store.directory.add_account("mrose@example.org", 0)
    await store.directory.set_credential(Credential(account.account_id, "password", verifiers.of_clear("tanstaaf")))
    mailbox = await store.office.mailbox(account.account_id)
    stage = await mailbox.stage()
    await stage.write(made_letter(letter))
    await mailbox.append([Letter(await stage.finish(), 0)])
    board = Switchboard()
    login = Login(store.directory, LoginSettings(LOOPBACK))
    office: Any = Failing(store.office, verbs)
    door = Pop3Door(
        "example.org", office, login, board, VisitBook(store.visits), settings=Pop3Settings(lock_wait_seconds=0)
    )
    server = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0)
    pairs = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(2)]
    sessions = [Session(*pair) for pair in pairs]
    try:
        async with asyncio.timeout(20):
            for each in sessions:
                assert (await each.reader.readline()).startswith(b"+OK")
            yield sessions[0], sessions[1]
    finally:
        for _, writer in pairs:
            writer.transport.abort()
        server.close()
        await board.drain(20)
        login.close()


@pytest.mark.parametrize("verb", ["lock", "mailbox", "snapshot"])
async def test_a_maildrop_that_cannot_be_opened_is_temporary_and_kept_from_nobody(store: Store, verb: str) -> None:
    verbs = {verb}
    async with session(store, verbs) as (first, second):
        assert (await first.log_in()).startswith(b"-ERR [SYS/TEMP]")
        verbs.clear()
        assert (await second.log_in()).startswith(b"+OK")
        assert (await first.log_in()).startswith(b"-ERR [IN-USE]")


async def test_the_lock_is_free_before_quit_is_answered(store: Store) -> None:
    async with session(store, set()) as (first, second):
        assert (await first.log_in()).startswith(b"+OK")
        assert (await second.log_in()).startswith(b"-ERR [IN-USE]")
        assert (await first.ask("QUIT"))[0].startswith(b"+OK")
        assert (await second.log_in()).startswith(b"+OK")


async def test_a_letter_that_cannot_be_read_is_refused_and_the_next_command_is_answered(store: Store) -> None:
    verbs = {"read", "read_small"}
    async with session(store, verbs) as (first, _):
        await first.log_in()
        retr, top, stat = await first.ask("RETR 1", "TOP 1 0", "STAT")
        assert retr.startswith(b"-ERR [SYS/TEMP]")
        assert top.startswith(b"-ERR [SYS/TEMP]")
        assert stat == b"+OK 1 120\r\n"


async def test_a_letter_that_breaks_off_in_the_middle_ends_the_session_and_not_the_letter(
    store: Store,
) -> None:
    async with session(store, {"read (1,)"}, letter=CHUNK_OCTETS + 1000) as (first, _):
        await first.log_in()
        with collected() as events:
            [ok] = await first.ask("RETR 1")
            rest = await first.reader.read()
        assert ok.startswith(b"+OK")
        assert rest == made_letter(CHUNK_OCTETS + 1000)[:CHUNK_OCTETS]
        assert [name for name, _ in events] == ["pop3.failed", "pop3.closed"]
        assert events[1][1]["end"] == "letter broken off"


async def test_an_update_that_fails_is_told_and_removes_nothing(store: Store) -> None:
    verbs = {"remove"}
    async with session(store, verbs) as (first, second):
        await first.log_in()
        _, bye = await first.ask("DELE 1", "QUIT")
        assert bye.startswith(b"-ERR [SYS/TEMP]")
        assert await first.reader.read() == b""
        assert (await second.log_in()).startswith(b"+OK")
        assert await second.ask("STAT") == [b"+OK 1 120\r\n"]
