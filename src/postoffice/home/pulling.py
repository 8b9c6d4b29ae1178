"""One pull of an account to where its letters go, and the hook that hears of what came."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.client.collect import Options, Report, collect
from postoffice.client.purse import Purse, renewing
from postoffice.client.url import Source
from postoffice.database.key import Key
from postoffice.errors import UsageError
from postoffice.handing.round import Handed
from postoffice.handing.way import Way
from postoffice.home.copies import must_be_another
from postoffice.home.hooks import Hooks, introduced
from postoffice.home.locking.asking import asking
from postoffice.home.locking.finding import key_of
from postoffice.home.mailbox import pulling_into

if TYPE_CHECKING:
    from postoffice.home.config import Account

account_pulled: Final[ContextVar[str]] = ContextVar("account_pulled", default="")
"""The account whose pull runs; also while events of its conversation are told."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came, and what of it, and of what came before, was handed over."""

    report: Report
    handed: Handed

    @property
    def status(self) -> int:
        """For sysexits(3)."""
        if self.handed.status or self.report.refused:
            return self.handed.status or os.EX_TEMPFAIL
        return os.EX_NOINPUT if self.report.absent else os.EX_OK


async def pull(account: Account, hooks: Hooks) -> Outcome:
    """Pull an account of the settings file. Raises what `pull_into` raises."""
    account_pulled.set(account.name)
    source, options = await asyncio.to_thread(account.opened)
    there = account.way()
    make_folder(there.file)
    key = await key_for(account, there.file)
    return await pull_into(there, account.name, source, options, hooks, key)


async def key_for(account: Account, file: Path) -> Key | None:
    """That of the mailbox file of an account, if it is locked. Raises what `key_of` raises."""
    asking.set(account.asking(asking.get()))
    return await asyncio.to_thread(key_of, file)


def make_folder(file: Path) -> None:
    """That of a mailbox file which the settings name. Raises UsageError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{file.parent}: cannot be made: {error.strerror}", os.EX_CANTCREAT) from error


async def pull_into(
    there: Way, name: str, source: Source, options: Options, hooks: Hooks, key: Key | None = None
) -> Outcome:
    """Pull a maildrop, hand over what came if it goes on, and run the hook if letters came, also where the pull, or the
    handing over, failed behind them. At last, what came is added to the file's index, if it was ever searched.

    Raises what `collect` and `Way.through` raise, and a UsageError: 75 if somebody else pulls into the file, 64 if it
    shall be its own copy.
    """
    must_be_another(options.rules, there.file)
    came: list[bytes] = []
    try:
        async with pulling_into(there.file, key) as mailbox:

            async def pulled() -> Report:
                before = set((await mailbox.snapshot()).keys) if hooks.new_mail else set()
                try:
                    return await renewing(Purse(), source.user, options, lambda now: collect(source, mailbox, now))
                finally:
                    if hooks.new_mail:
                        keys = [key for key in (await mailbox.snapshot()).keys if key not in before]
                        came.extend(await introduced(mailbox, keys))

            outcome = Outcome(*await there.through(mailbox, pulled))
            is_searched = bool(outcome.report.letters) and mailbox.has_index()
    finally:
        if came:
            await hooks.letters_came(name, str(there.place.absolute()), came)
    if is_searched:
        from postoffice.home.search.keeping import keep_up

        await keep_up(there.file, mailbox.key)
    return outcome
