"""The engine in memory keeps every promise of the waists: at once, slowly, and driven by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from postoffice.errors import StoreError
from postoffice.store.base import Mailbox, Store
from postoffice.store.identity import new_email_id, new_email_ids
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.store.slow import SlowStore
from postoffice.testing.check_store import (
    CHECKS,
    MAILBOX_CHECKS,
    MAILBOX_REOPEN_CHECKS,
    REOPEN_CHECKS,
    Check,
    MailboxOpener,
    Opener,
    check_store,
    name_of,
)
from postoffice.testing.check_store.walk import (
    MailboxCheck,
    deliver,
    keys,
    large_text,
    letter,
    must_be_sound,
    new_account,
    put,
    text,
)

Driver = Callable[[Coroutine[Any, None, None]], Awaitable[int]]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_at_once(check: Check, driven: Driver) -> None:
    waits = await driven(cast(Any, check(MemoryStore())))
    assert waits == 0, "an engine that has the answer made its caller wait"


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_made_slow_in_a_task(check: Check) -> None:
    await check(SlowStore(MemoryStore(), seconds=0))


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_made_slow_and_driven_by_hand(check: Check, driven: Driver) -> None:
    waits = await driven(cast(Any, check(SlowStore(MemoryStore(), seconds=0))))
    assert waits > 1, "a slow verb answered at once"


@pytest.mark.parametrize("check", MAILBOX_CHECKS, ids=name_of)
async def test_a_mailbox_needs_no_office(check: MailboxCheck) -> None:
    await check(MemoryMailbox())


@pytest.mark.parametrize("check", REOPEN_CHECKS, ids=name_of)
async def test_a_store_lasts_as_long_as_its_process(check: Callable[[Opener], Awaitable[None]]) -> None:
    store = MemoryStore()

    @asynccontextmanager
    async def reopen() -> AsyncIterator[Store]:
        yield store

    await check(reopen)


@pytest.mark.parametrize("check", MAILBOX_REOPEN_CHECKS, ids=name_of)
async def test_a_mailbox_lasts_as_long_as_its_process(
    check: Callable[[MailboxOpener], Awaitable[None]],
) -> None:
    mailbox = MemoryMailbox()

    @asynccontextmanager
    async def reopen() -> AsyncIterator[Mailbox]:
        yield mailbox

    await check(reopen)


async def test_the_whole_kit_is_one_call() -> None:
    opened: list[Store] = []

    @asynccontextmanager
    async def make() -> AsyncIterator[Store]:
        opened.append(MemoryStore())
        yield opened[-1]

    await check_store(make)
    assert len(opened) == len(CHECKS)


async def test_a_content_is_kept_once_and_goes_with_its_last_letter() -> None:
    store = MemoryStore()
    room = await store.office.free_octets()
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    await deliver(store, large_text("large"), bob.account_id, carol.account_id)
    once = room - await store.office.free_octets()
    assert len(large_text("large")) < once < 1.1 * len(large_text("large"))
    await deliver(store, large_text("large"), bob.account_id)
    assert room - await store.office.free_octets() == once
    for account in (bob, carol):
        mailbox = await store.office.mailbox(account.account_id)
        await mailbox.remove(await keys(mailbox))
    assert await store.office.free_octets() == room


async def test_a_content_that_rotted_is_found() -> None:
    mailbox = MemoryMailbox()
    (key,) = await put(mailbox, text(1))
    await must_be_sound(mailbox)
    mailbox._rows[key].kept.wire = text(2)
    (damage,) = await mailbox.check()
    assert damage.what == "its octets are not those it is named by"


async def test_what_another_engine_staged_is_refused() -> None:
    mailbox = MemoryMailbox()
    known = await letter(mailbox, text(1))
    foreign = known._replace(staged=known.staged._replace(place="spool/1"))
    with pytest.raises(StoreError, match="spool/1 was not staged in memory"):
        await mailbox.append([foreign])
    assert await keys(mailbox) == []


async def test_a_slow_store_closes_the_one_it_wraps() -> None:
    store = MemoryStore()
    slow = SlowStore(store, seconds=0)
    assert await slow.office.lock(1) is not None
    assert await slow.office.lock(1) is None
    await slow.close()
    assert await store.office.lock(1) is not None


def test_email_ids_sort_by_time_and_never_come_twice() -> None:
    ids = [new_email_id(1_700_000_000 + step / 1000) for step in range(2000)]
    assert ids == sorted(ids)
    assert len({new_email_id(1_700_000_000) for _ in range(10_000)} | {*new_email_ids(1_700_000_000, 10_000)}) == 20_000
    assert {len(one) for one in ids} == {26}
    assert all(one.isalnum() and one.islower() and one.isascii() for one in ids)
    assert len(new_email_id(0)) == len(new_email_id(17_000_000_000)) == 26
