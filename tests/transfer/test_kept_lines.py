"""A line to another office carries one letter after the other, and no letter suffers where that goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.transfer.test_relay import ZONE, config_for, submit, until

from postoffice.events import collected
from postoffice.store.base import Store
from postoffice.testing.dns import FakeDNS
from postoffice.testing.office import TestOffice, run_office
from postoffice.transfer.line import LETTERS_OF_A_LINE


class Host:
    """Another office, without TLS. Of each visit it has what was said in it, letters as `letter`.

    `leaves_after` letters it hangs up without a word; to the MAIL behind so many it says `tired`.
    """

    def __init__(self, leaves_after: int = 1_000, tires_after: int = 1_000, tired: bytes = b"") -> None:
        self.visits: list[list[str]] = []
        self._leaves_after = leaves_after
        self._tires_after = tires_after
        self._tired = tired

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: list[str] = []
        self.visits.append(said)
        writer.write(b"220 host\r\n")
        while line := await reader.readline():
            verb = line.split()[0].decode().upper()
            said.append(verb)
            if verb == "EHLO":
                writer.write(b"250-host\r\n250 PIPELINING\r\n")
            elif verb == "MAIL" and said.count("letter") >= self._tires_after:
                writer.write(self._tired)
                break
            elif verb == "DATA":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                said.append("letter")
                writer.write(b"250 taken\r\n")
                if said.count("letter") == self._leaves_after:
                    break
            elif verb == "QUIT":
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()


@asynccontextmanager
async def sending_to(host: Host, store: Store) -> AsyncIterator[TestOffice]:
    """An office that carries one letter at a time to that host."""
    server = await asyncio.start_server(host.answer, "127.0.0.1", 0)
    async with server, FakeDNS(ZONE) as dns:
        config = config_for(dns, server.sockets[0].getsockname()[1], carriers=1)
        async with run_office(store, "a.example", people={"alice@a.example": "correct horse"}, config=config) as near:
            yield near


async def send(near: TestOffice, letters: int) -> None:
    """So many letters, until all are relayed; none is put off."""
    with collected() as events:
        for _ in range(letters):
            await asyncio.to_thread(submit, near, ["bob@b.example"])
        await until(lambda: sum(name == "letter.relayed" for name, _ in events) == letters)
    assert not [name for name, _ in events if name in ("letter.deferred", "letter.failed", "queue.failed")]
    assert await near.store.office.queue() == []


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is kept for longer than a slow machine needs for the next letter."""
    monkeypatch.setattr("postoffice.transfer.line.KEPT_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
async def test_one_line_carries_all_and_is_ended_with_a_word_when_the_office_closes(store: Store) -> None:
    host = Host()
    async with sending_to(host, store) as near:
        await send(near, 3)
    await until(lambda: host.visits[0][-1] == "QUIT")
    assert host.visits == [["EHLO", *["MAIL", "RCPT", "DATA", "letter"] * 3, "QUIT"]]


@pytest.mark.usefixtures("patient")
async def test_who_hung_up_meanwhile_is_called_again(store: Store) -> None:
    host = Host(leaves_after=1)
    async with sending_to(host, store) as near:
        await send(near, 3)
    assert [visit.count("letter") for visit in host.visits] == [1, 1, 1]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("tired", [b"421 too many letters\r\n", b"452 not now\r\n"])
async def test_who_takes_no_more_on_this_line_is_called_again(store: Store, tired: bytes) -> None:
    host = Host(tires_after=2, tired=tired)
    async with sending_to(host, store) as near:
        await send(near, 5)
    assert [visit.count("letter") for visit in host.visits] == [2, 2, 1]


async def test_a_line_that_nobody_needs_is_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postoffice.transfer.line.KEPT_SECONDS", 0.01)
    host = Host()
    async with sending_to(host, store) as near:
        await send(near, 1)
        await until(lambda: host.visits[0][-1] == "QUIT")
        await send(near, 1)
    assert len(host.visits) == 2


@pytest.mark.usefixtures("patient")
async def test_no_line_is_kept_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LETTERS_OF_A_LINE < 1000
    monkeypatch.setattr("postoffice.transfer.line.LETTERS_OF_A_LINE", 2)
    host = Host()
    async with sending_to(host, store) as near:
        await send(near, 5)
    assert [visit.count("letter") for visit in host.visits] == [2, 2, 1]
