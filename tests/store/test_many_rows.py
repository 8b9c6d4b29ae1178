"""Many rows by few statements, and what letters become that are put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from postoffice.database.rows import next_id, put
from postoffice.database.sqlite import open_in_memory
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter, Origin
from postoffice.testing.check_store.walk import letter, text


@pytest.mark.parametrize("count", [0, 1, 7, 8, 31, 32, 33, 105])
def test_rows_are_put_in_their_order(count: int) -> None:
    connection = open_in_memory()
    connection.execute("CREATE TABLE words (word_id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT, octets BLOB)")
    rows = [(f"word {number}", bytes([number])) for number in range(count)]
    put(connection, "INSERT INTO words (word, octets) VALUES (?, ?)", rows)
    assert connection.execute("SELECT word, octets FROM words ORDER BY word_id").fetchall() == rows
    assert next_id(connection, "words") == count + 1


def test_no_id_is_given_twice() -> None:
    connection = open_in_memory()
    connection.execute("CREATE TABLE words (word_id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT)")
    connection.execute("INSERT INTO words (word_id) VALUES (7)")
    connection.execute("DELETE FROM words")
    assert next_id(connection, "words") == 8
    connection.execute("INSERT INTO words (word_id) VALUES (9)")
    connection.execute("DELETE FROM sqlite_sequence")  # as a damaged file may lack it
    assert next_id(connection, "words") == 10


async def test_what_comes_twice_in_a_batch_is_kept_once(tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    try:
        before = await mailbox.append([await _pulled(mailbox, 0, "a"), await letter(mailbox, text(1))])
        batch = [
            await _pulled(mailbox, 2, "b"),
            await _pulled(mailbox, 3, "a"),  # known before
            await letter(mailbox, text(0)),  # its octets are here
            await _pulled(mailbox, 2, "c"),  # its octets come in the same batch
            await _pulled(mailbox, 4, "b"),  # it comes in the same batch
            await letter(mailbox, text(5)),
        ]
        keys = await mailbox.append(batch)
        assert [bool(key) for key in keys] == [True, False, True, True, False, True]
        assert len({*before, *filter(None, keys)}) == 6
        shown = await mailbox.describe([*before, *filter(None, keys)])
        expected = [text(number) for number in (0, 1, 2, 0, 2, 5)]
        assert [entry and entry.octets for entry in shown] == [len(octets) for octets in expected]
        holds = mailbox.ask(lambda near: near.execute("SELECT holds FROM contents ORDER BY content_id").fetchall())
        assert holds == [(2,), (1,), (2,), (1,)]
        assert sorted(await mailbox.pulled("pop://a")) == ["a", "b", "c"]
        assert await mailbox.check() == []
    finally:
        await mailbox.close()


async def test_a_unique_id_with_any_octets_is_known_again(tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    try:
        names = ["a\0b", "a\0c", "é", "a"]
        first = await mailbox.append([await _pulled(mailbox, at, name) for at, name in enumerate(names)])
        again = await mailbox.append([await _pulled(mailbox, at, name) for at, name in enumerate([*names, "a\0d"])])
        assert [bool(key) for key in (*first, *again)] == [True] * 4 + [False] * 4 + [True]
    finally:
        await mailbox.close()


async def _pulled(mailbox: MailboxFile, number: int, source_id: str) -> Letter:
    origin = Origin("pop://a", source_id, 100, b"", 1.0)
    return (await letter(mailbox, text(number)))._replace(origin=origin)
