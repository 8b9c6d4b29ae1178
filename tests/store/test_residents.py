"""Whether there is an account, and what arrived for it, is asked once for as long as nobody writes to the office."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.errors import StoreError
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.residents import Resident
from postoffice.store.model import OWNER, Visit
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


async def test_others_are_not_asked_for_again_by_what_happens_to_one(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await new_account(store)).account_id
    carol = (await new_account(store, "carol@b.example")).account_id
    residents = store._premises.residents
    mailbox = await store.office.mailbox(carol)

    async def comes() -> None:
        await deliver(store, text(1), carol)

    async def goes() -> None:
        await mailbox.remove(await keys(mailbox, OWNER), OWNER)

    async def is_filed() -> None:
        await comes()
        await mailbox.absorb()

    for happens in (comes, goes, is_filed):
        residents.look(bob)
        before = residents.look(carol)
        await happens()
        with monkeypatch.context() as patch:
            patch.setattr("postoffice.store.embedded.residents._LOOK", None)
            residents.look(bob)
        assert residents.look(carol) != before


async def test_visits_concern_nobody(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = (await new_account(store)).account_id
    residents = store._premises.residents
    residents.look(bob)
    version = store._premises.version()
    await store.visits.note([Visit(bob, OWNER, 1.0)])
    assert store._premises.version() != version
    monkeypatch.setattr("postoffice.store.embedded.residents._LOOK", None)
    assert residents.look(bob) == Resident(0, 0, 0)


async def test_what_another_process_does_is_seen(store: EmbeddedStore, tmp_path: Path) -> None:
    bob = (await new_account(store)).account_id
    residents = store._premises.residents
    other = EmbeddedStore.open(tmp_path / "data")
    try:
        known = [residents.look(bob)]
        await deliver(other, text(1), bob)
        known.append(residents.look(bob))
        theirs = await other.office.mailbox(bob)
        await theirs.remove(await keys(theirs, OWNER), OWNER)
        known.append(residents.look(bob))
        await deliver(other, text(2), bob)
        known.append(residents.look(bob))
        await theirs.absorb()
        known.append(residents.look(bob))
        assert len(set(known)) == 5
        assert residents.look(bob) == other._premises.residents.look(bob)
        await other.directory.remove_account(bob)
        with pytest.raises(StoreError, match="there is no account"):
            residents.look(bob)
    finally:
        await other.close()


@pytest.mark.parametrize("limit", ["MANY", "MOST_KNOWN"])
async def test_too_much_is_forgotten_altogether(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    accounts = [(await new_account(store, f"user{number}@b.example")).account_id for number in range(5)]
    monkeypatch.setattr(f"postoffice.store.embedded.residents.{limit}", 2)
    residents = store._premises.residents
    for account in accounts:
        residents.look(account)
    await deliver(store, text(1), *accounts[:4])
    assert [residents.look(account).newest > 0 for account in accounts] == [True] * 4 + [False]


async def test_numbers_of_departures_begin_again_behind_who_is_gone(store: EmbeddedStore) -> None:
    bob, carol = [(await new_account(store, f"{name}@b.example")).account_id for name in ("bob", "carol")]
    residents = store._premises.residents
    for account in (carol, bob):  # bob's is the last departure of all
        mailbox = await store.office.mailbox(account)
        await deliver(store, text(account), account)
        await mailbox.remove(await keys(mailbox, OWNER), OWNER)
    residents.look(carol)
    await store.directory.remove_account(bob)
    known = {residents.look(carol)}
    mailbox = await store.office.mailbox(carol)
    await deliver(store, text(9), carol)
    known.add(residents.look(carol))
    await mailbox.remove(await keys(mailbox, OWNER), OWNER)
    known.add(residents.look(carol))
    assert len(known) == 3


async def test_who_does_not_live_here_has_no_mailbox(store: EmbeddedStore) -> None:
    bob = (await new_account(store)).account_id
    mailbox = await store.office.mailbox(bob)
    await store.directory.remove_account(bob)
    for verb in (store.office.mailbox(bob), mailbox.snapshot(OWNER), store.office.mailbox(bob + 1)):
        with pytest.raises(StoreError, match="there is no account"):
            await verb
