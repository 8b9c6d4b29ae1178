"""A watch tells of every commit of others, as `PRAGMA data_version` does, and of none where there was none."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.database.sqlite import Connection, open_draft, open_reader, open_writer, shut, transaction
from postoffice.database.watch import Watch
from postoffice.store.embedded import EmbeddedStore
from postoffice.testing.check_store.walk import deliver, keys, new_account, text

_BEGIN_THE_LOG_ANEW = ("RESTART", "TRUNCATE")
_CHECKPOINTS = ("PASSIVE", "FULL", *_BEGIN_THE_LOG_ANEW)

pytestmark = pytest.mark.usefixtures("page_octets")


def data_version(connection: Connection) -> int:
    return int(connection.execute("PRAGMA data_version").get)


def table(path: Path) -> Connection:
    writer = open_writer(path)
    writer.execute("CREATE TABLE things (thing)")
    return writer


def insert(writer: Connection, octets: int = 10) -> None:
    with transaction(writer):
        writer.execute("INSERT INTO things VALUES (randomblob(?))", (octets,))


@pytest.mark.parametrize("seed", range(8))
def test_it_tells_what_data_version_tells(tmp_path: Path, seed: int) -> None:
    """Whatever is written, written back or held, in whatever order."""
    chance = random.Random(seed)
    path = tmp_path / "file"
    writers = [table(path), open_writer(path)]
    reader, asked, holder = open_reader(path), open_reader(path), open_reader(path)
    watch = Watch(reader)
    version, before = watch.version(), data_version(asked)
    for _ in range(300):
        writer = chance.choice(writers)
        what = chance.choice(["commit", "commit", "large", "roll back", "hold", "look", *_CHECKPOINTS])
        match what:
            case "commit":
                insert(writer)
            case "large":
                insert(writer, chance.randrange(1, 3_000_000))
            case "roll back":
                writer.execute("BEGIN IMMEDIATE; INSERT INTO things VALUES (randomblob(100000)); ROLLBACK").fetchall()
            case "hold":
                holder.execute("COMMIT" if holder.in_transaction else "BEGIN; SELECT count(*) FROM things").fetchall()
            case "look":
                reader.execute("SELECT count(*) FROM things").fetchall()
            case _:
                what = "PASSIVE" if holder.in_transaction else what
                writer.execute(f"PRAGMA wal_checkpoint({what})").fetchall()
        now, after = watch.version(), data_version(asked)
        if after != before:
            assert now != version, f"{what}: not seen"
        elif what not in _BEGIN_THE_LOG_ANEW:
            assert now == version, f"{what}: nothing changed"
        version, before = now, after
    for connection in (*writers, reader, asked, holder):
        shut(connection)


def test_it_tells_what_another_process_wrote(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writer, reader = table(path), open_reader(path)
    watch = Watch(reader)
    seen = {watch.version()}
    words = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('INSERT INTO things VALUES (1)')"
    for count in range(2, 5):
        subprocess.run([sys.executable, "-c", words, str(path)], check=True)
        seen.add(watch.version())
        assert len(seen) == count
        assert watch.version() in seen
    shut(writer)
    shut(reader)


def test_a_header_that_is_half_written_is_another_one(tmp_path: Path) -> None:
    """Who died while he wrote it leaves what SQLite must see to."""
    path = tmp_path / "file"
    writer, reader = table(path), open_reader(path)
    watch = Watch(reader)
    before = watch.version()
    words = "import sys; index = open(sys.argv[1], 'r+b'); index.seek(48 + 8); index.write(b'????')"
    subprocess.run([sys.executable, "-c", words, f"{path}-shm"], check=True)
    assert watch.version() != before
    insert(writer)
    assert reader.execute("SELECT count(*) FROM things").get == 1
    shut(writer)
    shut(reader)


def test_a_file_without_a_log_is_watched_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    made = open_draft(path)
    made.execute("CREATE TABLE things (thing)")
    shut(made)
    quiet = open_reader(path)
    watch = Watch(quiet)
    before = watch.version()
    assert watch.version() == before
    draft = open_draft(path)
    draft.execute("INSERT INTO things VALUES (1)")
    shut(draft)
    assert watch.version() != before
    shut(quiet)


async def test_what_others_write_is_seen_at_the_next_look(tmp_path: Path) -> None:
    ours, others = EmbeddedStore.open(tmp_path / "data"), EmbeddedStore.open(tmp_path / "data")
    try:
        account = await new_account(ours)
        mailbox, theirs = [await store.office.mailbox(account.account_id) for store in (ours, others)]
        assert len(await keys(mailbox)) == 0
        await deliver(others, text(1), account.account_id)
        assert len(await keys(mailbox)) == 1
        await theirs.remove(await keys(theirs))
        assert await keys(mailbox) == [], "a letter is shown whose removal was answered"
    finally:
        await ours.close()
        await others.close()
