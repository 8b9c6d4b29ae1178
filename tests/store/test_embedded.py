"""The embedded engine keeps every promise of the waists, in files."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from postoffice.store.base import Mailbox, Store
from postoffice.store.embedded import EmbeddedStore, MailboxFile
from postoffice.testing.check_store import (
    CHECKS,
    MAILBOX_CHECKS,
    MAILBOX_REOPEN_CHECKS,
    REOPEN_CHECKS,
    Check,
    MailboxOpener,
    Opener,
    name_of,
)
from postoffice.testing.check_store.walk import MailboxCheck

Driver = Callable[[Coroutine[Any, None, None]], Awaitable[int]]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_in_a_task(check: Check, tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "data")
    try:
        await check(store)
        assert await store.office.check() == []
    finally:
        await store.close()


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_driven_by_hand(check: Check, tmp_path: Path, driven: Driver) -> None:
    store = EmbeddedStore.open(tmp_path / "data", open_mailboxes=1)
    try:
        await driven(cast(Any, check(store)))
    finally:
        await store.close()


@pytest.mark.usefixtures("page_octets")
@pytest.mark.parametrize("check", MAILBOX_CHECKS, ids=name_of)
async def test_a_mailbox_at_home(check: MailboxCheck, tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    try:
        await check(mailbox)
        assert await mailbox.check() == []
    finally:
        await mailbox.close()


@pytest.mark.parametrize("check", REOPEN_CHECKS, ids=name_of)
async def test_everything_is_there_after_a_reopening(
    check: Callable[[Opener], Awaitable[None]], tmp_path: Path
) -> None:
    @asynccontextmanager
    async def reopen() -> AsyncIterator[Store]:
        store = EmbeddedStore.open(tmp_path / "data")
        try:
            yield store
        finally:
            await store.close()

    await check(reopen)


@pytest.mark.parametrize("check", MAILBOX_REOPEN_CHECKS, ids=name_of)
async def test_a_mailbox_at_home_is_there_after_a_reopening(
    check: Callable[[MailboxOpener], Awaitable[None]], tmp_path: Path
) -> None:
    @asynccontextmanager
    async def reopen() -> AsyncIterator[Mailbox]:
        mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
        try:
            yield mailbox
        finally:
            await mailbox.close()

    await check(reopen)
