"""A locked file: its passphrase is asked for on a screen of its own, and asked for again when nobody was there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.tui.conftest import Driven

from postoffice.errors import UsageError
from postoffice.home.locking.changing import lock_first
from postoffice.home.locking.finding import key_by
from postoffice.home.mailbox import opening
from postoffice.tui.app import Lock, Reader
from postoffice.tui.mail import Mail
from postoffice.tui.unlock import Unlock

PASSPHRASE = "công nợ tháng 11"


@dataclass
class Locked:
    """A locked file, a clock that is set by hand, and how often the key was to be forgotten everywhere."""

    file: Path
    now: float = 0.0
    forgotten: int = 0
    opened: list[Mail] = field(default_factory=list)

    def unlock(self, typed: str) -> Mail:
        mail = Mail(opening(self.file, sweeps=False, key=key_by(self.file, typed))())
        self.opened.append(mail)
        return mail

    def forget(self) -> None:
        self.forgotten += 1

    @asynccontextmanager
    async def drive(self) -> AsyncIterator[Driven]:
        lock = Lock(self.file.name, self.unlock, self.forget, idle_seconds=300.0)
        app = Reader(None, lock, lambda: self.now)
        async with app.run_test(size=(80, 24)) as pilot:
            driven = Driven(app, pilot, self.file)
            await driven.settle()
            yield driven


@pytest.fixture
def locked(file: Path) -> Locked:
    lock_first(file, PASSPHRASE, lambda *_: None)
    return Locked(file)


async def type_in(reader: Driven, passphrase: str) -> None:
    await reader.press(*("space" if one == " " else one for one in passphrase), "enter")


async def test_the_passphrase_opens_it(locked: Locked) -> None:
    async with locked.drive() as reader:
        assert "home.mailbox is locked" in reader.screen
        await type_in(reader, "another one")
        assert isinstance(reader.app.screen, Unlock)
        assert reader.app.screen.said.text.startswith("! ")
        await type_in(reader, PASSPHRASE)
        assert reader.lines[0].startswith(" INBOX  30 letters")
        await reader.press("slash", *"subject", "enter")
        assert "/subject  30 letters" in reader.lines[0]


async def test_it_is_locked_again_when_no_key_was_pressed(locked: Locked) -> None:
    async with locked.drive() as reader:
        await type_in(reader, PASSPHRASE)
        await reader.press("enter")
        locked.now += 299.0
        await reader.press("j")
        assert "this is letter 30" in reader.screen
        locked.now += 301.0
        await reader.app.look_at_clock()
        await reader.settle()
        assert "this is letter" not in reader.screen
        assert "No key was pressed for 5 minutes." in reader.screen
        assert reader.app.mail is None
        await type_in(reader, PASSPHRASE)
        assert reader.lines[0].startswith(" INBOX  30 letters")
        assert len(locked.opened) == 2


async def test_the_key_that_wakes_it_does_nothing(locked: Locked) -> None:
    """The machine slept: no timer went off before it."""
    async with locked.drive() as reader:
        await type_in(reader, PASSPHRASE)
        locked.now += 301.0
        await reader.press("d")
        assert isinstance(reader.app.screen, Unlock)
        assert reader.app.screen.prompt.value == ""
        await type_in(reader, PASSPHRASE)
        assert "30 letters" in reader.lines[0]


async def test_a_person_locks_it(locked: Locked) -> None:
    async with locked.drive() as reader:
        await type_in(reader, PASSPHRASE)
        await reader.press("L")
        assert "You locked it." in reader.screen
        assert locked.forgotten == 1
        await reader.press("escape")
        assert not reader.app.is_running


async def test_no_passphrase_stays_on_the_screen(locked: Locked) -> None:
    async with locked.drive() as reader:
        await reader.press(*"secret")
        assert "secret" not in reader.screen
        with pytest.raises(UsageError):
            locked.unlock("secret")


async def test_a_file_without_a_lock_says_how_it_gets_one(file: Path) -> None:
    app = Reader(Mail(opening(file, sweeps=False)()))
    async with app.run_test(size=(80, 24)) as pilot:
        reader = Driven(app, pilot, file)
        await reader.press("L")
        assert "postoffice lock FILE" in reader.screen
