"""A pull brings every letter home once and exactly, from our own office on every engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from postoffice.client.collect import Options, collect
from postoffice.client.rules import NOW
from postoffice.client.url import Source
from postoffice.errors import Disconnected, Refused
from postoffice.events import collected, listen
from postoffice.net.tls import client_context
from postoffice.store.base import Mailbox
from postoffice.store.embedded import MailboxFile
from postoffice.testing.office import TestOffice

Deliver = Callable[..., Awaitable[None]]
Read = Callable[[Mailbox], Awaitable[list[bytes]]]

LETTERS = [
    b"Subject: one\r\n\r\nhello\r\n",
    b"",
    b".a dot begins it\r\n..\r\n.\r\nand another\r\n",
    b"\xff\x00 bare \n and \r inside\r\n",
    b"\r\n",
    b"no line end at the end\r\n" * 2000,
]


def options(office: TestOffice, *, delete: bool = False, password: str = "secret") -> Options:
    return Options(password, tls=client_context(office.certificate), rules=(NOW,) if delete else ())


async def test_what_was_pulled_is_exactly_what_the_office_has(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    await deliver(*LETTERS)
    report = await collect(source, home, options(office))
    assert await letters_of(home) == LETTERS
    assert (report.letters, report.octets, report.known) == (len(LETTERS), sum(map(len, LETTERS)), 0)
    assert (report.different, report.refused, report.deleted) == (0, 0, 0)
    assert len(await office.letters("bob@b.example")) == len(LETTERS), "a pull removes nothing unless it is told to"


async def test_a_letter_with_a_header_in_utf8_comes_home_as_it_was_sent(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    letter = "Subject: Quê hương\r\n\r\nlà chùm khế ngọt\r\n".encode()
    await deliver(letter)
    report = await collect(source, home, options(office))
    assert await letters_of(home) == [letter]
    assert (report.octets, report.different) == (len(letter), 0)


async def test_a_second_pull_fetches_only_what_is_new(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    await deliver(*LETTERS[:2])
    await collect(source, home, options(office))
    with collected() as events:
        report = await collect(source, home, options(office))
    assert (report.letters, report.known) == (0, 2)
    assert "home.fetched" not in [name for name, _ in events]
    await deliver(*LETTERS[2:])
    report = await collect(source, home, options(office))
    assert (report.letters, report.known) == (len(LETTERS) - 2, 2)
    assert await letters_of(home) == LETTERS


async def test_unique_ids_of_the_office_stay_at_home(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver
) -> None:
    await deliver(*LETTERS)
    await collect(source, home, options(office))
    there = [entry.unique_id for entry in await office.entries("bob@b.example") if entry]
    assert list((await home.snapshot()).unique_ids) == there


async def test_what_is_deleted_at_the_office_is_at_home(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    await deliver(*LETTERS)
    report = await collect(source, home, options(office, delete=True))
    assert report.deleted == len(LETTERS)
    assert await letters_of(home) == LETTERS
    assert await office.letters("bob@b.example") == []


async def test_a_cut_between_keeping_and_deleting_costs_no_second_fetch(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    await deliver(*LETTERS)
    stop = listen(lambda name, _: office.open_office.cut() if name == "home.kept" else None)
    with pytest.raises(Disconnected):
        await collect(source, home, options(office, delete=True)._replace(longest_wait=-1.0))
    stop()
    assert await letters_of(home) == LETTERS
    assert len(await office.letters("bob@b.example")) == len(LETTERS), "without QUIT nothing is removed"
    report = await collect(source, home, options(office, delete=True))
    assert (report.letters, report.known, report.deleted) == (0, len(LETTERS), len(LETTERS))
    assert await office.letters("bob@b.example") == []
    assert await letters_of(home) == LETTERS


async def test_a_large_letter_comes_whole(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    large = b"".join(b".%d dots and numbers\r\n" % number for number in range(140_000))
    assert len(large) > 3_000_000
    await deliver(large, *LETTERS)
    report = await collect(source, home, options(office))
    assert report.octets == len(large) + sum(map(len, LETTERS))
    assert await letters_of(home) == [large, *LETTERS]


async def test_many_letters_go_in_windows(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver, letters_of: Read
) -> None:
    many = [b"Subject: %d\r\n\r\n" % number + b".x\r\n" * number for number in range(150)]
    await deliver(*many)
    narrow = options(office)._replace(window_letters=7, window_octets=2000, batch_letters=7)
    report = await collect(source, home, narrow)
    assert report.letters == 150
    assert await letters_of(home) == many


async def test_an_implicit_tls_source_is_the_same_maildrop_by_another_way(
    office: TestOffice, source: Source, home: Mailbox, deliver: Deliver
) -> None:
    await deliver(*LETTERS)
    secured = Source("127.0.0.1", office.port("pop3s"), source.user, implicit_tls=True)
    with collected() as events:
        report = await collect(secured, home, options(office))
    assert report.letters == len(LETTERS)
    assert str(dict(events)["home.connected"]["tls"]).startswith("TLSv1")
    if isinstance(home, MailboxFile):
        assert await home.check() == []


async def test_a_wrong_password_is_told_as_one(office: TestOffice, source: Source, home: Mailbox) -> None:
    with pytest.raises(Refused, match="refused the login of bob") as caught:
        await collect(source, home, options(office, password="guess"))
    assert caught.value.status == 77


async def test_an_office_whose_certificate_nobody_knows_gets_no_password(
    office: TestOffice, source: Source, home: Mailbox
) -> None:
    with pytest.raises(Disconnected, match="its certificate is not trusted"), collected() as events:
        await collect(source, home, Options("secret", tls=client_context()))
    assert "login.failed" not in [name for name, _ in events]
