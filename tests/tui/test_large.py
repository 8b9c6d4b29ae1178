"""A file of 100,000 letters: nothing waits for all of them."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from pathlib import Path

import pytest
from tests.tui.conftest import Drive, letter

from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Flag, Letter
from postoffice.tui.listings import Kind

LETTERS = 100_000


@pytest.fixture
async def large(tmp_path: Path) -> Path:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    for start in range(1, LETTERS + 1, 1000):
        some = []
        for number in range(start, start + 1000):
            stage = await mailbox.stage()
            await stage.write(stuff(letter(number, more=f"In-Reply-To: <{number // 2}@a.example>\r\n")))
            some.append(
                Letter(await stage.finish(), 1_600_000_000.0 + number, flags=Flag.SEEN if number > 1 else Flag(0))
            )
        await mailbox.append(some)
    await mailbox.close()
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_only_what_is_seen_is_asked_for(large: Path, drive: Drive) -> None:
    tracemalloc.start()
    try:
        async with drive(large) as reader:
            assert "1/100,000" in reader.lines[0]
            for key in ("G", "pageup", "g", "n", "enter", "q", "g", "space"):
                await reader.press(key)
            assert len(reader.letters.mail._rows) < 200
            assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
            await reader.press("g", "n")
            assert "no other letter here is unread" in reader.screen
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_list_moves_while_conversations_are_found(large: Path, drive: Drive) -> None:
    """By hand, and not by keys: who presses a key for a test waits until nothing else is done."""
    async with drive(large) as reader:
        rows, longest, moves = reader.letters.rows, 0.0, 0
        await reader.letters.action_threads()
        while rows.listing.kind is Kind.FOLDER:
            began = time.monotonic()
            await rows.move_by(1)
            await asyncio.sleep(0)
            longest, moves = max(longest, time.monotonic() - began), moves + 1
        assert moves > 100
        assert longest < 1.0
        await reader.settle()
        assert reader.lines[0].startswith(" INBOX · conversations  100,000 letters")
        await reader.letters.action_threads()
        await reader.letters.action_threads()
        while not reader.letters.asking.is_conversing:
            await asyncio.sleep(0)
        await reader.letters.action_escape()
        await reader.settle()
        assert "not looked for any more" in reader.screen
        assert reader.letters.rows.listing.kind is Kind.FOLDER
        await reader.letters.action_threads()
        while not reader.letters.asking.is_conversing:
            await asyncio.sleep(0)
        began = time.monotonic()
    assert time.monotonic() - began < 5.0  # whoever leaves does not wait for all of them
