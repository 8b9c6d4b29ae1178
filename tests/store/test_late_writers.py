"""Who writes while something else happens to the mailbox: nothing is said to be kept that nobody will read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.accounts.leaving import leave
from postoffice.errors import StoreError, StoreUnavailable
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.locks import MOVING
from postoffice.store.model import MOVER, OWNER, Credential, Sight
from postoffice.testing.check_store.walk import deliver, keys, letter, new_account, put, seen, text


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "data")
    yield store
    await store.close()


@pytest.mark.parametrize("name", [MOVER, "phone"])
async def test_an_account_does_not_go_while_letters_move_in_or_a_device_comes(store: EmbeddedStore, name: str) -> None:
    account = await new_account(store)
    await store.directory.set_credential(Credential(account.account_id, "phone", "$generated$x"))
    lock = await store.office.lock(account.account_id, name)
    assert lock is not None
    with pytest.raises(StoreUnavailable, match="somebody is in the maildrop"):
        await leave(store, account, 1.0, None)
    await lock.release()
    await leave(store, account, 1.0, None)
    assert await store.directory.accounts() == []


async def test_nothing_is_written_into_a_file_that_was_taken_away(store: EmbeddedStore) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    await put(mailbox, text(1))
    late = await letter(mailbox, text(2))
    await store.directory.remove_account(account.account_id)
    with pytest.raises(StoreError):
        await mailbox.append([late])
    with pytest.raises(StoreError):
        await mailbox.set_viewer("phone", Sight.HOLDS)


async def test_a_device_that_comes_while_a_letter_is_removed_still_sees_it(store: EmbeddedStore) -> None:
    """Who removes waits for the right to move arrivals, and looks again at who wants them."""
    import asyncio

    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    await put(mailbox, text(0))
    await deliver(store, text(1), account.account_id)
    [_, arrival] = await keys(mailbox, OWNER)
    moving = store._premises.locks.take(account.account_id, MOVING)
    assert moving is not None
    removing = asyncio.ensure_future(mailbox.remove([arrival], OWNER))
    await asyncio.sleep(0)
    file = mailbox.file()
    assert file is not None
    await file.set_viewer("phone", Sight.HOLDS)
    moving.give_back()
    await removing
    assert len(await seen(mailbox, "phone")) == 2
