"""The LMTP door: closed unless named, no relay, and a last word for each recipient that is true of him (RFC 2033)."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from postoffice.app.config import Config, OfficeSettings
from postoffice.app.run import open_doors
from postoffice.errors import UsageError
from postoffice.net.listen import Door, bind_socket
from postoffice.protocols.dots import unstuff
from postoffice.store.base import Store
from postoffice.testing.office import run_office
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.raw import Pop3Raw, SmtpRaw

PEOPLE = {"bob@b.example": "x", "carol@b.example": "x"}
LETTER = b"Subject: from next door\r\n\r\nhello\r\n.\r\n"


def begin(client: SmtpRaw, *recipients: str) -> None:
    assert client.ask("LHLO next.door") == 250
    client.begin("alice@a.example", list(recipients))
    client.say(b"Subject: two\r\n\r\n")


def send(client: SmtpRaw, *recipients: str) -> list[int]:
    """A whole letter; gives the code for each recipient."""
    assert client.ask("LHLO next.door") == 250
    first = client.send("alice@a.example", list(recipients), LETTER)
    return [first, *(client.reply()[0] for _ in recipients[1:])]


async def test_who_moves_out_before_the_final_dot_is_refused_alone(store: Store) -> None:
    now = time.time()
    async with run_office(store, "b.example", people=PEOPLE, clock=lambda: now) as office:
        client = await asyncio.to_thread(SmtpRaw, office.port("lmtp"))
        await asyncio.to_thread(begin, client, "bob@b.example", "carol@b.example")
        await store.directory.remove_account((await office.account("bob@b.example")).account_id)
        now += 60
        await asyncio.to_thread(client.say, b"for both\r\n.\r\n")
        first, second = await asyncio.to_thread(lambda: (client.reply(), client.reply()))
        client.close()
        assert (first[0], first[1][0][:6]) == (550, "5.1.1 ")
        assert (second[0], second[1][0][:6]) == (250, "2.0.0 ")
        assert len(await office.letters("carol@b.example")) == 1


async def test_what_the_store_cannot_take_is_put_off_for_each(store: Store) -> None:
    """The door still remembers who lives here, the store knows better: then nobody has the letter."""
    now = time.time()
    async with run_office(store, "b.example", people=PEOPLE, clock=lambda: now) as office:
        client = await asyncio.to_thread(SmtpRaw, office.port("lmtp"))
        await asyncio.to_thread(begin, client, *PEOPLE)
        await store.directory.remove_account((await office.account("bob@b.example")).account_id)
        await asyncio.to_thread(client.say, b"for both\r\n.\r\n")
        codes = await asyncio.to_thread(lambda: [client.reply()[0], client.reply()[0], client.ask("NOOP")])
        client.close()
        assert codes == [451, 451, 250]
        assert await office.letters("carol@b.example") == []


async def test_where_all_have_moved_out_nothing_is_kept(store: Store) -> None:
    now = time.time()
    async with run_office(store, "b.example", people=PEOPLE, clock=lambda: now) as office:
        client = await asyncio.to_thread(SmtpRaw, office.port("lmtp"))
        await asyncio.to_thread(begin, client, *PEOPLE)
        for address in PEOPLE:
            await store.directory.remove_account((await office.account(address)).account_id)
        now += 60
        await asyncio.to_thread(client.say, b"for nobody\r\n.\r\n")
        codes = await asyncio.to_thread(lambda: [client.reply()[0], client.reply()[0], client.ask("NOOP")])
        client.close()
        assert codes == [550, 550, 250]
        assert await store.office.check() == []


async def test_the_trace_tells_that_it_came_by_lmtp(store: Store) -> None:
    async with run_office(store, "b.example", people=PEOPLE) as office:
        client = await asyncio.to_thread(SmtpRaw, office.port("lmtp"))
        assert await asyncio.to_thread(send, client, *PEOPLE) == [250, 250]
        client.close()
        for address in PEOPLE:
            [wire] = await office.letters(address)
            assert wire.startswith(b"Return-Path: <alice@a.example>\r\nReceived: from ")
            assert b" with LMTP" in wire.partition(b"Subject")[0]
            assert unstuff(wire).endswith(LETTER)


def doors_of(
    ports: dict[str, int], path: Path | None = None, addresses: tuple[str, ...] = ("127.0.0.1",)
) -> dict[str, tuple[str, ...]]:
    """The doors of an office whose other doors are closed."""
    closed = dict.fromkeys(("smtp", "pop3", "submissions", "submission", "pop3s", "metrics"), -1)
    sockets = {"lmtp": path} if path else {}
    office = OfficeSettings(addresses=addresses, port_offset=10000, workers=1, ports=closed | ports, sockets=sockets)
    [doors] = open_doors(Config(office=office))
    told = {name: door.addresses for name, door in doors.items()}
    for door in doors.values():
        for sock in door.sockets:
            sock.close()
    return told


def test_the_door_is_closed_unless_it_is_named() -> None:
    assert doors_of({}) == {}


def test_a_door_that_is_named_is_on_loopback_wherever_the_others_are() -> None:
    [first, *_] = doors_of({"lmtp": 0}, addresses=("0.0.0.0",))["lmtp"]
    assert first.startswith("127.0.0.1:")


def test_a_socket_that_is_named_is_a_door_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    assert doors_of({}, path) == {"lmtp": (str(path),)}
    assert doors_of({}, path) == {"lmtp": (str(path),)}, "the old one is deserted"


def test_a_socket_of_somebody_else_or_a_file_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(UsageError, match="in use"):
            bind_socket([Door("lmtp", ())], path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UsageError):
        bind_socket([Door("lmtp", ())], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_every_worker_answers_at_the_socket_and_what_it_takes_is_in_the_maildrop() -> None:
    with open_folder() as folder:
        make_office(folder / "office", {"bob@b.example": "secret"})
        path = folder / "lmtp"
        config = f'{CLEAR_TEXT}[office.sockets]\nlmtp = "{path}"\n'
        with OfficeProcess(folder / "office", config, ["--workers", "2"]) as office:
            for _ in range(8):
                with SmtpRaw(0, host=str(path)) as client:
                    assert send(client, "bob@b.example", "bob@b.example") == [250, 250]
            with Pop3Raw(office.ports["pop3"]) as reader:
                assert reader.log_in("bob@b.example", "secret").startswith(b"+OK")
                assert len(reader.unique_ids()) == 8
                assert reader.retrieve(1).endswith(LETTER)
