"""What a session promises: who may begin it, what it sees, and what is left when it ends, however it ends."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from typing import Any

import pytest

from postoffice.access.pop3 import Pop3Settings
from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.net.tls import opportunistic_context
from postoffice.store.base import Store
from postoffice.testing.office import run_office
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB, CAROL = "bob@b.example", "carol@b.example"
PEOPLE = {BOB: "secret", CAROL: "with spaces  "}
CLEAR = Config(
    login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)),
    pop3=Pop3Settings(lock_wait_seconds=0.2),
)


class Ports:
    """An office as a client sees it."""

    def __init__(self, port: Callable[[str], int]) -> None:
        self._port = port

    def reader(self, who: str = BOB) -> Pop3Raw:
        client = Pop3Raw(self._port("pop3"))
        assert client.log_in(who, PEOPLE[who]).startswith(b"+OK")
        return client

    def stranger(self) -> Pop3Raw:
        return Pop3Raw(self._port("pop3"))

    def send(self, *subjects: str) -> None:
        for subject in subjects:
            with SmtpRaw(self._port("smtp")) as client:
                client.ask("EHLO a.example")
                assert client.send("x@a.example", [BOB], f"Subject: {subject}\r\n\r\nbody\r\n".encode()) == 250


async def visit(store: Store, visitor: Callable[[Ports], Any], config: Config = CLEAR) -> None:
    async with run_office(store, "b.example", people=PEOPLE, config=config) as office:
        await asyncio.to_thread(visitor, Ports(office.port))


def subjects(client: Pop3Raw) -> list[str]:
    count = int(client.ask("STAT").split()[1])
    return [client.retrieve(number).partition(b"Subject: ")[2].split()[0].decode() for number in range(1, count + 1)]


def quits(client: Pop3Raw) -> None:
    assert client.ask("QUIT").startswith(b"+OK")


def drops(client: Pop3Raw) -> None:
    client.close()


def breaks_off(client: Pop3Raw) -> None:
    client.say(b"QUIT")
    client.close()


def talks_nonsense(client: Pop3Raw) -> None:
    client.say(b"WHAT\r\n" * 20)
    assert client.rest().count(b"-ERR") == 20


@pytest.mark.parametrize(("ends", "left"), [(quits, 0), (drops, 2), (breaks_off, 2), (talks_nonsense, 2)])
async def test_the_lock_ends_with_the_session_however_it_ends(
    store: Store, ends: Callable[[Pop3Raw], None], left: int
) -> None:
    def visitor(office: Ports) -> None:
        office.send("one", "two")
        first = office.reader()
        with office.stranger() as second:
            assert second.log_in(BOB, "secret").startswith(b"-ERR [IN-USE]")
            first.say(b"DELE 1\r\nDELE 2\r\n")
            assert (first.line()[:3], first.line()[:3]) == (b"+OK", b"+OK")
            ends(first)
            deadline = time.monotonic() + 20
            while (reply := second.log_in(BOB, "secret")).startswith(b"-ERR [IN-USE]"):
                assert time.monotonic() < deadline
            assert reply.startswith(b"+OK")
            assert int(second.ask("STAT").split()[1]) == left
        first.close()

    await visit(store, visitor)


async def test_in_use_is_told_only_to_who_knows_the_password(store: Store) -> None:
    def visitor(office: Ports) -> None:
        with office.reader(), office.stranger() as second:
            assert second.log_in(BOB, "wrong").startswith(b"-ERR [AUTH]")
            assert second.log_in("nobody", "secret").startswith(b"-ERR [AUTH]")
            assert second.log_in(BOB, "secret").startswith(b"-ERR [IN-USE]")

    await visit(store, visitor)


async def test_a_session_sees_the_maildrop_as_it_was_at_login(store: Store) -> None:
    def visitor(office: Ports) -> None:
        office.send("one", "two")
        with office.reader() as client:
            before = client.unique_ids()
            assert client.ask("DELE 1").startswith(b"+OK")
            office.send("three")
            assert client.unique_ids() == {2: before[2]}
            assert client.ask("LIST 3").startswith(b"-ERR")
            quits(client)
        with office.reader() as client:
            assert subjects(client) == ["two", "three"]

    await visit(store, visitor)


async def test_letters_are_numbered_in_the_order_in_which_they_came(store: Store) -> None:
    names = [f"n{number}" for number in range(12)]

    def visitor(office: Ports) -> None:
        office.send(*names[:6])
        with office.reader() as client:
            assert subjects(client) == names[:6]
            client.ask("DELE 3")
            quits(client)
        office.send(*names[6:])
        with office.reader() as client:
            assert subjects(client) == [*names[:2], *names[3:]]

    await visit(store, visitor)


async def test_a_unique_id_stays_over_sessions_and_is_not_given_again(store: Store) -> None:
    def visitor(office: Ports) -> None:
        office.send("one", "two")
        with office.reader() as client:
            first = client.unique_ids()
            client.ask("DELE 1")
            client.ask("DELE 2")
            quits(client)
        office.send("one", "two")  # the same octets again
        with office.reader() as client:
            second = client.unique_ids()
            quits(client)
        with office.reader() as client:
            assert client.unique_ids() == second
        assert len({*first.values(), *second.values()}) == 4

    await visit(store, visitor)


async def test_a_password_may_hold_spaces_and_end_with_them(store: Store) -> None:
    def visitor(office: Ports) -> None:
        with office.stranger() as client:
            for wrong in ("with spaces", "with spaces ", " with spaces  ", "with"):
                assert client.log_in(CAROL, wrong).startswith(b"-ERR [AUTH]")
            assert client.log_in(CAROL, PEOPLE[CAROL]).startswith(b"+OK")

    await visit(store, visitor)


async def test_without_tls_the_right_password_is_answered_like_a_wrong_one(store: Store) -> None:
    def visitor(office: Ports) -> None:
        said = []
        for word in ("secret", "wrong"):
            with office.stranger() as client:
                lines = [f"USER {BOB}", f"PASS {word}", "AUTH PLAIN AGJvYkBiLmV4YW1wbGUAc2VjcmV0", "CAPA"]
                said.append([client.ask(line) for line in lines] + [client.block()])
        assert said[0] == said[1]
        assert [line[:4] for line in said[0][:3]] == [b"-ERR"] * 3
        assert b"[AUTH]" not in b"".join(said[0])
        assert b"USER" not in said[0][4].splitlines()
        assert b"SASL" not in said[0][4]

    await visit(store, visitor, Config())


async def test_clear_words_instead_of_a_handshake_end_the_connection(store: Store) -> None:
    def visitor(office: Ports) -> None:
        with office.stranger() as client:
            assert client.ask("STLS").startswith(b"+OK")
            client.say(b"CAPA\r\nUSER bob\r\n")
            assert b"+OK" not in client.rest()
        with office.stranger() as client:  # and nobody else is harmed
            assert client.ask("STLS").startswith(b"+OK")
            client.begin_tls(opportunistic_context())
            assert client.ask("CAPA").startswith(b"+OK")

    await visit(store, visitor)


@pytest.mark.parametrize("word", ["", "something-else/3"])
async def test_what_program_this_is_need_not_be_told(store: Store, word: str) -> None:
    def visitor(office: Ports) -> None:
        with office.stranger() as client:
            assert client.ask("CAPA").startswith(b"+OK")
            told = [line for line in client.block().splitlines() if line.startswith(b"IMPLEMENTATION")]
        assert told == ([f"IMPLEMENTATION {word}".encode()] if word else [])

    await visit(store, visitor, Config(login=CLEAR.login, pop3=Pop3Settings(implementation=word)))
