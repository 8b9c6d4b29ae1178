"""A mailbox at rest is looked at without opening it, and what is seen is never older than the file."""

from __future__ import annotations

import gc
import os
from array import array
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postoffice.clock import system_clock
from postoffice.database.sqlite import Connection
from postoffice.errors import StoreError
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded import glimpse as module
from postoffice.store.embedded.account import AccountMailbox
from postoffice.store.embedded.glimpse import ABSENT, Stillness, glimpse, stillness
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.embedded.recollection import LETTER_OCTETS, MOST_OF_ONE, Recollection
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.sight import Seen
from postoffice.store.model import OWNER, Letter, Snapshot
from postoffice.testing.check_store.walk import deliver, new_account, put, seen, text

pytestmark = pytest.mark.usefixtures("page_octets")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as left alone at once."""
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)


async def add(path: Path, *contents: bytes) -> None:
    mailbox = MailboxFile.open(path, create=True)
    try:
        for content in contents:
            stage = await mailbox.stage()
            await stage.write(content)
            await mailbox.append([Letter(await stage.finish(), system_clock())])
    finally:
        await mailbox.close()


def beside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


class Town:
    """An office with bob, in whose file one letter lies. Nobody has it open."""

    def __init__(self, data: Path) -> None:
        self.store = EmbeddedStore.open(data)
        self.data = data

    async def settle(self) -> None:
        self.bob = (await new_account(self.store)).account_id
        self.path = mailbox_path(self.data, self.bob)
        self.mailbox = await self.store.office.mailbox(self.bob)
        await put(self.mailbox, text(0))
        await self.leave()

    async def leave(self) -> None:
        """As if others had come since: nothing of the mailbox is kept."""
        file = self.mailbox.file()
        if file is not None:
            file.rest()
        self.mailbox.rest()

    def another(self) -> AccountMailbox:
        """As another process has it."""
        return AccountMailbox(self.store._premises, self.bob)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path / "data")
    await town.settle()
    yield town
    await town.store.close()


@pytest.mark.usefixtures("settled")
async def test_a_look_at_a_file_at_rest_opens_nothing_and_sees_what_was_added_since(town: Town) -> None:
    first = await town.mailbox.snapshot(OWNER)
    assert len(first.keys) == 1
    assert await town.mailbox.snapshot(OWNER) is first, "what is seen again is the same"
    assert beside(town.path) == [town.path.name], "no log was made"
    assert not town.mailbox.is_open
    for count in range(2, 6):
        await add(town.path, b"another %d\r\n" % count)
        snapshot = await town.mailbox.snapshot(OWNER)
        assert len(snapshot.keys) == count
        assert beside(town.path) == [town.path.name]
    assert await town.mailbox.read(snapshot.keys[:1]) != [None]
    assert f"{town.path.name}-wal" in beside(town.path), "who reads letters opens it"
    assert (await town.mailbox.snapshot(OWNER)).keys == snapshot.keys
    await town.leave()
    assert beside(town.path) == [town.path.name]


@pytest.mark.usefixtures("settled")
async def test_who_looks_at_a_file_at_rest_leaves_nothing_to_the_collector(town: Town) -> None:
    await town.another().snapshot(OWNER)
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            await town.another().snapshot(OWNER)
        assert gc.collect() < 100
    finally:
        gc.enable()


@pytest.mark.usefixtures("settled")
async def test_what_has_just_arrived_is_shown_behind_what_a_file_at_rest_shows(town: Town) -> None:
    await town.mailbox.snapshot(OWNER)
    await deliver(town.store, text(1), town.bob)
    [filed, arrived] = (await town.mailbox.snapshot(OWNER)).keys
    assert filed > 0 > arrived
    assert not town.mailbox.is_open
    await town.mailbox.absorb()
    await town.leave()
    keys = (await town.mailbox.snapshot(OWNER)).keys
    assert len(keys) == 2
    assert min(keys) > 0
    assert not town.mailbox.is_open
    assert [plain[-20:] for plain in await seen(town.mailbox)] == [text(0)[-20:], text(1)[-20:]]
    await town.leave()


@pytest.mark.usefixtures("settled")
async def test_what_one_viewer_saw_is_not_shown_to_another(town: Town) -> None:
    everything = await town.mailbox.snapshot()
    own = await town.mailbox.snapshot(OWNER)
    assert own.generation != everything.generation
    assert (await town.another().snapshot(OWNER)).generation == own.generation
    assert (await town.another().snapshot()).generation == everything.generation


@pytest.mark.usefixtures("settled")
async def test_while_somebody_has_the_file_open_it_is_opened(town: Town) -> None:
    writer = town.another()
    await put(writer, text(1))
    assert stillness(str(town.path)) is None
    assert len((await town.mailbox.snapshot(OWNER)).keys) == 2, "what lies in the log alone is seen"
    assert town.mailbox.is_open
    writer.rest()


async def test_what_was_written_a_moment_ago_is_opened(town: Town) -> None:
    assert stillness(str(town.path)) is None
    assert len((await town.mailbox.snapshot(OWNER)).keys) == 1
    assert f"{town.path.name}-wal" in beside(town.path)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("was_seen", [True, False])
async def test_a_file_that_is_lost_is_told_until_it_is_back(town: Town, was_seen: bool) -> None:
    """A maildrop without its letters would tell whoever pulls that they were deleted here."""
    keys = [1]
    if was_seen:
        assert list((await town.mailbox.snapshot(OWNER)).keys) == keys
    path = town.path.rename(town.data / "elsewhere")
    assert stillness(str(town.path)) is ABSENT
    for verb in (town.mailbox.snapshot(OWNER), town.mailbox.remove(keys, OWNER), town.mailbox.read(keys)):
        with pytest.raises(StoreError, match=r"1\.mailbox"):
            await verb
    assert not town.path.exists()
    path.rename(town.path)
    assert list((await town.mailbox.snapshot(OWNER)).keys) == keys


async def test_a_file_that_came_after_we_looked_is_not_lost(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made, and then noted."""
    there = os.path.exists
    answers = [False]
    monkeypatch.setattr("os.path.exists", lambda name: answers.pop() if answers else there(name))
    assert town.mailbox.file() is None
    assert answers == []
    assert town.mailbox.file() is not None


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("what", ["log", "octets", "times"])
async def test_a_look_does_not_count_if_somebody_came_meanwhile(tmp_path: Path, what: str) -> None:
    path = tmp_path / "box"
    await add(path, b"one\r\n")
    still = stillness(str(path))
    assert still is not None

    def question(_connection: Connection) -> int:
        match what:
            case "log":
                path.with_name("box-wal").touch()
            case "octets":
                with path.open("ab") as file:
                    file.write(bytes(4096))
            case _:
                os.utime(path)
        return 1

    assert glimpse(path, MAILBOX, still, lambda connection: 1) == 1
    assert glimpse(path, MAILBOX, still, question) is None


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("version", [0, 1, 99])
async def test_a_file_of_another_version_is_opened(tmp_path: Path, version: int) -> None:
    path = tmp_path / "box"
    await add(path, b"one\r\n")
    with path.open("r+b") as file:
        file.seek(60)  # user_version, in the header of the file
        file.write(version.to_bytes(4, "big"))
    still = stillness(str(path))
    assert still is not None
    assert glimpse(path, MAILBOX, still, lambda connection: 1) is None


