"""When the store fails the SMTP door puts the letter off, in step and with nothing accepted (RFC 5321 §6.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from postoffice.accounts.login import Login
from postoffice.errors import StoreUnavailable
from postoffice.events import collected
from postoffice.net.switchboard import Switchboard
from postoffice.store.base import Store
from postoffice.testing.scenes import count_letters
from postoffice.transfer.door import SmtpDoor
from postoffice.transfer.intake import Intake, IntakeSettings
from postoffice.transfer.mx import MxPolicy

TRANSACTION = ("EHLO bar.com", "MAIL FROM:<smith@bar.com>", "RCPT TO:<jones@foo.com>")


class Failing:
    """Anything with verbs, of which those in `verbs` fail; `stage` gives one that does the same."""

    def __init__(self, sound: object, verbs: dict[str, Exception]) -> None:
        self._sound = sound
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._sound, name)

        async def failing(*arguments: Any) -> Any:
            if name in self._verbs:
                raise self._verbs[name]
            answer = await verb(*arguments)
            return Failing(answer, self._verbs) if name == "stage" else answer

        return failing


class Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def ask(self, line: str) -> bytes:
        """Say a line, or several; gives the last line of one reply."""
        self._writer.write(line.encode() + b"\r\n")
        while (reply := await self.reader.readline())[3:4] == b"-":
            pass
        return reply


@asynccontextmanager
async def session(store: Store, verbs: dict[str, Exception]) -> AsyncIterator[Session]:
    await store.directory.add_domain("foo.com")
    await store.directory.add_account("jones@foo.com", 0)
    board = Switchboard()
    login = Login(store.directory)
    office: Any = Failing(store.office, verbs)
    intake = Intake("foo.com", office, store.directory, IntakeSettings(free_octets=0))
    server = await asyncio.get_running_loop().create_server(SmtpDoor(MxPolicy(), intake, login, board), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"220")
            opened = Session(reader, writer)
            for line in TRANSACTION:
                assert (await opened.ask(line)).startswith(b"250")
            yield opened
    finally:
        writer.transport.abort()
        server.close()
        await board.drain(20)
        login.close()


async def test_where_nothing_can_be_staged_data_is_refused_before_the_content_flows(store: Store) -> None:
    verbs: dict[str, Exception] = {"stage": StoreUnavailable("the disk is on fire")}
    async with session(store, verbs) as opened:
        assert (await opened.ask("DATA")).startswith(b"451 4.3.0")
        verbs.clear()
        assert (await opened.ask("DATA")).startswith(b"354")
        assert (await opened.ask("Subject: a\r\n\r\nb\r\n.")).startswith(b"250")
    assert await count_letters(store, "jones@foo.com") == 1


@pytest.mark.parametrize("verb", ["write", "finish", "accept"])
async def test_a_letter_that_cannot_be_kept_is_put_off_when_it_is_complete(store: Store, verb: str) -> None:
    verbs: dict[str, Exception] = {verb: StoreUnavailable("the disk is on fire")}
    async with session(store, verbs) as opened:
        assert (await opened.ask("DATA")).startswith(b"354")
        assert (await opened.ask("Subject: a\r\n\r\nb\r\n.")).startswith(b"451 4.3.0")
        assert await opened.ask("NOOP") == b"250 2.0.0 Nothing done\r\n"
    assert await count_letters(store, "jones@foo.com") == 0


async def test_a_bug_puts_the_letter_off_and_is_told(store: Store) -> None:
    async with session(store, {"accept": ZeroDivisionError("a bug")}) as opened:
        with collected() as events:
            assert (await opened.ask("DATA")).startswith(b"354")
            assert (await opened.ask("Subject: a\r\n\r\nb\r\n.")).startswith(b"451 4.3.0")
            assert await opened.reader.read() == b""
        assert "dialogue.crashed" in [name for name, _ in events]
    assert await count_letters(store, "jones@foo.com") == 0


async def test_public_words_hold_nothing_of_what_went_wrong_inside(store: Store) -> None:
    async with session(store, {"accept": StoreUnavailable("/var/mail/secret/path")}) as opened:
        await opened.ask("DATA")
        assert b"secret" not in await opened.ask("Subject: a\r\n\r\nb\r\n.")
