"""An office with bob in it, and mailboxes at home."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from postoffice.client.url import Source
from postoffice.protocols.dots import Unstuffer, stuff
from postoffice.store.base import Mailbox, Store
from postoffice.store.embedded import MailboxFile
from postoffice.store.memory import MemoryMailbox
from postoffice.store.model import Letter
from postoffice.testing.office import TestOffice, run_office

BOB = "bob@b.example"


@pytest.fixture
async def office(store: Store) -> AsyncIterator[TestOffice]:
    async with run_office(store, "b.example", people={BOB: "secret"}) as opened:
        yield opened


@pytest.fixture
def source(office: TestOffice) -> Source:
    return Source("127.0.0.1", office.port("pop3"), BOB)


@pytest.fixture(params=["memory", "file"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Mailbox]:
    file = tmp_path / "home.mailbox"
    opened: Mailbox = MemoryMailbox() if request.param == "memory" else MailboxFile.open(file, create=True)
    yield opened
    await opened.close()


@pytest.fixture
def deliver(office: TestOffice) -> Callable[..., object]:
    """Puts letters into bob's mailbox at the office."""

    async def put(*letters: bytes) -> None:
        mailbox = await office.store.office.mailbox((await office.account(BOB)).account_id)
        for letter in letters:
            stage = await mailbox.stage()
            wire = stuff(letter)
            for start in range(0, len(wire), 100_000):
                await stage.write(wire[start : start + 100_000])
            await mailbox.append([Letter(await stage.finish(), 0.0)])

    return put


@pytest.fixture
def letters_of() -> Callable[[Mailbox], object]:
    """The letters of a mailbox, whole and without dot-stuffing, oldest first."""

    async def read(mailbox: Mailbox) -> list[bytes]:
        letters = []
        for key in (await mailbox.snapshot()).keys:
            plain, unstuffer, index, more = b"", Unstuffer(), 0, True
            while more:
                [piece] = await mailbox.read([key], index)
                assert piece is not None
                plain, index, more = plain + unstuffer.feed(piece.wire), index + 1, piece.more
            letters.append(plain)
        return letters

    return read
