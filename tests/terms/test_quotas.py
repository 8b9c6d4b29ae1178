"""A full mailbox is refused for now at RCPT or behind the letter, and its owner is told before it comes to that."""

from __future__ import annotations

import asyncio
from typing import Any

from postoffice.testing.raw import SmtpRaw

BOB = "bob@b.example"
CAROL = "carol@b.example"
HEAD = b"Subject: x\r\n\r\n"


async def send(here: Any, octets: int, *recipients: str, declared: bool = True, door: str = "smtp") -> list[str]:
    """Hand in a letter of that size; gives the replies to each RCPT and, if any was good, to the letter."""
    letter = HEAD + b"x" * (octets - len(HEAD) - 2) + b"\r\n"

    def talk() -> list[str]:
        with SmtpRaw(here.office.port(door)) as client:
            client.ask("LHLO x.example" if door == "lmtp" else "EHLO x.example")
            client.ask("MAIL FROM:<al@x.example>" + (f" SIZE={len(letter)}" if declared else ""))
            replies = []
            for recipient in recipients:
                client.say(f"RCPT TO:<{recipient}>\r\n".encode())
                replies.append(client.reply())
            good = [code for code, _ in replies if code == 250]
            if good:
                assert client.ask("DATA") == 354
                client.say(letter + b".\r\n")
                replies += [client.reply() for _ in (good if door == "lmtp" else good[:1])]
            return [f"{code} {texts[0].split()[0]}" for code, texts in replies]

    here.calendar.now += 2  # what was known a moment ago is looked up again
    return await asyncio.to_thread(talk)


async def count(here: Any, user: str = "bob") -> int:
    return int((await here.log_in("STAT", user=user))[1].split()[1])


async def last_letter(here: Any) -> str:
    number = await count(here)
    letter: str = (await here.log_in(f"RETR {number}"))[1]
    return letter


FINE = ["250 2.1.5", "250 2.0.0"]
FULL = ["452 4.2.2"]


async def test_nothing_set_takes_everything(here: Any) -> None:
    for _ in range(5):
        assert await send(here, 50_000, BOB) == FINE


async def test_so_many_letters_and_no_more(here: Any) -> None:
    await here.set("b.example", quota_letters="20")
    for _ in range(17):
        assert await send(here, 100, BOB) == FINE
    assert await send(here, 100, BOB) == FINE
    assert await count(here) == 19, "the eighteenth is nine tenths: the owner is told"
    assert "Subject: Your mailbox is 90 % full" in await last_letter(here)
    assert await send(here, 100, BOB) == FINE
    assert await send(here, 100, BOB) == FULL
    assert await count(here) == 20
    assert await send(here, 100, CAROL) == FINE, "everybody has a quota of his own"


async def test_a_declared_size_is_refused_at_rcpt_and_another_one_behind_the_letter(here: Any) -> None:
    await here.set(BOB, quota_octets="100K")
    assert await send(here, 60_000, BOB) == FINE
    assert await send(here, 60_000, BOB) == FULL
    assert await send(here, 60_000, BOB, declared=False) == ["250 2.1.5", "452 4.2.2"]
    assert await count(here) == 1
    assert await send(here, 20_000, BOB, declared=False) == FINE


async def test_a_letter_that_never_fits_is_refused_for_good(here: Any) -> None:
    await here.set(BOB, quota_octets="10K")
    assert await send(here, 20_000, BOB) == ["552 5.2.3"]
    assert await send(here, 20_000, BOB, declared=False) == ["250 2.1.5", "552 5.2.3"]


async def test_others_get_their_letter_though_one_mailbox_is_full(here: Any) -> None:
    await here.set(BOB, quota_letters="1")
    await send(here, 100, BOB)
    assert await send(here, 100, BOB, CAROL) == ["452 4.2.2", "250 2.1.5", "250 2.0.0"]
    assert await count(here, "carol") == 1


async def test_lmtp_has_a_last_word_for_each(here: Any) -> None:
    await here.set(BOB, quota_octets="100K")
    assert await send(here, 60_000, BOB) == FINE
    told = await send(here, 60_000, BOB, CAROL, declared=False, door="lmtp")
    assert told == ["250 2.1.5", "250 2.1.5", "452 4.2.2", "250 2.0.0"]


async def test_the_owner_is_told_once_until_there_is_room_again(here: Any) -> None:
    await here.set(BOB, quota_octets="100K")
    assert await send(here, 94_000, BOB) == FINE
    assert await count(here) == 2, "a letter and a warning"
    assert "The mailbox of bob@b.example may hold 102400 octets" in await last_letter(here)
    assert await send(here, 1_000, BOB) == FINE
    assert await count(here) == 3, "no second warning"
    await here.log_in("DELE 1", "DELE 2", "DELE 3", "QUIT")
    assert await send(here, 1_000, BOB) == FINE
    assert await count(here) == 1
    assert await send(here, 94_000, BOB) == FINE
    assert await count(here) == 3, "it was empty meanwhile: told again"


async def test_what_can_be_recovered_takes_no_room(here: Any) -> None:
    await here.set(BOB, quota_letters="2", recovery="7")
    assert await send(here, 100, BOB) == FINE
    assert await send(here, 100, BOB) == FINE
    assert await send(here, 100, BOB) == FULL
    await here.log_in("DELE 1", "DELE 2", "QUIT")
    assert await send(here, 100, BOB) == FINE
