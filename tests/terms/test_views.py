"""A session may show the last days or the newest letters alone; what it does not show it never deletes."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

from postoffice.store.model import LocalDelivery
from postoffice.testing.check_store.walk import PREFIX, acceptance, text

BOB = "bob@b.example"
DAY = 86_400.0


async def put_one_a_day(here: Any, days: int) -> None:
    """Letters 1, 2, ... with a day between them; the last one came a second ago."""
    account = await here.office.account(BOB)
    office = here.store.office
    start = here.calendar.now
    for number in range(1, days + 1):
        here.calendar.now = start + number * DAY
        letter = await acceptance(office, text(number), (LocalDelivery(account.account_id, PREFIX),))
        await office.accept(replace(letter, accepted=here.calendar.now))
    here.calendar.now += 1


async def subjects(here: Any, user: str = "bob") -> list[str]:
    """Which letters a session shows, in its order."""
    count = int((await here.log_in("STAT", user=user))[1].split()[1])
    tops = (await here.log_in(*(f"RETR {number}" for number in range(1, count + 1)), user=user))[1:]
    return [top.partition("letter ")[2].partition("|")[0] for top in tops]


async def test_the_whole_maildrop_is_shown_oldest_first_unless_somebody_wants_less(here: Any) -> None:
    await put_one_a_day(here, 12)
    assert await subjects(here) == [str(number) for number in range(1, 13)]
    wrong = await here.tell("USER bob", "PASS wrong")
    assert (await here.log_in(user="recent:bob")) == wrong[1:], "without the setting there is no such name"


async def test_recent_shows_the_last_days_to_whoever_asks_for_them_by_name(here: Any) -> None:
    await put_one_a_day(here, 12)
    await here.set(BOB, recent="3")
    assert await subjects(here, "recent:bob") == ["10", "11", "12"]
    assert await subjects(here, "Recent:bob@b.example") == ["10", "11", "12"]
    assert len(await subjects(here)) == 12
    plain = b64encode(b"\0recent:bob\0secret").decode()
    stat = (await here.tell(f"AUTH PLAIN {plain}", "STAT"))[1]
    assert stat.split()[1] == "3"
    here.calendar.now += 10 * DAY
    assert await subjects(here, "recent:bob") == []


async def test_the_newest_are_listed_where_only_so_many_are(here: Any) -> None:
    await put_one_a_day(here, 12)
    await here.set(BOB, max_listed="5", recent="3")
    assert await subjects(here) == ["8", "9", "10", "11", "12"]
    assert await subjects(here, "recent:bob") == ["10", "11", "12"]
    await here.set(BOB, max_listed="2")
    assert await subjects(here, "recent:bob") == ["11", "12"]
    await here.set(BOB, max_listed="100")
    assert len(await subjects(here)) == 12


async def test_numbers_sizes_and_unique_ids_are_those_of_the_letters_shown(here: Any) -> None:
    await put_one_a_day(here, 6)
    whole = (await here.log_in("UIDL", "LIST"))[1:]
    await here.set(BOB, max_listed="2")
    part = (await here.log_in("UIDL", "LIST"))[1:]
    for all_lines, some in zip(whole, part, strict=True):
        facts = [line.split()[1] for line in all_lines.split("|")[-2:]]
        assert some.split("|") == [f"1 {facts[0]}", f"2 {facts[1]}"]
    assert (await here.log_in("RETR 3"))[1].startswith("-ERR")


async def test_what_is_not_listed_is_not_deleted(here: Any) -> None:
    await put_one_a_day(here, 6)
    await here.set(BOB, max_listed="2", recent="1")
    assert (await here.log_in("DELE 1", "DELE 2", "QUIT"))[3].startswith("+OK")
    assert await subjects(here) == ["3", "4"], "those before come up"
    assert (await here.log_in("RSET", "QUIT", user="recent:bob"))[2].startswith("+OK")
    await here.set(BOB, max_listed="")
    assert await subjects(here) == ["1", "2", "3", "4"]
