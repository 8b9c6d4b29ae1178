"""Whether there is an account, and what arrived for it, is asked once for as long as nobody writes to the office."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.errors import StoreError
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.residents import Resident
from postoffice.store.model import OWNER
from postoffice.testing.check_store.walk import deliver, keys, new_account, text


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "data")
    yield store
    await store.close()


async def test_every_arrival_and_every_departure_is_seen(store: EmbeddedStore) -> None:
    bob = (await new_account(store)).account_id
    residents = store._premises.residents
    assert residents.look(bob) is residents.look(bob)
    known = {residents.look(bob)}
    mailbox = await store.office.mailbox(bob)
    for number in range(3):
        await deliver(store, text(number), bob)
        known.add(residents.look(bob))
    for key in await keys(mailbox, OWNER):
        await mailbox.remove([key], OWNER)
        known.add(residents.look(bob))
    await deliver(store, text(3), bob)
    await mailbox.absorb()
    known.add(residents.look(bob))
    assert len(known) == 8


async def test_nothing_is_asked_while_nobody_writes(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = (await new_account(store)).account_id
    carol = (await new_account(store, "carol@b.example")).account_id
    residents = store._premises.residents
    residents.look(bob)
    with monkeypatch.context() as patch:
        patch.setattr("postoffice.store.embedded.residents._LOOK", None)
        assert residents.look(bob) == Resident(0, 0, 0)
        with pytest.raises(TypeError):
            residents.look(carol)
    await deliver(store, text(1), carol)
    monkeypatch.setattr("postoffice.store.embedded.residents._LOOK", None)
    with pytest.raises(TypeError):
        residents.look(bob)


async def test_who_does_not_live_here_has_no_mailbox(store: EmbeddedStore) -> None:
    bob = (await new_account(store)).account_id
    mailbox = await store.office.mailbox(bob)
    await store.directory.remove_account(bob)
    for verb in (store.office.mailbox(bob), mailbox.snapshot(OWNER), store.office.mailbox(bob + 1)):
        with pytest.raises(StoreError, match="there is no account"):
            await verb
