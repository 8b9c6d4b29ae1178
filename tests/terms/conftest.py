"""An office whose clock stands still until a test moves it, and one line in, one reply out."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from postoffice.access.pop3 import Pop3Settings
from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config, OfficeSettings
from postoffice.store.base import Store
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.memory import MemoryStore
from postoffice.testing.office import TestOffice, run_office

NOON = 1_700_000_000.0
DAY = 86_400.0
BOB = "bob@b.example"
CAROL = "carol@b.example"


@dataclass
class Calendar:
    """A clock that a test moves."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Town:
    """An office and its clock. `tell` talks to the POP3 door, `post` to the SMTP door."""

    office: TestOffice
    store: Store
    calendar: Calendar

    async def tell(self, *lines: str, door: str = "pop3") -> list[str]:
        """A whole conversation: the last line of the reply to each line; a listing as its lines joined by `|`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.office.port(door))
        try:
            await reader.readline()
            return [await _ask(reader, writer, line) for line in lines]
        finally:
            writer.close()
            await writer.wait_closed()

    async def log_in(self, *lines: str, user: str = BOB) -> list[str]:
        """The same behind a login; the first of the replies is that to PASS."""
        return (await self.tell(f"USER {user}", "PASS secret", *lines))[1:]

    async def capabilities(self, *lines: str) -> list[str]:
        """CAPA, behind these lines if there are any: what it says of EXPIRE and LOGIN-DELAY."""
        listing = (await self.tell(*lines, "CAPA"))[-1].split("|")
        return [line for line in listing if line.startswith(("EXPIRE", "LOGIN-DELAY"))]

    async def set(self, owner: str, **settings: str) -> None:
        changes = {key.replace("_", "-"): value for key, value in settings.items()}
        await self.store.directory.change_settings(owner, changes)


_LISTINGS = ("CAPA", "UIDL", "LIST")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str) -> str:
    writer.write(f"{line}\r\n".encode())
    async with asyncio.timeout(20):
        reply = (await reader.readline()).decode().rstrip()
        if not reply.startswith("+OK") or not (line in _LISTINGS or line.startswith("RETR")):
            return reply
        lines = []
        while (more := (await reader.readline()).decode().rstrip()) != ".":
            lines.append(more)
        return "|".join(lines)


@asynccontextmanager
async def town(store: Store, calendar: Calendar) -> AsyncIterator[Town]:
    config = replace(
        Config(),
        office=OfficeSettings(tidy_seconds=DAY),  # tests keep house themselves
        login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)),
        pop3=Pop3Settings(lock_wait_seconds=0.0),
    )
    people = {BOB: "secret", CAROL: "secret"}
    async with run_office(store, "b.example", people=people, config=config, clock=calendar) as office:
        yield Town(office, store, calendar)


@pytest.fixture(params=["memory", "embedded"])
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    """A town on each engine."""
    calendar = Calendar()
    store: Store = (
        MemoryStore(calendar) if request.param == "memory" else EmbeddedStore.open(tmp_path / "data", clock=calendar)
    )
    try:
        async with town(store, calendar) as it:
            yield it
    finally:
        await store.close()
