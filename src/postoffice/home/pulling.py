"""One pull of an account to where its letters go, and the hook that hears of what came."""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

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
from postoffice.home.mailbox import pulling_into
from postoffice.home.scanning.outcome import Again, Scanned
from postoffice.store.model import UNSCANNED

if TYPE_CHECKING:
    from postoffice.home.config import Account
    from postoffice.home.scanning.policy import Scanning
    from postoffice.home.scanning.pulling import Scans
    from postoffice.home.scanning.quiet import Quiet
    from postoffice.store.base import Mailbox

account_pulled: Final[ContextVar[str]] = ContextVar("account_pulled", default="")
"""The account whose pull runs; also while events of its conversation are told."""


class Pull(NamedTuple):
    """What is pulled, and where it goes.

    `name` is what hooks and events call it: the account of the settings, or the user. `scanning` None scans nothing;
    `key` opens a mailbox file that is locked, None a plain one, or one whose key is found as `opening` finds it.
    """

    there: Way
    name: str
    source: Source
    options: Options
    hooks: Hooks = Hooks()
    scanning: Scanning | None = None
    key: Key | None = None


class Outcome(NamedTuple):
    """What came, and what of it, and of what came before, was handed over, and is not seen until it is scanned."""

    report: Report
    handed: Handed
    scanned: Scanned

    @property
    def status(self) -> int:
        """For sysexits(3)."""
        if self.handed.status or self.report.refused or self.scanned.waiting.unscanned:
            return self.handed.status or os.EX_TEMPFAIL
        return os.EX_NOINPUT if self.report.absent else os.EX_OK


async def pull(account: Account, hooks: Hooks, quiet: Quiet | None = None) -> Outcome:
    """Pull an account of the settings file, and in the `quiet` moment behind it scan again what needs it. Raises what
    `pull_into` raises."""
    account_pulled.set(account.name)
    source, options = await asyncio.to_thread(account.opened)
    there = account.way()
    make_folder(there.file)
    key = await key_for(account, there.file)
    return await pull_into(Pull(there, account.name, source, options, hooks, account.scanning.wanted, key), quiet)


async def key_for(account: Account, file: Path) -> Key | None:
    """That of the mailbox file of an account, if it is locked. Raises what `key_of` raises."""
    from postoffice.home.locking.finding import key_of

    asking.set(account.asking(asking.get()))
    return await asyncio.to_thread(key_of, file)


def make_folder(file: Path) -> None:
    """That of a mailbox file which the settings name. Raises UsageError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{file.parent}: cannot be made: {error.strerror}", os.EX_CANTCREAT) from error


async def pull_into(wanted: Pull, quiet: Quiet | None = None) -> Outcome:
    """Pull a maildrop, hand over what came if it goes on, and run the hook if letters came, also where the pull, or the
    handing over, failed behind them. At last, what came is added to the file's index, if it was ever searched.

    With a scanner letters are seen, and handed over, that were found clean; those that were held before are scanned
    while the pull goes on, and in the `quiet` moment behind it others that need it. What came is durable on return.

    Raises what `collect` and `Way.through` raise, and a UsageError: 75 if somebody else pulls into the file, 64 if it
    shall be its own copy.
    """
    there, hooks = wanted.there, wanted.hooks
    must_be_another(wanted.options.rules, there.file)
    scans = _scans(wanted.scanning, there.file)
    came: list[bytes] = []
    try:
        is_plain = not there.is_spool and scans is None
        async with pulling_into(there.file, wanted.key, is_spool=there.is_spool, may_wait=is_plain) as mailbox:

            async def pulled() -> Report:
                before = set((await mailbox.snapshot()).keys) if hooks.new_mail else set()
                try:
                    options = wanted.options if scans is None else scans.on(wanted.options)
                    async with scans.of_held(mailbox) if scans is not None else nullcontext():
                        source = wanted.source
                        return await renewing(Purse(), source.user, options, lambda now: collect(source, mailbox, now))
                finally:
                    if hooks.new_mail:
                        keys = [key for key in (await mailbox.snapshot()).keys if key not in before]
                        came.extend(await introduced(mailbox, keys))

            report, handed = await there.through(mailbox, pulled)
            outcome = Outcome(report, handed, await _scanned(scans, mailbox, there.file))
            if scans is not None and quiet is not None:
                await scans.in_quiet(mailbox, quiet, wanted.name, has_new=bool(report.unscanned))
            is_searched = bool(report.letters or outcome.scanned.held.released) and mailbox.has_index()
    finally:
        if came:
            await hooks.letters_came(wanted.name, str(there.place.absolute()), came)
    if is_searched:
        from postoffice.home.search.keeping import keep_up

        await keep_up(there.file, mailbox.key)
    return outcome


def _scans(scanning: Scanning | None, file: Path) -> Scans | None:
    if scanning is None:
        return None
    from postoffice.home.locking.recognizing import is_locked
    from postoffice.home.scanning.pulling import Scans

    return Scans(scanning, file, is_locked=file.exists() and is_locked(file))


async def _scanned(scans: Scans | None, mailbox: Mailbox, file: Path) -> Scanned:
    """What is to be told of scans; where nothing is scanned, of letters that once were held."""
    if scans is not None:
        return await scans.told(mailbox)
    if UNSCANNED not in [folder.name for folder in await mailbox.folders()]:
        return Scanned(Again())
    from postoffice.home.scanning.pulling import of_nobody

    return await of_nobody(mailbox, file)
