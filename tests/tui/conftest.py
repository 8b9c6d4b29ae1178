"""Mailbox files with letters in them, and the reader driven by keys as a person drives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget

from postoffice.home.mailbox import opening
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX, Flag
from postoffice.testing.files import put, put_into
from postoffice.tui.app import Reader
from postoffice.tui.letters import Letters
from postoffice.tui.mail import Mail

Drive = Callable[..., AbstractAsyncContextManager["Driven"]]


def letter(number: int, *, subject: str = "", more: str = "", text: str = "") -> bytes:
    """A small one; its numbers are those of the list when they are put in from 1."""
    written = f"Sun, 22 Nov 2020 10:{number // 60 % 60:02}:{number % 60:02} +0000"
    subject = subject or f"subject {number}"
    text = text or f"this is letter {number}"
    return (
        f"From: Sender {number} <sender{number}@a.example>\r\nTo: bob@b.example\r\n"
        f"Message-ID: <{number}@a.example>\r\nDate: {written}\r\n"
        f"Subject: {subject}\r\n{more}\r\n{text}\r\n"
    ).encode()


async def add(file: Path, letters: Sequence[bytes], folder: str = INBOX, flags: Flag = Flag.SEEN) -> None:
    """As another program would, while the file is open or not."""
    await put_into(file, *letters, folder=folder, flags=flags, date=1_600_000_000.0)


@dataclass
class Driven:
    """The reader at work."""

    app: Reader
    pilot: Pilot[None]
    file: Path

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Until the workers are done and all is drawn."""
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()
        await self.pilot.pause()  # a sentence of two lines takes room, and then the list is drawn again

    @property
    def letters(self) -> Letters:
        [screen] = [screen for screen in self.app.screen_stack if isinstance(screen, Letters)]
        return screen

    @property
    def strips(self) -> list[Strip]:
        """What stands on the screen, with its styles."""
        width, height = self.app.size
        strips = self.app.screen._compositor.render_strips(self.app.size)
        assert len(strips) == height
        assert all(strip.cell_length == width for strip in strips)
        return strips

    @property
    def lines(self) -> list[str]:
        """The same as text, each line without the blanks at its end."""
        return [strip.text.rstrip() for strip in self.strips]

    @property
    def screen(self) -> str:
        return "\n".join(self.lines)

    @property
    def chosen(self) -> int:
        """The number of the letter that is chosen, as `ls` counts."""
        rows = self.letters.rows
        return rows.listing.numbers[rows.cursor]

    def widget(self, kind: type[Widget]) -> Widget:
        return self.app.screen.query_one(kind)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Thirty letters, of which each tenth is unread."""
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    for number in range(1, 31):
        await put(mailbox, letter(number), flags=Flag(0) if number % 10 == 0 else Flag.SEEN, date=1_600_000_000.0)
    await mailbox.close()
    return path


@pytest.fixture
def drive() -> Drive:
    @asynccontextmanager
    async def driven(file: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Driven]:
        app = Reader(Mail(opening(file, sweeps=False)()))
        async with app.run_test(size=size) as pilot:
            one = Driven(app, pilot, file)
            await one.settle()
            yield one

    return driven


async def facts(file: Path) -> dict[str, list[Flag]]:
    """Of each folder the flags of its letters, as another program finds them."""
    mailbox = MailboxFile.open(file, sweeps=False)
    found = {}
    for folder in await mailbox.folders():
        snapshot = await mailbox.snapshot(folder=folder.name)
        found[folder.name] = [entry.flags for entry in await mailbox.describe(snapshot.keys) if entry]
    await mailbox.close()
    return found
