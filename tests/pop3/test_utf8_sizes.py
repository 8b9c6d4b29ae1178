"""LIST, STAT, RETR and TOP agree about every letter, for who asked for UTF-8 and who did not (RFC 6856 §2.1)."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.conformance.nasty import nasty_letters
from postoffice.protocols.dots import unstuff
from postoffice.store.base import Store
from postoffice.store.memory import MemoryStore
from postoffice.testing.check_store.surrogates import ASCII, OTHERS
from postoffice.testing.check_store.walk import put
from postoffice.testing.office import run_office
from postoffice.testing.raw import Pop3Raw

CONFIG = Config(login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)))
PEOPLE = {"mrose@example.org": "tanstaaf"}
NASTY = [letter.octets if letter.octets.endswith(b"\r\n") else letter.octets + b"\r\n" for letter in nasty_letters()]
LETTERS = [*NASTY, *ASCII, *OTHERS]


def read_all(port: int, *, utf8: bool) -> list[bytes]:
    """Every letter, after all ways to ask for its size agreed about it."""
    with Pop3Raw(port) as client:
        if utf8:
            assert client.ask("UTF8").startswith(b"+OK")
        assert client.log_in("mrose", "tanstaaf").startswith(b"+OK")
        count, total = map(int, client.ask("STAT").split()[1:])
        assert client.ask("LIST").startswith(b"+OK")
        sizes = [int(line.split()[1]) for line in client.block().splitlines()]
        letters = []
        for number in range(1, count + 1):
            assert client.ask(f"RETR {number}").startswith(b"+OK")
            whole = client.block()
            assert client.ask(f"TOP {number} 999999999").startswith(b"+OK")
            assert client.block() == whole, "TOP of all lines is RETR"
            assert client.ask(f"LIST {number}") == b"+OK %d %d" % (number, len(unstuff(whole)))
            letters.append(unstuff(whole))
        assert sizes == [len(letter) for letter in letters]
        assert total == sum(sizes)
        return letters


@pytest.mark.parametrize("utf8", [True, False])
async def test_every_letter_has_the_size_it_is_told_to_have(store: Store, utf8: bool) -> None:
    async with run_office(store, "example.org", people=PEOPLE, config=CONFIG) as office:
        account = await office.account("mrose@example.org")
        await put(await store.office.mailbox(account.account_id), *LETTERS)
        letters = await asyncio.to_thread(read_all, office.port("pop3"), utf8=utf8)
    if utf8:
        assert letters == LETTERS
        return
    for letter, sent in zip(letters, LETTERS, strict=True):
        if any(sent is other for other in OTHERS):
            assert letter != sent
            assert letter[: letter.find(b"\r\n\r\n") % (len(letter) + 1)].isascii()
        elif any(sent is plain for plain in ASCII):
            assert letter == sent


async def test_sessions_of_both_kinds_follow_each_other(store: Store) -> None:
    async with run_office(store, "example.org", people=PEOPLE, config=CONFIG) as office:
        account = await office.account("mrose@example.org")
        await put(await store.office.mailbox(account.account_id), *OTHERS[:3], ASCII[0])
        port = office.port("pop3")
        first = [await asyncio.to_thread(read_all, port, utf8=utf8) for utf8 in (True, False)]
        second = [await asyncio.to_thread(read_all, port, utf8=utf8) for utf8 in (True, False)]
    assert first == second
    assert first[0] == [*OTHERS[:3], ASCII[0]]
    assert [one == other for one, other in zip(*first, strict=True)] == [False, False, False, True]


async def test_flights_of_letters_are_surrogates_too() -> None:
    store = MemoryStore()
    async with run_office(store, "example.org", people=PEOPLE, config=CONFIG) as office:
        account = await office.account("mrose@example.org")
        await put(await store.office.mailbox(account.account_id), *OTHERS[:3], ASCII[0])
        one_by_one = await asyncio.to_thread(read_all, office.port("pop3"), utf8=False)

        def in_one_packet() -> list[bytes]:
            with Pop3Raw(office.port("pop3")) as client:
                client.log_in("mrose", "tanstaaf")
                client.say(b"RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\n")
                return [unstuff((client.line(), client.block())[1]) for _ in range(4)]

        assert await asyncio.to_thread(in_one_packet) == one_by_one