@pytest.mark.usefixtures("settled")
async def test_what_is_no_mailbox_is_opened_and_told(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(b"no database" * 1000)
    still = stillness(str(path))
    assert still is not None
    assert glimpse(path, MAILBOX, still, lambda connection: connection.execute("SELECT 1").get) is None


@pytest.mark.usefixtures("settled")
async def test_what_was_seen_is_remembered_by_others_than_who_looked(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await town.mailbox.snapshot(OWNER)
    monkeypatch.setattr("postoffice.store.embedded.recollection.glimpse", None)
    again = await town.another().snapshot(OWNER)
    assert (again.generation, again.keys, again.octets) == (first.generation, first.keys, first.octets)
    assert list(again.unique_ids) == list(first.unique_ids)
    with pytest.raises(TypeError):
        await town.another().snapshot()  # what everybody sees was not asked before


@pytest.mark.usefixtures("settled")
async def test_what_was_seen_is_forgotten_with_what_changes(town: Town) -> None:
    assert len((await town.another().snapshot(OWNER)).keys) == 1
    await add(town.path, b"Subject: two\r\n\r\ntwo\r\n")
    assert len((await town.another().snapshot(OWNER)).keys) == 2


STILL = Stillness(1, 4096, 1, 1)


def shown(letters: int, surrogates: dict[int, int] | None = None) -> Seen:
    keys, octets = array("q", range(1, letters + 1)), array("q", range(letters))
    names = [f"name{number}" for number in keys]
    return Seen(Snapshot((1 << 200, letters, 1), keys, octets, names, surrogates or {}), 1, 7, 3, 2)


@pytest.mark.parametrize("seen", [shown(0), shown(1), shown(3, {2: 17})])
def test_what_is_remembered_is_what_was_seen(seen: Seen) -> None:
    memory = Recollection()
    memory.keep(STILL, "x", seen)
    found = memory.find(STILL, "x")
    assert found is not None
    assert found[1:] == seen[1:]
    names = Snapshot.__slots__[:5]
    assert [getattr(found.snapshot, name) for name in names] == [getattr(seen.snapshot, name) for name in names]


@pytest.mark.parametrize(
    "now",
    [STILL._replace(octets=1), STILL._replace(modified=2), STILL._replace(changed=2), STILL._replace(inode=2)],
)
def test_a_file_that_is_another_now_is_not_remembered(now: Stillness) -> None:
    memory = Recollection()
    memory.keep(STILL, "x", shown(2))
    assert memory.find(STILL, "x") is not None
    assert memory.find(STILL, "y") is None
    assert memory.find(STILL, None) is None
    assert memory.find(now, "x") is None


def test_the_oldest_look_is_forgotten_first() -> None:
    memory = Recollection(1000)
    for inode in range(100):
        memory.keep(STILL._replace(inode=inode), "x", shown(2))
        memory.keep(STILL._replace(inode=inode), "x", shown(2))
    there = [memory.find(STILL._replace(inode=inode), "x") is not None for inode in range(100)]
    assert there == sorted(there)
    assert 3 < sum(there) < 20


@pytest.mark.parametrize("letters", [MOST_OF_ONE // LETTER_OCTETS, MOST_OF_ONE])
def test_what_is_long_is_not_remembered(letters: int) -> None:
    memory = Recollection()
    memory.keep(STILL, "x", shown(2))
    memory.keep(STILL, "x", shown(letters))
    assert memory.find(STILL, "x") is None
