"""Mailbox files with letters in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter

Fill = Callable[[Sequence[bytes]], Awaitable[Path]]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Puts letters into a mailbox file, which is made by the first ones, and gives its path."""

    async def put(letters: Sequence[bytes]) -> Path:
        path = tmp_path / "home.mailbox"
        mailbox = MailboxFile.open(path, create=True)
        for letter in letters:
            stage = await mailbox.stage()
            await stage.write(stuff(letter))
            await mailbox.append([Letter(await stage.finish(), 1_000_000_000.0)])
        await mailbox.close()
        return path

    return put
