"""A hook has a time limit, and whatever it began ends with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postoffice.errors import Refused
from postoffice.events import collected
from postoffice.home import hooks
from postoffice.home.hooks import Hooks


async def test_a_hook_that_takes_too_long_is_killed_with_what_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "HOOK_SECONDS", 0.2)
    pipe = tmp_path / "pipe"
    await (await asyncio.create_subprocess_exec("mkfifo", pipe)).wait()
    reader = asyncio.create_task(asyncio.to_thread(pipe.read_bytes))  # until nobody has it open for writing any more
    with collected() as told:
        await Hooks(new_mail=f"(sleep 1000 & sleep 1000) > {pipe}").letters_came("me", "m", [])
    assert told == [("home.hook_failed", {"hook": "new_mail", "because": "it took more than 0 s"})]
    assert await reader == b""


async def test_what_a_server_said_is_safe_to_print(tmp_path: Path) -> None:
    words = tmp_path / "words"
    command = f'printf %s "$POSTOFFICE_STATUS $POSTOFFICE_BECAUSE" > {words}'
    await Hooks(failed=command).account_failed("me", Refused("it said \x1b[2J$(reboot)", 77))
    assert words.read_text() == "77 it said \N{REPLACEMENT CHARACTER}[2J$(reboot)"
