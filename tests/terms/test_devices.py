"""Each device sees every letter until it deletes it itself, and a letter goes when every device has deleted it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from postoffice.accounts import verifiers
from postoffice.accounts.devices import CERTAIN_SECONDS, Devices, count_owner, idle
from postoffice.events import collected
from postoffice.protocols.dots import unstuff
from postoffice.store.model import INBOX, OWNER, REMOVED, Credential, LocalDelivery, Sight, Viewer, Visit
from postoffice.testing.check_store.walk import PREFIX, acceptance, text

BOB = "bob@b.example"
DAY = 86_400.0
HOUR = 3600.0


class House:
    """A town whose bob has devices, and its hourly work, done when a test says so."""

    def __init__(self, here: Any) -> None:
        self.here = here
        login = here.office.open_office._login
        self._devices = Devices(here.store, login.bylaws, "b.example", here.calendar)
        self.visits = here.office.open_office._visits

    async def add(self, name: str) -> None:
        """A device; its password is its name."""
        bob = await self.here.office.account(BOB)
        verifier = verifiers.of_generated(name, BOB, await self.here.store.directory.secret())
        await self.here.store.directory.set_credential(Credential(bob.account_id, name, verifier))

    async def drop(self, name: str) -> None:
        bob = await self.here.office.account(BOB)
        await self.here.store.directory.remove_credential(bob.account_id, name)

    async def tell(self, device: str, *lines: str) -> list[str]:
        return list(await self.here.tell(f"USER {BOB}", f"PASS {device}", *lines))[1:]

    async def ids(self, device: str) -> list[str]:
        """The unique-ids that it sees."""
        return [line.split()[1] for line in (await self.tell(device, "UIDL", "QUIT"))[1].split("|") if line]

    async def delete(self, device: str, *numbers: int) -> None:
        assert (await self.tell(device, *(f"DELE {number}" for number in numbers), "QUIT"))[-1][:3] == "+OK"

    async def work(self) -> None:
        """What an hour brings: what was seen due is done a moment later."""
        await self.visits.write()
        for _ in range(2):
            self.here.calendar.now += HOUR / 2
            await self._devices.work()
            self.here.calendar.now += CERTAIN_SECONDS

    async def put(self, number: int) -> None:
        account = await self.here.office.account(BOB)
        office = self.here.store.office
        letter = await acceptance(office, text(number), (LocalDelivery(account.account_id, PREFIX),))
        await office.accept(replace(letter, accepted=self.here.calendar.now))

    async def mailbox(self) -> Any:
        return await self.here.store.office.mailbox((await self.here.office.account(BOB)).account_id)

    async def kept(self, folder: str = INBOX) -> list[bytes]:
        mailbox = await self.mailbox()
        pieces = await mailbox.read(list((await mailbox.snapshot(folder=folder)).keys))
        return [unstuff(piece.wire) for piece in pieces]

    async def holders(self) -> list[str]:
        return [name for name, sight in await (await self.mailbox()).viewers() if sight is Sight.HOLDS]


@pytest.fixture
async def house(here: Any) -> House:
    house = House(here)
    for name in ("phone", "laptop"):
        await house.add(name)
    return house


async def test_a_letter_stays_until_every_device_has_deleted_it(house: House) -> None:
    for number in range(2):
        await house.put(number)
    ids = await house.ids("phone")
    assert len(ids) == 2
    assert await house.ids("laptop") == await house.ids("secret") == ids, "unique-ids are the same for all"
    await house.delete("phone", 1)
    assert await house.ids("phone") == ids[1:]
    assert await house.ids("laptop") == await house.ids("secret") == ids
    await house.delete("laptop", 1)
    await house.delete("secret", 1, 2)
    assert await house.kept() == [PREFIX + text(1)], "the phone and the laptop have not deleted it"
    assert await house.ids("secret") == []
    await house.delete("phone", 1)
    await house.delete("laptop", 1)
    assert await house.kept() == []


async def test_devices_are_in_the_maildrop_at_the_same_time(house: House) -> None:
    await house.put(1)
    port = house.here.office.port("pop3")
    open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for (reader, writer), device in zip(open_ones, ("phone", "laptop"), strict=True):
        writer.write(f"USER {BOB}\r\nPASS {device}\r\nDELE 1\r\n".encode())
        replies = [await reader.readline() for _ in range(4)]
        assert [reply[:3] for reply in replies] == [b"+OK"] * 4, replies
    assert (await house.tell("phone"))[0].startswith("-ERR [IN-USE]"), "one device has one session"
    for reader, writer in open_ones:
        writer.write(b"QUIT\r\n")
        assert (await reader.readline())[:3] == b"+OK"
        writer.close()
    assert await house.kept() == [PREFIX + text(1)], "the owner has it still"


async def test_a_device_counts_from_its_first_login(house: House) -> None:
    await house.put(1)
    assert await house.holders() == [OWNER], "nobody came yet"
    await house.ids("phone")
    assert await house.holders() == [OWNER, "phone"]
    await house.put(2)
    await house.work()
    assert await house.holders() == ["phone"], "an owner who never came holds nothing back where a device does"
    await house.delete("phone", 1, 2)
    assert await house.kept() == [], "the laptop never came, and the owner never did"
    await house.put(3)
    assert len(await house.ids("secret")) == 1, "an owner who comes sees what is there"
    await house.delete("phone", 1)
    await house.work()
    assert await house.kept() == [PREFIX + text(3)], "and from then on he counts"


async def test_an_owner_who_came_before_all_devices_keeps_his_letters(house: House) -> None:
    await house.ids("secret")
    await house.put(1)
    await house.ids("phone")
    await house.work()
    await house.delete("phone", 1)
    assert len(await house.ids("secret")) == 1


async def test_a_device_that_is_not_used_lapses_and_goes_on_where_it_stopped(house: House) -> None:
    await house.ids("laptop")
    for number in range(3):
        await house.put(number)
    ids = await house.ids("phone")
    await house.delete("phone", 1)
    with collected() as events:
        for day in range(31):
            assert "phone" in await house.holders(), f"it lapsed on day {day}"
            house.here.calendar.now += DAY - HOUR
            if day == 15:
                await house.delete("laptop", 2)
            await house.ids("laptop")
            await house.work()
        await house.work()
    assert await house.holders() == ["laptop"]
    assert (await house.kept())[:2] == [PREFIX + text(0), PREFIX + text(2)], "what waited for the phone alone is gone"
    lapsed = [facts for name, facts in events if name == "device.lapsed" and facts["device"] == "phone"]
    assert [(facts["account"], facts["letters"]) for facts in lapsed] == [(BOB, 1)]
    assert (await house.ids("phone"))[0] == ids[2], "what it had deleted does not come again"
    assert "phone" in await house.holders()


async def test_its_owner_is_warned_once_a_week_before(house: House) -> None:
    await house.put(1)
    await house.ids("phone")
    with collected() as events:
        for _ in range(30):
            house.here.calendar.now += DAY
            await house.ids("laptop")
            await house.work()
    assert [facts["device"] for name, facts in events if name == "device.warned"] == ["phone"]
    [warning] = [letter for letter in await house.kept() if b"\nSubject: A device has not" in letter]
    assert "The device “phone” was last used".encode() in warning
    assert b"1 letters that it has not deleted" in warning


async def test_nobody_lapses_without_a_warning_whatever_happened_meanwhile(house: House) -> None:
    """The office was closed for months, or is restored from an old backup, or the days were set anew."""
    await house.ids("phone")
    await house.put(1)
    house.here.calendar.now += 60 * DAY
    await house.ids("laptop")
    with collected() as events:
        await house.work()
        house.here.calendar.now += 6 * DAY
        await house.work()
        assert "phone" in await house.holders()
        house.here.calendar.now += DAY
        await house.work()
    assert "phone" not in await house.holders()
    assert [name for name, facts in events if facts.get("device") == "phone"] == ["device.warned", "device.lapsed"]


async def test_an_owner_whose_letters_were_brought_in_counts_from_then_on(house: House) -> None:
    bob = await house.here.office.account(BOB)
    await count_owner(house.here.store, bob, house.here.calendar.now)
    await house.put(1)
    await house.ids("phone")
    await house.work()
    assert await house.holders() == [OWNER, "phone"]
    before = await house.here.store.visits.last(bob.account_id)
    house.here.calendar.now += DAY
    await count_owner(house.here.store, bob, house.here.calendar.now)
    assert await house.here.store.visits.last(bob.account_id) == before, "who came is not counted anew"


async def test_the_device_that_came_last_never_lapses(house: House) -> None:
    await house.ids("secret")
    await house.ids("phone")
    house.here.calendar.now += HOUR
    await house.ids("laptop")
    await house.put(1)
    for _ in range(40):
        house.here.calendar.now += 10 * DAY
        await house.work()
    assert await house.holders() == ["laptop"]
    letters = [letter for letter in await house.kept() if b"\nSubject: A device" not in letter]
    assert letters == [PREFIX + text(1)], "a maildrop that nobody looks at keeps its letters"


async def test_a_device_with_a_session_does_not_lapse_meanwhile(house: House) -> None:
    await house.ids("phone")
    await house.put(1)
    bob = await house.here.office.account(BOB)
    lock = await house.here.store.office.lock(bob.account_id, "phone")
    for days in (40, 8):
        house.here.calendar.now += days * DAY
        await house.ids("laptop")
        await house.work()
    assert "phone" in await house.holders()
    await lock.release()
    await house.work()
    assert "phone" not in await house.holders()


@pytest.mark.parametrize(("lapse", "days", "is_there"), [("never", 400, True), ("5", 4, True), ("5", 6, False)])
async def test_how_long_is_set_for_an_account(house: House, lapse: str, days: int, is_there: bool) -> None:
    await house.here.set(BOB, lapse=lapse)
    await house.ids("phone")
    house.here.calendar.now += days * DAY
    await house.ids("laptop")
    await house.work()
    assert ("phone" in await house.holders()) is is_there


async def test_a_removed_device_is_cleared_up_whoever_was_interrupted(house: House) -> None:
    await house.ids("phone")
    await house.put(1)
    await house.ids("laptop")
    await house.delete("laptop", 1)
    await house.work()
    assert len(await house.kept()) == 1
    await house.drop("phone")
    await house.work()
    assert (await house.holders(), await house.kept()) == (["laptop"], [])
    bob = await house.here.office.account(BOB)
    assert set(await house.here.store.visits.last(bob.account_id)) == {"laptop"}


async def test_when_all_devices_are_removed_the_owner_has_what_is_left(house: House) -> None:
    await house.ids("phone")
    await house.put(1)
    await house.work()
    assert await house.holders() == ["phone"]
    await house.drop("phone")
    await house.work()
    assert await house.holders() == [OWNER]
    assert len(await house.kept()) == 1


@pytest.mark.parametrize("how", ["deleted", "lapsed", "removed"])
async def test_what_devices_let_go_can_be_recovered(house: House, how: str) -> None:
    await house.here.set(BOB, recovery="7")
    await house.ids("phone")
    await house.put(1)
    await house.ids("laptop")
    await house.work()
    await house.delete("laptop", 1)
    if how == "deleted":
        await house.delete("phone", 1)
    elif how == "lapsed":
        for days in (24, 7):
            house.here.calendar.now += days * DAY
            await house.work()
            await house.delete("laptop", *range(1, len(await house.ids("laptop")) + 1))
    else:
        await house.drop("phone")
    await house.work()
    assert await house.kept() == []
    assert PREFIX + text(1) in await house.kept(REMOVED)


async def test_login_delay_is_counted_for_each_device(house: House) -> None:
    await house.here.set(BOB, login_delay="60")
    assert [(await house.tell(device, "QUIT"))[0][:3] for device in ("phone", "laptop", "phone")] == [
        "+OK",
        "+OK",
        "-ER",
    ]


async def test_a_crash_of_the_process_forgets_no_device(house: House) -> None:
    """The first visit is durable before the session begins, whatever becomes of notes that wait to be written."""
    await house.ids("phone")
    await house.ids("secret")
    bob = await house.here.office.account(BOB)
    assert set(await house.here.store.visits.last(bob.account_id)) == {OWNER, "phone"}


def test_who_is_idle_is_told_from_the_last_visits() -> None:
    mine, phone, rests = Viewer(OWNER, Sight.HOLDS), Viewer("phone", Sight.HOLDS), Viewer("old", Sight.RESTS)
    came = {name: Visit(1, name, at) for name, at in ((OWNER, 10.0), ("phone", 20.0), ("old", 1.0))}
    assert idle([mine, phone, rests], came, 15.0) == [OWNER]
    assert idle([mine, phone, rests], came, 5.0) == []
    assert idle([mine, phone, rests], came, 30.0) == [OWNER], "who came last is not"
    assert idle([mine], {}, 30.0) == [], "where no device came, nobody is"
    assert idle([mine, phone], {"phone": came["phone"]}, 5.0) == [OWNER], "an owner who never came is"
    assert idle([phone], {}, 30.0) == [], "of whom no visit is known may have come"
