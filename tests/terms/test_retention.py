"""Letters stay as long as EXPIRE says and not much longer; removed ones can be recovered as long as was said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from postoffice.accounts.retention import Retention
from postoffice.events import collected
from postoffice.store.model import INBOX, OWNER, REMOVED, LocalDelivery
from postoffice.testing.check_store.walk import PREFIX, acceptance, text

BOB = "bob@b.example"
CAROL = "carol@b.example"
DAY = 86_400.0


class House:
    """The daily work of a town, done when a test says so."""

    def __init__(self, here: Any) -> None:
        self.here = here
        store = here.store
        login = here.office.open_office._login
        self._retention = Retention(store.office, store.directory, store.attic, login.bylaws, here.calendar)

    async def work(self) -> None:
        await self._retention.work()

    async def put(self, number: int, address: str = BOB) -> None:
        account = await self.here.office.account(address)
        office = self.here.store.office
        letter = await acceptance(office, text(number), (LocalDelivery(account.account_id, PREFIX),))
        await office.accept(replace(letter, accepted=self.here.calendar.now))

    async def mailbox(self, address: str = BOB) -> Any:
        return await self.here.store.office.mailbox((await self.here.office.account(address)).account_id)

    async def numbers(self, folder: str = INBOX) -> list[int]:
        """Which letters bob has."""
        mailbox = await self.mailbox()
        if folder not in [one.name for one in await mailbox.folders()]:
            return []
        pieces = await mailbox.read(list((await mailbox.snapshot(OWNER, folder)).keys))
        return [int(piece.wire.partition(b"letter ")[2].split()[0]) for piece in pieces]


@pytest.fixture
def house(here: Any) -> House:
    return House(here)


async def test_nothing_set_keeps_everything_for_a_year(here: Any, house: House) -> None:
    await house.put(1)
    for _ in range(365):
        here.calendar.now += DAY
        await house.work()
    assert await house.numbers() == [1]


async def test_in_a_year_every_letter_stays_its_days_and_goes_on_the_next(here: Any, house: House) -> None:
    await here.set(BOB, retain="30")
    with collected() as events:
        for day in range(365):
            await house.work()
            await house.put(day)
            assert await house.numbers() == list(range(max(0, day - 29), day + 1))
            here.calendar.now += DAY
    told = [int(facts["letters"] or 0) for name, facts in events if name == "retention.expired"]
    assert sum(told) == 365 - 30
    assert await here.capabilities("USER bob", "PASS secret") == ["EXPIRE 30"]


async def test_other_accounts_lose_nothing(here: Any, house: House) -> None:
    await here.set(BOB, retain="1")
    await house.put(1, CAROL)
    here.calendar.now += 400 * DAY
    await house.work()
    assert len((await (await house.mailbox(CAROL)).snapshot()).keys) == 1


async def test_what_somebody_looks_at_stays_until_he_has_gone(here: Any, house: House) -> None:
    await here.set(BOB, retain="1")
    await house.put(1)
    here.calendar.now += 2 * DAY
    lock = await here.store.office.lock((await here.office.account(BOB)).account_id)
    await house.work()
    assert await house.numbers() == [1]
    await lock.release()
    await house.work()
    assert await house.numbers() == [], "it is looked at again before the next day"


async def test_a_letter_deleted_by_pop3_is_really_gone_at_once_unless_recovery_is_set(here: Any, house: House) -> None:
    await house.put(1)
    assert (await here.log_in("DELE 1", "QUIT"))[2].startswith("+OK")
    assert await house.numbers(REMOVED) == []


async def test_a_deleted_letter_is_recoverable_for_its_days_and_seen_by_no_maildrop(here: Any, house: House) -> None:
    await here.set(BOB, recovery="7")
    await house.put(1)
    await house.put(2)
    assert (await here.log_in("DELE 1", "QUIT"))[2].startswith("+OK")
    stat = (await here.log_in("STAT"))[1].split()
    assert stat[1:] == ["1", (await here.log_in("LIST 1"))[1].split()[2]], "it counts for nothing"
    here.calendar.now += 7 * DAY - 1
    await house.work()
    assert await house.numbers(REMOVED) == [1]
    here.calendar.now += DAY + 1
    with collected() as events:
        await house.work()
    assert await house.numbers(REMOVED) == []
    assert ("retention.forgotten", 1) in [(name, facts.get("letters")) for name, facts in events]
    assert await house.numbers() == [2]


async def test_what_comes_back_is_fetched_again_and_no_unique_id_is_ever_used_twice(here: Any, house: House) -> None:
    await here.set(BOB, recovery="7")
    await house.put(1)
    given: list[str] = []
    for _ in range(4):
        given.append((await here.log_in("UIDL"))[1].split()[1])
        before = (await here.log_in("RETR 1"))[1]
        assert (await here.log_in("DELE 1", "QUIT"))[2].startswith("+OK")
        mailbox = await house.mailbox()
        await mailbox.move(list((await mailbox.snapshot(OWNER, REMOVED)).keys), INBOX)
        assert (await here.log_in("RETR 1"))[1] == before, "its octets are those it had"
        here.calendar.now += 60
    assert len(set(given)) == len(given)


async def test_what_was_recovered_stays_its_days_again(here: Any, house: House) -> None:
    await here.set(BOB, recovery="7", retain="10")
    await house.put(1)
    here.calendar.now += 9 * DAY
    await here.log_in("DELE 1", "QUIT")
    mailbox = await house.mailbox()
    await mailbox.move(list((await mailbox.snapshot(OWNER, REMOVED)).keys), INBOX)
    here.calendar.now += 9 * DAY
    await house.work()
    assert await house.numbers() == [1]
    here.calendar.now += 2 * DAY
    await house.work()
    assert await house.numbers() == []


async def test_space_comes_back_when_recovery_ends(here: Any, house: House) -> None:
    await here.set(BOB, recovery="1")
    for number in range(20):
        await house.put(number)
    before = await here.store.office.free_octets()
    await here.log_in(*(f"DELE {number}" for number in range(1, 21)), "QUIT")
    here.calendar.now += 2 * DAY
    await house.work()
    mailbox = await house.mailbox()
    assert await mailbox.check() == []
    assert await house.numbers(REMOVED) == []
    if hasattr(here.store.office, "_shelf"):
        assert await here.store.office.free_octets() > before
    else:
        file = mailbox.file()
        assert file is not None
        assert file.ask(lambda db: db.execute("SELECT count(*) FROM contents").get) == 0


async def test_a_removed_account_is_forgotten_when_its_time_is_over_and_that_is_told(here: Any, house: House) -> None:
    await house.put(1)
    account = await here.office.account(BOB)
    await here.store.attic.set_aside(account.account_id, here.calendar.now, here.calendar.now + 7 * DAY)
    here.calendar.now += 7 * DAY - 1
    await house.work()
    assert [one.account for one in await here.store.attic.accounts()] == [account]
    here.calendar.now += DAY
    with collected() as events:
        await house.work()
    assert await here.store.attic.accounts() == []
    told = [facts for name, facts in events if name == "retention.account_forgotten"]
    assert told == [{"account": BOB, "account_id": account.account_id}]
