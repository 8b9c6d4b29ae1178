"""Moving in from a server that runs: unique-ids, order and dates come along, and it goes on where it ended."""

from __future__ import annotations

import os

import pytest

from postoffice.client.collect import Options
from postoffice.client.url import Source
from postoffice.errors import Disconnected, Refused, StoreUnavailable
from postoffice.moving.pulling import pull_in
from postoffice.moving.taking import FLOOR_OCTETS, Report, Witness
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

from .conftest import Move, letters

LETTERS = {
    "z-1": b"Received: from a\r\n\tby b; Mon, 1 Jan 2024 10:00:00 +0000\r\nDate: x\r\n\r\n.\r\n",
    "a-2": b"Received: by b\r\nDate: Mon, 1 Jan 2024 12:00:01 +0200\r\n\r\n",
    "m-3": b"Subject: no date\r\n\r\n",
}


async def pull(port: int, move: Move) -> Report:
    witness = Witness(move.complaints.append, lambda _: None)
    return await pull_in(
        Source("127.0.0.1", port, USER), move.mailbox, Options(PASSWORD, clock=lambda: 7.0, longest_wait=-1.0), witness
    )


async def test_unique_ids_order_and_dates_are_the_servers_and_nothing_is_deleted_there(move: Move) -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        report = await pull(port, move)
        again = await pull(port, move)
    assert await letters(move.mailbox) == LETTERS
    entries = await move.mailbox.describe((await move.mailbox.snapshot()).keys)
    assert [entry.internal_date for entry in entries if entry] == [1704103200, 1704103201, 7.0]
    assert peer.letters == LETTERS
    assert not any(line.startswith("DELE") for line in peer.heard)
    assert (report.total, report.letters, report.octets, report.done) == (3, 3, sum(map(len, LETTERS.values())), 3)
    assert (again.total, again.letters, again.known, move.complaints) == (3, 0, 3, [])


async def test_a_pull_that_ended_in_the_middle_goes_on(move: Move) -> None:
    many = {f"id-{number}": b"Subject: %d\r\n\r\n" % number for number in range(600)}
    peer = Pop3Peer(dict(many), leaves_after=22_000)
    async with peer.listening() as port:
        with pytest.raises(Disconnected):
            await pull(port, move)
        came = len(await letters(move.mailbox))
        peer.leaves_after = None
        report = await pull(port, move)
    assert 0 < came < 600
    assert (report.letters, report.known) == (600 - came, came)
    assert await letters(move.mailbox) == many


async def test_a_unique_id_that_cannot_stay_is_replaced_and_that_is_said(move: Move) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"UIDL": b"+OK\r\n1 twin\r\n2 twin\r\n3 " + b"x" * 71 + b"\r\n.\r\n"})
    async with peer.listening() as port:
        report = await pull(port, move)
        again = await pull(port, move)
    found = await letters(move.mailbox)
    assert (next(iter(found)), list(found.values()), report.renamed) == ("twin", list(LETTERS.values()), 2)
    assert (again.letters, again.known, len(move.complaints)) == (0, 3, 2)


async def test_a_letter_that_the_server_does_not_give_is_named(move: Move) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"RETR 2": b"-ERR it is broken\r\n"})
    async with peer.listening() as port:
        report = await pull(port, move)
    assert (report.letters, report.lost) == (2, 1)
    assert [(str(one), one.loses) for one in move.complaints] == [
        ("127.0.0.1, a-2: the server does not give it: it is broken", True)
    ]


async def test_from_a_server_without_unique_ids_nothing_is_taken(move: Move) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"UIDL": b"-ERR what\r\n"})
    async with peer.listening() as port:
        with pytest.raises(Refused, match="without which nobody can tell") as raised:
            await pull(port, move)
    assert raised.value.status == os.EX_UNAVAILABLE
    assert await letters(move.mailbox) == {}


async def test_room_on_the_disk_is_left_to_others(move: Move) -> None:
    async def free_octets() -> int:
        return FLOOR_OCTETS

    async with Pop3Peer(dict(LETTERS)).listening() as port:
        with pytest.raises(StoreUnavailable, match="full"):
            await pull_in(
                Source("127.0.0.1", port, USER),
                move.mailbox,
                Options(PASSWORD),
                Witness(lambda _: None, lambda _: None),
                free_octets,
            )
    assert await letters(move.mailbox) == {}
