"""What is carried ends once: whatever fails meanwhile here, nothing is doubled, held up or forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from postoffice.app.config import Config
from postoffice.errors import DamagedStore, StoreUnavailable
from postoffice.events import collected
from postoffice.store.base import Office, Store
from postoffice.store.model import Acceptance
from postoffice.testing.office import add_person, run_office
from postoffice.transfer.queue import QueueSettings
from postoffice.transfer.route import Route, RouteSettings

LETTER = b"Subject: over the hills\r\n\r\nDear Bob\r\n"
ALICE = {"alice@a.example": "correct horse"}


class Failing:
    """An office of which a verb fails as often as `failures` says, before it did its work or after."""

    def __init__(self, sound: Office, failures: dict[str, list[Exception]], *, when_done: bool = False) -> None:
        self._sound = sound
        self._failures = failures
        self._when_done = when_done

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._sound, name)

        async def failing(*arguments: Any) -> Any:
            failures = self._failures.get(name)
            answer = await verb(*arguments) if self._when_done or not failures else None
            if failures:
                raise failures.pop()
            return answer

        return failing


@dataclass(frozen=True)
class Shown:
    """A store with another office before the sound one."""

    sound: Store
    office: Any

    @property
    def directory(self) -> Any:
        return self.sound.directory

    @property
    def visits(self) -> Any:
        return self.sound.visits

    @property
    def attic(self) -> Any:
        return self.sound.attic

    async def close(self) -> None:
        await self.sound.close()


@dataclass
class Host:
    """A host that takes letters; it gives its last word when `may_speak` is set."""

    port: int = 0
    letters: list[bytes] = field(default_factory=list)
    may_speak: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 b.example\r\n")
            while line := await reader.readline():
                if line.startswith(b"DATA"):
                    writer.write(b"354 go\r\n")
                    self.letters.append(await reader.readuntil(b"\r\n.\r\n"))
                    await self.may_speak.wait()
                writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def host() -> AsyncIterator[Host]:
    found = Host()
    async with await asyncio.start_server(found.answer, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found
        found.may_speak.set()


def config_for(hosts: dict[str, Host], lease_seconds: float = 600.0) -> Config:
    routes = {domain: Route("127.0.0.1", host.port) for domain, host in hosts.items()}
    queue = QueueSettings(poll_seconds=0.02, retry_minutes=(1 / 6000,), lease_seconds=lease_seconds)
    return Config(relay=RouteSettings(routes=routes), queue=queue)


async def enqueue(store: Store, now: float, *recipients: str, expires: float = 1e10) -> None:
    stage = await store.office.stage()
    await stage.write(LETTER)
    staged = await stage.finish()
    await store.office.accept(
        Acceptance(f"letter {now}", staged, "alice@a.example", now, remote=recipients, expires=now + expires)
    )


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_letter_is_not_sent_again_when_the_store_was_away_as_it_was_taken(store: Store) -> None:
    async with host() as far:
        far.may_speak.set()
        failures: dict[str, list[Exception]] = {"settle": [StoreUnavailable("the committer is gone")]}
        config = config_for({"b.example": far}, lease_seconds=0.3)
        await store.directory.add_domain("a.example")
        await enqueue(store, 1.0, "bob@b.example")
        with collected() as events:
            async with run_office(Shown(store, Failing(store.office, failures)), "a.example", people={}, config=config):
                await until(lambda: any(name == "letter.relayed" for name, _ in events))
        assert len(far.letters) == 1
        assert await store.office.queue() == []


async def test_what_was_settled_unheard_is_not_settled_twice(store: Store) -> None:
    async with host() as far:
        far.may_speak.set()
        failures: dict[str, list[Exception]] = {"settle": [StoreUnavailable("the committer is gone")]}
        office = Failing(store.office, failures, when_done=True)
        await store.directory.add_domain("a.example")
        await enqueue(store, 1.0, "bob@b.example")
        with collected() as events:
            async with run_office(Shown(store, office), "a.example", people={}, config=config_for({"b.example": far})):
                await until(lambda: any(name == "queue.lease_lost" for name, _ in events))
        assert len(far.letters) == 1
        assert await store.office.queue() == []


async def test_a_letter_whose_try_failed_here_waits_for_no_other(store: Store) -> None:
    """What is not carried any more is tried again while the same runner carries another for long."""
    async with host() as slow, host() as quick:
        quick.may_speak.set()
        failures: dict[str, list[Exception]] = {}
        config = config_for({"slow.example": slow, "quick.example": quick}, lease_seconds=0.3)
        await store.directory.add_domain("a.example")
        await enqueue(store, 1.0, "bob@slow.example")
        office = Failing(store.office, failures)
        async with run_office(Shown(store, office), "a.example", people={}, config=config):
            await until(lambda: slow.letters)
            failures["read_item"] = [StoreUnavailable("not now")]
            await enqueue(store, 2.0, "bob@quick.example")
            await until(lambda: quick.letters)
            assert len(slow.letters) == 1, "it is carried still, and by nobody else"
            slow.may_speak.set()


async def test_a_letter_that_cannot_be_read_any_more_still_comes_back_to_its_sender(store: Store) -> None:
    async with host() as far:
        damage: list[Exception] = [DamagedStore("chunk 0 is not there")] * 1000
        await store.directory.add_domain("a.example")
        await add_person(store, *next(iter(ALICE.items())))
        await enqueue(store, 1.0, "bob@b.example", expires=0.0)
        office = Failing(store.office, {"read_item": damage})
        with collected() as events:
            async with run_office(
                Shown(store, office), "a.example", people={}, config=config_for({"b.example": far})
            ) as near:
                await until(lambda: any(name == "letter.failed" for name, _ in events))
                [notice] = await near.letters("alice@a.example")
        assert b"bob@b.example" in notice
        assert await store.office.queue() == []


async def test_who_is_closed_hears_the_last_word_about_what_he_carries(store: Store) -> None:
    async with host() as far:
        await store.directory.add_domain("a.example")
        await enqueue(store, 1.0, "bob@b.example")
        async with run_office(store, "a.example", people={}, config=config_for({"b.example": far})) as near:
            await until(lambda: far.letters)
            closing = asyncio.ensure_future(near.open_office.close(20.0))
            await asyncio.sleep(0)
            far.may_speak.set()
            await closing
        assert await store.office.queue() == []


async def test_what_is_carried_too_slowly_to_wait_for_may_be_carried_by_the_next_at_once(store: Store) -> None:
    async with host() as far:
        await store.directory.add_domain("a.example")
        await enqueue(store, 1.0, "bob@b.example")
        async with run_office(store, "a.example", people={}, config=config_for({"b.example": far})) as near:
            await until(lambda: far.letters)
            await near.open_office.close(0.0)
        [item] = await store.office.queue()
        assert item.leased_until == 0.0
        assert item.recipients == ("bob@b.example",)
