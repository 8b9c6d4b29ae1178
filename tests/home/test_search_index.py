"""The index of a mailbox file: it has what the file has, whoever wrote that and whatever was cut off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.home.conftest import Fill

from postoffice.client.collect import Options
from postoffice.client.url import Source
from postoffice.database.sqlite import one_number, open_writer, shut
from postoffice.errors import UsageError
from postoffice.handing.target import InFile
from postoffice.handing.way import Way
from postoffice.home.pulling import Pull, pull_into
from postoffice.home.search.extraction import document
from postoffice.home.search.face import Search
from postoffice.home.search.keeping import keep_up
from postoffice.store.embedded import MailboxFile, index
from postoffice.store.embedded.index import Index
from postoffice.store.embedded.schema import SEARCH
from postoffice.store.model import Letter
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer


def letters(*words: str) -> list[bytes]:
    return [f"Subject: {word}\r\n\r\ncommon {word}\r\n".encode() for word in words]


async def found(path: Path, question: str) -> list[int]:
    """Numbers, without bringing the index up to date."""
    search = Search(path)
    try:
        return sorted(one.hit.number for one in (await search.find(question)).shown)
    finally:
        await search.close()


async def catch_up(path: Path) -> None:
    search = Search(path)
    await search.catch_up()
    await search.close()


async def missing(path: Path) -> int:
    opened = Index(path)
    try:
        return await opened.missing()
    finally:
        await opened.close()


async def check(path: Path) -> None:
    mailbox = MailboxFile.open(path)
    assert await mailbox.check() == []
    await mailbox.close()


async def has_index(path: Path) -> bool:
    mailbox = MailboxFile.open(path)
    opened = Index(path)
    try:
        is_there = await opened.is_there()
        assert mailbox.has_index() == is_there
        return is_there
    finally:
        await opened.close()
        await mailbox.close()


async def places(path: Path, question: str) -> set[tuple[str, int]]:
    search = Search(path)
    try:
        return {(one.hit.folder, one.hit.number) for one in (await search.find(question)).shown}
    finally:
        await search.close()


async def test_a_file_that_is_never_searched_has_no_index(fill: Fill) -> None:
    path = await fill(letters("one"))
    assert not await has_index(path)
    connection = open_writer(path)
    assert one_number(connection, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'search%'") == 0
    shut(connection)


async def test_letters_that_were_removed_leave_it_and_the_others_are_counted_anew(fill: Fill) -> None:
    path = await fill(letters("one", "two", "three"))
    await catch_up(path)
    mailbox = MailboxFile.open(path)
    await mailbox.remove([(await mailbox.snapshot()).keys[1]])
    await mailbox.close()
    assert await found(path, "two") == []
    assert await found(path, "three") == [2]
    assert await found(path, "common") == [1, 2]
    assert await found(path, "-one") == [2]
    assert await missing(path) == 0
    connection = open_writer(path)
    for table in ("search_docsize", "searchable"):
        assert one_number(connection, f"SELECT count(*) FROM {table}") == 2
    shut(connection)
    await check(path)


async def test_a_letter_that_moved_to_another_folder_is_found_when_it_comes_back(fill: Fill) -> None:
    path = await fill(letters("one", "two"))
    await catch_up(path)
    mailbox = MailboxFile.open(path)
    [moved] = await mailbox.move([(await mailbox.snapshot()).keys[0]], "Deleted")
    await catch_up(path)
    assert await found(path, "one") == []
    await mailbox.move([moved], "INBOX")
    await mailbox.close()
    await catch_up(path)
    assert await found(path, "one") == [2]


async def test_letters_of_all_folders_are_found_but_for_what_was_put_aside(fill: Fill) -> None:
    path = await fill(letters("zero", "one", "two", "three", "four"))
    mailbox = MailboxFile.open(path)
    keys = (await mailbox.snapshot()).keys
    for key, folder in zip(keys[1:], ("Archive/2026", "Sent", "Trash", "Quarantine"), strict=True):
        await mailbox.move([key], folder)
    await mailbox.close()
    await catch_up(path)
    assert await places(path, "common") == {("INBOX", 1), ("Archive/2026", 1), ("Sent", 1)}
    assert await places(path, "common in:sent") == {("Sent", 1)}
    assert await places(path, "common in:2026") == {("Archive/2026", 1)}
    assert await places(path, "in:trash") == {("Trash", 1)}
    assert await places(path, "common -in:Sent") == {("INBOX", 1), ("Archive/2026", 1)}
    assert await places(path, "in:sent OR in:inbox") == {("INBOX", 1), ("Sent", 1)}
    assert len(await places(path, "common in:all")) == 5
    with pytest.raises(UsageError, match="in:nowhere: there is no such folder; there are: INBOX, Archive/2026"):
        await places(path, "in:nowhere")


async def test_numbers_are_those_of_each_folder(fill: Fill) -> None:
    path = await fill(letters(*(f"word{number}" for number in range(6))))
    mailbox = MailboxFile.open(path)
    keys = (await mailbox.snapshot()).keys
    await mailbox.move([keys[1], keys[3], keys[5]], "Sent")
    await mailbox.close()
    await catch_up(path)
    found_there = {question: await places(path, question) for question in ("word4", "word5", "word3 OR word2")}
    assert found_there["word4"] == {("INBOX", 3)}
    assert found_there["word5"] == {("Sent", 3)}
    assert found_there["word3 OR word2"] == {("Sent", 2), ("INBOX", 2)}


async def test_an_index_of_inbox_alone_as_it_was_made_before_is_made_anew(fill: Fill) -> None:
    path = await fill(letters("one", "two"))
    mailbox = MailboxFile.open(path)
    await mailbox.move([(await mailbox.snapshot()).keys[1]], "Sent")
    await mailbox.close()
    connection = open_writer(path)
    connection.execute(SEARCH.replace("    folder_id INTEGER NOT NULL,\n", ""))
    connection.execute("INSERT INTO search (rowid, text) VALUES (1, 'one common')")
    connection.execute("INSERT INTO searchable VALUES (1, 0.0, 10, 0)")
    connection.execute("INSERT INTO search_state (only, edition, watermark) VALUES (1, 1, 2)")
    shut(connection)
    assert await missing(path) == 2
    await keep_up(path)
    assert await places(path, "common") == {("INBOX", 1), ("Sent", 1)}
    await check(path)


async def test_it_goes_on_where_it_was_cut_off(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "BATCH_LETTERS", 2)
    path = await fill(letters("one", "two", "three", "four", "five"))
    opened = Index(path)
    assert await opened.add(document) == 2
    await opened.close()
    assert (await missing(path), await found(path, "common")) == (3, [1, 2])
    told: list[tuple[int, int]] = []
    search = Search(path)
    await search.catch_up(lambda *how_far: told.append(how_far))
    await search.close()
    assert told == [(2, 3), (3, 3)]
    assert await found(path, "common") == [1, 2, 3, 4, 5]


async def test_a_search_that_is_killed_while_it_makes_the_index_harms_nothing(tmp_path: Path) -> None:
    path, number = tmp_path / "home.mailbox", 3000
    mailbox = MailboxFile.open(path, create=True)
    kept = []
    for letter in letters(*(f"word{number}" for number in range(number))):
        stage = await mailbox.stage()
        await stage.write(letter)
        kept.append(Letter(await stage.finish(), 0.0))
    await mailbox.append(kept)
    await mailbox.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "postoffice", "search", str(path), "x"], stderr=subprocess.DEVNULL
    )
    opened = Index(path)
    while not 0 < await opened.missing() < number and process.poll() is None:
        pass
    process.kill()
    process.wait()
    left = await opened.missing()
    await opened.close()
    assert 0 <= left < number
    await catch_up(path)
    assert await found(path, "word2999") == [3000]
    assert await found(path, "word0") == [1]
    connection = open_writer(path)
    assert one_number(connection, "SELECT count(*) FROM search_docsize") == number
    shut(connection)
    await check(path)


async def test_a_batch_that_fails_leaves_nothing_of_it(fill: Fill) -> None:
    path = await fill(letters("one"))

    def fails(_letter: bytes) -> index.Document:
        raise RuntimeError

    opened = Index(path)
    with pytest.raises(RuntimeError):
        await opened.add(fails)
    assert await opened.missing() == 1
    await opened.close()
    await catch_up(path)
    assert await found(path, "one") == [1]


async def test_two_who_add_at_once_add_each_letter_once(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "BATCH_LETTERS", 1)
    path = await fill(letters(*(f"word{number}" for number in range(30))))
    await asyncio.gather(catch_up(path), catch_up(path))
    assert await found(path, "word7") == [8]
    connection = open_writer(path)
    assert one_number(connection, "SELECT count(*) FROM search_docsize") == 30
    shut(connection)
    await check(path)


async def test_it_is_made_anew_when_asked_and_when_another_edition_made_it(
    fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await fill(letters("one", "two"))
    await catch_up(path)
    connection = open_writer(path)
    connection.execute("INSERT INTO search (search) VALUES ('delete-all')")
    shut(connection)
    assert await found(path, "one") == []
    search = Search(path)
    await search.rebuild()
    await search.close()
    assert await found(path, "one") == [1]
    monkeypatch.setattr(index, "EDITION", index.EDITION + 1)
    assert await missing(path) == 2
    await catch_up(path)
    assert await found(path, "common") == [1, 2]
    await check(path)


async def test_a_letter_whose_octets_are_lost_keeps_no_other_from_being_found(fill: Fill) -> None:
    path = await fill(letters("one", "two", "three"))
    connection = open_writer(path)
    connection.execute("DELETE FROM chunks WHERE chunk_id >> 20 = 2")
    shut(connection)
    await catch_up(path)
    assert await found(path, "common") == [1, 3]


async def test_a_large_letter_is_found_by_its_beginning(fill: Fill) -> None:
    large = b"Subject: large\r\n\r\n" + b"needle\r\n" + b"some hay \r\n" * 900_000
    path = await fill([large, *letters("small")])
    await catch_up(path)
    assert await found(path, "needle") == [1]
    assert await found(path, "small") == [2]


async def test_a_pull_adds_what_came_once_the_file_was_searched(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    there = Way(path, InFile(path))
    peer = Pop3Peer({"id-1": letters("one")[0]})

    async def pull(port: int) -> None:
        await pull_into(Pull(there, USER, Source("127.0.0.1", port, USER), Options(PASSWORD)))

    async with peer.listening() as port:
        await pull(port)
        assert not await has_index(path)
        await catch_up(path)
        peer.letters["id-2"] = letters("two")[0]
        await pull(port)
    assert await missing(path) == 0
    assert await found(path, "two") == [2]
