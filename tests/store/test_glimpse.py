"""A mailbox at rest is looked at without opening it, and what is seen is never older than the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from postoffice.clock import system_clock
from postoffice.database.sqlite import Connection
from postoffice.store.embedded import glimpse as module
from postoffice.store.embedded.glimpse import Stillness, glimpse, stillness
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.recollection import MOST_OF_ONE, Recollection
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.sight import Texts
from postoffice.store.model import INBOX, OWNER, Letter

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


@pytest.mark.usefixtures("settled")
async def test_a_look_at_a_file_at_rest_opens_nothing_and_sees_what_was_added_since(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    path = tmp_path / "box"
    await add(path, b"one\r\n")
    mailbox = MailboxFile(path, pool, system_clock)
    first = mailbox.seen(OWNER, INBOX)
    assert mailbox.seen(OWNER, INBOX) is first, "what is seen again is the same"
    assert beside(path) == ["box"], "no log was made"
    for count in range(2, 6):
        await add(path, b"another %d\r\n" % count)
        seen = mailbox.seen(OWNER, INBOX)
        assert len(seen.snapshot.keys) == count
        assert beside(path) == ["box"]
    assert await mailbox.read(seen.snapshot.keys[:1]) != [None]
    assert "box-wal" in beside(path), "who reads letters opens it"
    assert mailbox.seen(OWNER, INBOX).snapshot.keys == seen.snapshot.keys
    mailbox.rest()


@pytest.mark.usefixtures("settled")
async def test_while_somebody_has_the_file_open_it_is_opened(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    path = tmp_path / "box"
    await add(path, b"one\r\n")
    writer, reader = (MailboxFile(path, pool, system_clock) for _ in range(2))
    stage = await writer.stage()
    await stage.write(b"two\r\n")
    await writer.append([Letter(await stage.finish(), system_clock())])
    assert stillness(str(path)) is None
    assert len(reader.seen(OWNER, INBOX).snapshot.keys) == 2, "what lies in the log alone is seen"
    writer.rest()
    reader.rest()


async def test_what_was_written_a_moment_ago_is_opened(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    path = tmp_path / "box"
    await add(path, b"one\r\n")
    assert stillness(str(path)) is None
    assert stillness(str(tmp_path / "nothing")) is None
    mailbox = MailboxFile(path, pool, system_clock)
    assert len(mailbox.seen(OWNER, INBOX).snapshot.keys) == 1
    assert "box-wal" in beside(path)
    mailbox.rest()


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


async def test_what_was_seen_is_remembered_by_others_than_who_looked(
    tmp_path: Path, pool: ThreadPoolExecutor, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.mailbox"
    await add(path, b"Subject: one\r\n\r\none\r\n", b"Subject: two\r\n\r\ntwo\r\n")
    first = await MailboxFile(path, pool, system_clock).snapshot(OWNER)
    monkeypatch.setattr("postoffice.store.embedded.mailbox.glimpse", None)
    again = await MailboxFile(path, pool, system_clock).snapshot(OWNER)
    assert (again.generation, again.keys, again.octets) == (first.generation, first.keys, first.octets)
    assert list(again.unique_ids) == list(first.unique_ids)
    with pytest.raises(TypeError):
        await MailboxFile(path, pool, system_clock).snapshot()  # what everybody sees was not asked before


async def test_what_was_seen_is_forgotten_with_what_changes(
    tmp_path: Path, pool: ThreadPoolExecutor, settled: None
) -> None:
    path = tmp_path / "one.mailbox"
    await add(path, b"Subject: one\r\n\r\none\r\n")
    assert len((await MailboxFile(path, pool, system_clock).snapshot(OWNER)).keys) == 1
    await add(path, b"Subject: two\r\n\r\ntwo\r\n")
    assert len((await MailboxFile(path, pool, system_clock).snapshot(OWNER)).keys) == 2


STILL = Stillness(1, 4096, 1, 1)
SEEN = Texts("1,2", "10,20", "a b", None, "b", 1, 7, 3, 2)


@pytest.mark.parametrize(
    "now", [replace(STILL, octets=1), replace(STILL, modified=2), replace(STILL, changed=2), replace(STILL, inode=2)]
)
def test_a_file_that_is_another_now_is_not_remembered(now: Stillness) -> None:
    memory = Recollection()
    memory.keep(STILL, "x", SEEN)
    assert memory.find(STILL, "x") == SEEN
    assert memory.find(STILL, "y") is None
    assert memory.find(now, "x") is None


def test_the_oldest_look_is_forgotten_first() -> None:
    memory = Recollection(1000)
    for inode in range(100):
        memory.keep(replace(STILL, inode=inode), "x", SEEN)
        memory.keep(replace(STILL, inode=inode), "x", SEEN)
    there = [memory.find(replace(STILL, inode=inode), "x") is not None for inode in range(100)]
    assert there == sorted(there)
    assert 5 < sum(there) < 20


def test_what_is_long_is_not_remembered() -> None:
    memory = Recollection()
    memory.keep(STILL, "x", SEEN)
    memory.keep(STILL, "x", SEEN._replace(unique_ids="x" * MOST_OF_ONE))
    assert memory.find(STILL, "x") is None
