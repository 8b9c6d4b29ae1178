"""Mailbox files with letters in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from postoffice.testing.files import put_into

Fill = Callable[[Sequence[bytes]], Awaitable[Path]]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Puts letters into a mailbox file, which is made by the first ones, and gives its path."""

    async def put(letters: Sequence[bytes]) -> Path:
        path = tmp_path / "home.mailbox"
        await put_into(path, *letters, date=1_000_000_000.0)
        return path

    return put
