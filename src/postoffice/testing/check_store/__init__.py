"""What any engine must pass: every promise of `store.base`, as checks that need only the waists.

    CHECKS           take a store that is new and empty
    MAILBOX_CHECKS   take a mailbox that is new and empty, at the office or at home
    REOPEN_CHECKS    take a function that opens the same store again, for engines that outlive their process

A test runs each on each engine with `pytest.mark.parametrize("check", CHECKS, ids=name_of)`; `check_store` runs them
all. The mailbox checks are among `CHECKS` too, on the mailbox of an account.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from postoffice.store.base import Store
from postoffice.testing.check_store.aside import ASIDE_CHECKS
from postoffice.testing.check_store.directory import DIRECTORY_CHECKS
from postoffice.testing.check_store.mailbox import LETTER_CHECKS
from postoffice.testing.check_store.office import OFFICE_CHECKS
from postoffice.testing.check_store.queue import QUEUE_CHECKS
from postoffice.testing.check_store.removal import REMOVAL_CHECKS
from postoffice.testing.check_store.reopen import MAILBOX_REOPEN_CHECKS, REOPEN_CHECKS, MailboxOpener, Opener
from postoffice.testing.check_store.scans import SCAN_CHECKS
from postoffice.testing.check_store.surrogates import MAILBOX_SURROGATES, OFFICE_SURROGATES
from postoffice.testing.check_store.viewers import VIEWER_CHECKS
from postoffice.testing.check_store.visits import VISIT_CHECKS
from postoffice.testing.check_store.walk import Check, MailboxCheck, name_of, on_an_account

MAILBOX_CHECKS: list[MailboxCheck] = [*LETTER_CHECKS, *VIEWER_CHECKS, *ASIDE_CHECKS, *SCAN_CHECKS, *MAILBOX_SURROGATES]
CHECKS: list[Check] = [
    *(on_an_account(check) for check in MAILBOX_CHECKS),
    *OFFICE_CHECKS,
    *OFFICE_SURROGATES,
    *QUEUE_CHECKS,
    *DIRECTORY_CHECKS,
    *VISIT_CHECKS,
    *REMOVAL_CHECKS,
]


async def check_store(make: Callable[[], AbstractAsyncContextManager[Store]]) -> None:
    """Run every check, each on a store of its own."""
    for check in CHECKS:
        async with make() as store:
            await check(store)


__all__ = [
    "CHECKS",
    "MAILBOX_CHECKS",
    "MAILBOX_REOPEN_CHECKS",
    "REOPEN_CHECKS",
    "Check",
    "MailboxOpener",
    "Opener",
    "check_store",
    "name_of",
]
