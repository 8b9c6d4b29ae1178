"""One pull of an account into its mailbox file, and the hook that hears of what came."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.client.collect import Options, Report, collect
from postoffice.client.purse import Purse, renewing
from postoffice.client.url import Source
from postoffice.errors import UsageError
from postoffice.home.hooks import Hooks, introduced
from postoffice.home.mailbox import pulling_into

if TYPE_CHECKING:
    from postoffice.home.config import Account

account_pulled: Final[ContextVar[str]] = ContextVar("account_pulled", default="")
"""The account whose pull runs; also while events of its conversation are told."""


async def pull(account: Account, hooks: Hooks) -> Report:
    """Pull an account of the settings file. Raises what `pull_into` raises."""
    account_pulled.set(account.name)
    source, options = await asyncio.to_thread(account.opened)
    make_folder(account.file)
    return await pull_into(account.file, account.name, source, options, hooks)


def make_folder(file: Path) -> None:
    """That of a mailbox file which the settings name. Raises UsageError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{file.parent}: cannot be made: {error.strerror}", os.EX_CANTCREAT) from error


async def pull_into(file: Path, name: str, source: Source, options: Options, hooks: Hooks) -> Report:
    """Pull a maildrop, and run the hook if letters came, also where the pull failed behind them.

    Raises what `collect` raises, and a UsageError (75) if somebody else pulls into the file.
    """
    came: list[bytes] = []
    try:
        async with pulling_into(file) as mailbox:
            before = set((await mailbox.snapshot()).keys) if hooks.new_mail else set()
            try:
                return await renewing(Purse(), source.user, options, lambda now: collect(source, mailbox, now))
            finally:
                if hooks.new_mail:
                    keys = [key for key in (await mailbox.snapshot()).keys if key not in before]
                    came = await introduced(mailbox, keys)
    finally:
        if came:
            await hooks.letters_came(name, str(file.absolute()), came)
