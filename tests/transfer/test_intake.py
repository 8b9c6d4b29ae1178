"""Who takes letters is remembered for as long as the directory stays as it is."""

from __future__ import annotations

import pytest

from postoffice.errors import Refusal
from postoffice.message.address import Address
from postoffice.store.base import Store
from postoffice.store.model import Account
from postoffice.transfer import intake
from postoffice.transfer.intake import Intake, IntakeSettings

BOB, THERE = Address("bob", "b.example"), Address("carol", "c.example")


class Day:
    """A clock that stands until it is moved; seconds."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture
async def bob(store: Store) -> Account:
    await store.directory.add_domain("b.example")
    return await store.directory.add_account(str(BOB), 0.0)


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were looked up."""
    addresses: list[str] = []
    find = store.directory.find

    async def noted(address: str) -> Account | None:
        addresses.append(address)
        return await find(address)

    monkeypatch.setattr(store.directory, "find", noted)
    return addresses


@pytest.fixture
async def door(store: Store, day: Day) -> Intake:
    return Intake("b.example", store.office, store.directory, IntakeSettings(), day)


async def test_while_nothing_changes_nobody_is_looked_up_again(
    door: Intake, day: Day, bob: Account, asked: list[str]
) -> None:
    for _ in range(5):
        assert (await door.recipient(BOB)).account == bob
        day.now += 60
    assert asked == [str(BOB)]


async def test_who_was_removed_is_refused_after_a_second(door: Intake, day: Day, store: Store, bob: Account) -> None:
    assert (await door.recipient(BOB)).account == bob
    await store.directory.remove_account(bob.account_id)
    day.now += intake.REMEMBERED_SECONDS
    with pytest.raises(Refusal):
        await door.recipient(BOB)


async def test_what_another_office_took_is_ours_a_second_after_its_domain_came(
    door: Intake, day: Day, store: Store, bob: Account
) -> None:
    assert (await door.recipient(THERE)).account is None
    await store.directory.add_domain(THERE.domain)
    day.now += intake.REMEMBERED_SECONDS
    with pytest.raises(Refusal):
        await door.recipient(THERE)
    carol = await store.directory.add_account(str(THERE), 0.0)
    assert (await door.recipient(THERE)).account == carol


async def test_a_limit_that_is_set_is_there_a_second_later(door: Intake, day: Day, store: Store, bob: Account) -> None:
    assert not (await door.recipient(BOB)).has_quota
    await store.directory.change_settings(str(BOB), {"quota-letters": "5"})
    day.now += intake.REMEMBERED_SECONDS
    assert (await door.recipient(BOB)).has_quota


async def test_not_everybody_is_remembered_for_ever(
    door: Intake, day: Day, bob: Account, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_KNOWN", 3)
    for number in range(5):
        await door.recipient(Address("carol", f"c{number}.example"))
    await door.recipient(BOB)
    day.now += intake.REMEMBERED_SECONDS
    await door.recipient(BOB)
    assert asked == [str(BOB)] * 2


async def test_what_is_looked_up_while_the_directory_changes_is_not_remembered(
    door: Intake, day: Day, store: Store, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_domain = store.directory.has_domain

    async def slowly(domain: str) -> bool:
        found = await has_domain(domain)
        monkeypatch.undo()
        await store.directory.add_domain(THERE.domain)
        day.now += intake.REMEMBERED_SECONDS
        await door.recipient(BOB)
        return found

    monkeypatch.setattr(store.directory, "has_domain", slowly)
    assert (await door.recipient(THERE)).account is None
    carol = await store.directory.add_account(str(THERE), 0.0)
    assert (await door.recipient(THERE)).account == carol
