"""The files of the embedded engine: whose they are, what is refused, what a crash leaves, what comes back."""

import os
import stat
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from postoffice.database.migrate import prepare
from postoffice.database.sqlite import Kind
from postoffice.errors import DamagedStore, StoreError, StoreUnavailable
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import EmbeddedStore, MailboxFile
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.embedded.schema import MAILBOX, OFFICE
from postoffice.store.model import CHUNK_OCTETS, OWNER, Letter
from postoffice.testing.check_store import walk
from postoffice.testing.check_store.walk import (
    NOON,
    keys,
    large_text,
    letter,
    look,
    must_be_sound,
    new_account,
    put,
    seen,
    staged,
    text,
)
from postoffice.testing.old_kinds import of_version


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "data")
    yield store
    await store.close()


async def deliver(store: EmbeddedStore, plain: bytes, account_id: int) -> None:
    await walk.deliver(store, plain, account_id, prefix=b"")


def change(path: Path, sql: str) -> None:
    """Do to a file what only a fault could do."""
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


# --- whose they are --------------------------------------------------------------------------------------------


async def test_nobody_else_can_read_them(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    await deliver(store, large_text("large"), account.account_id)
    spooled = list((tmp_path / "data" / "spool").iterdir())
    assert spooled
    await deliver(store, text(1), account.account_id)
    assert stat.S_IMODE(spooled[0].stat().st_mode) == 0o600
    await store.office.tidy()
    for folder, _, names in os.walk(tmp_path / "data"):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        for name in names:
            assert stat.S_IMODE((Path(folder) / name).stat().st_mode) == 0o600, name


async def test_an_account_without_absorbed_letters_has_no_file(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    await deliver(store, text(1), account.account_id)
    mailbox = await store.office.mailbox(account.account_id)
    assert await seen(mailbox) == [text(1)]
    await mailbox.remove(await keys(mailbox))
    path = mailbox_path(tmp_path / "data", account.account_id)
    assert not path.exists()
    await deliver(store, text(2), account.account_id)
    await store.office.tidy()
    assert path.exists()
    await store.directory.remove_account(account.account_id)
    assert not path.exists()


async def test_a_mailbox_of_the_office_can_be_carried_home(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    await deliver(store, text(1), account.account_id)
    await store.office.tidy()
    await store.close()
    mailbox_path(tmp_path / "data", account.account_id).rename(tmp_path / "home.mailbox")
    home = MailboxFile.open(tmp_path / "home.mailbox")
    assert await seen(home) == [text(1)]
    await home.close()


# --- what is refused -------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(DamagedStore, match="home is not a mailbox file: it is not there"):
        MailboxFile.open(tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("octets", [b"From alice\n" * 100, b"SQLite format 3\0" + bytes(5000)])
def test_another_programs_file_is_left_as_it_is(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "mbox"
    path.write_bytes(octets)
    with pytest.raises(DamagedStore, match="mbox"):
        MailboxFile.open(path, create=True)
    assert path.read_bytes() == octets


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE cookies (name)")
    before = path.read_bytes()
    with pytest.raises(DamagedStore, match="is not a mailbox file: it belongs to another program"):
        MailboxFile.open(path, create=True)
    assert path.read_bytes() == before


async def test_an_office_is_no_mailbox(store: EmbeddedStore, tmp_path: Path) -> None:
    with pytest.raises(DamagedStore, match="belongs to another program"):
        MailboxFile.open(tmp_path / "data" / "office.db")


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    await MailboxFile.open(path, create=True).close()
    change(path, "PRAGMA user_version = 99")
    with pytest.raises(DamagedStore, match="is from a newer version of postoffice"):
        MailboxFile.open(path)


async def test_an_office_of_the_first_version_gets_a_secret(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    prepare(tmp_path / "data" / "office.db", of_version(OFFICE, 1), create=True)
    store = EmbeddedStore.open(tmp_path / "data")
    secret = await store.directory.secret()
    await store.close()
    again = EmbeddedStore.open(tmp_path / "data")
    assert (len(secret), await again.directory.secret()) == (32, secret)
    await again.close()


UTF8_LETTER = "Subject: thư\r\n\r\n".encode() + b".\r\n"
LARGE_LETTER = "From: <ái@b.example>\r\n\r\n".encode() + b"x" * 1022 + b"\r\n"
LARGE_LETTER += (b"y" * 1022 + b"\r\n") * 400


def before_surrogates(kind: Kind) -> Kind:
    """The kind as it was when what surrogates measure was not reckoned."""
    return of_version(kind, next(version for version, step in enumerate(kind.steps, 1) if "surrogate_growth" in step))


def copied(path: Path, source: Path, **columns: str) -> None:
    """Rows of `source` into the same tables of `path`, by their columns."""
    copies = (f"INSERT INTO {table} ({names}) SELECT {names} FROM new.{table};" for table, names in columns.items())
    change(path, f"ATTACH '{source}' AS new; {' '.join(copies)}")


CONTENT_COLUMNS = "content_id, sha256, octets, wire_octets, has_dot_lines, has_ascii_header, holds, spool"
CHUNK_COLUMNS = "chunk_id, checksum, sha256, data"


async def test_a_mailbox_of_before_learns_what_surrogates_measure(tmp_path: Path) -> None:
    path, source = tmp_path / "home.mailbox", tmp_path / "new.mailbox"
    new = MailboxFile.open(source, create=True)
    await put(new, text(1), UTF8_LETTER, LARGE_LETTER)
    sizes = dict((await new.snapshot()).surrogates)
    await new.close()
    change(source, "UPDATE entries SET surrogate_octets = NULL WHERE surrogate_octets != octets")
    prepare(path, before_surrogates(MAILBOX), create=True)
    entries = "folder_id, uid, content_id, email_id, unique_id, octets, surrogate_octets, has_dot_lines, flags, modseq"
    entries += ", internal_date, prefix"
    copied(path, source, contents=CONTENT_COLUMNS, chunks=CHUNK_COLUMNS, entries=entries)
    mailbox = MailboxFile.open(path)
    assert len(sizes) == 2
    assert dict((await mailbox.snapshot()).surrogates) == sizes
    described = await mailbox.describe([1, 2, 3])
    assert [entry.surrogate_octets for entry in described if entry] == [len(text(1)), *sizes.values()]
    await mailbox.close()


async def test_arrivals_of_an_older_office_learn_what_surrogates_measure(tmp_path: Path) -> None:
    path, source = tmp_path / "data" / "office.db", tmp_path / "new.db"
    store = EmbeddedStore.open(tmp_path / "data")
    account = await new_account(store)
    for plain in (text(1), UTF8_LETTER, LARGE_LETTER):
        await deliver(store, plain, account.account_id)
    told = list((await (await store.office.mailbox(account.account_id)).snapshot()).surrogates.values())
    await store.close()
    path.rename(source)
    prepare(path, before_surrogates(OFFICE), create=True)
    people = {"domains": "domain", "accounts": "account_id, address, domain, created"}
    arrivals = "account_id, content_id, email_id, octets, arrived, prefix"
    copied(path, source, contents=CONTENT_COLUMNS, chunks=CHUNK_COLUMNS, arrivals=arrivals, **people)
    store = EmbeddedStore.open(tmp_path / "data")
    mailbox = await store.office.mailbox(account.account_id)
    assert len(told) == 2
    assert list((await mailbox.snapshot()).surrogates.values()) == told[:1]
    await mailbox.changes(0)  # takes in what lay in the office, the large one too
    assert list((await mailbox.snapshot()).surrogates.values()) == told
    await must_be_sound(mailbox)
    await store.close()


async def test_a_file_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    await put(mailbox, *(text(number, lines=500) for number in range(20)))
    await mailbox.close()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DamagedStore, match=r"home\.mailbox is damaged"):
        MailboxFile.open(path)


async def test_an_office_that_is_damaged_says_which_file(tmp_path: Path) -> None:
    await EmbeddedStore.open(tmp_path).close()
    (tmp_path / "office.db").write_bytes(b"?" * 8192)
    with pytest.raises(DamagedStore, match=r"office\.db is damaged"):
        EmbeddedStore.open(tmp_path)


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="data cannot be used"):
        EmbeddedStore.open(tmp_path / "data")


async def test_what_was_staged_elsewhere_is_refused(store: EmbeddedStore, tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    foreign = Letter(await staged(store.office, large_text("large")), 1.0)
    with pytest.raises(StoreError, match="was not staged here"):
        await mailbox.append([await letter(mailbox, text(1)), foreign])
    assert await keys(mailbox) == []
    await mailbox.close()


# --- what rots is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE chunks SET data = zeroblob(length(data))", "chunk 0 has another checksum"),
        ("UPDATE contents SET octets = octets + 1", "its octets are not those it is named by"),
        ("DELETE FROM chunks", "chunk 0 is not there"),
        ("UPDATE contents SET holds = 7", "1 letters refer to it, but it counts 7"),
        ("DELETE FROM contents", "1 letters refer to it, but it counts 0"),
        ("UPDATE folders SET uid_next = 1", "its folder does not know it"),
    ],
)
async def test_what_rotted_in_a_mailbox_is_found(tmp_path: Path, sql: str, what: str) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    await put(mailbox, text(1))
    await must_be_sound(mailbox)
    change(path, sql)
    assert what in [damage.what for damage in await mailbox.check()]
    await mailbox.close()


async def test_a_letter_whose_octets_are_gone_is_damage_and_not_a_removal(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    (key,) = await put(mailbox, text(1))
    change(path, "DELETE FROM chunks")
    with pytest.raises(DamagedStore):
        await mailbox.read([key])
    await mailbox.close()


async def test_the_office_finds_what_rotted_in_each_of_its_places(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    await deliver(store, text(1), account.account_id)
    await store.office.tidy()
    await deliver(store, text(2), account.account_id)
    await deliver(store, large_text("large"), account.account_id)
    assert await store.office.check() == []
    data = tmp_path / "data"
    change(data / "office.db", "UPDATE chunks SET checksum = 0")
    change(mailbox_path(data, account.account_id), "UPDATE chunks SET checksum = 0")
    (spooled,) = (data / "spool").iterdir()
    spooled.write_bytes(b"x" * spooled.stat().st_size)
    wheres = [damage.where.split(",")[0] for damage in await store.office.check()]
    assert wheres == ["office.db", f"spool/{spooled.name}", "mailboxes/01/1.mailbox of bob@b.example"]


# --- what a crash leaves, and room that comes back -------------------------------------------------------------


async def test_a_spool_file_that_a_crash_left_goes_and_one_being_written_stays(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    spool = tmp_path / "data" / "spool"
    account = await new_account(store)
    await deliver(store, large_text("kept"), account.account_id)
    (kept,) = spool.iterdir()
    (spool / "orphan").write_bytes(b"x")
    stage = await store.office.stage()
    for _ in range(2):  # the second waits until the first is there
        await stage.write(bytes(9 * CHUNK_OCTETS))
    other = EmbeddedStore.open(tmp_path / "data")
    left = set(spool.iterdir())
    assert len(left) == 2
    assert kept in left
    await stage.abandon()
    assert list(spool.iterdir()) == [kept]
    await other.close()


async def test_a_large_letter_leaves_nothing_behind_when_it_is_removed(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    for absorbed in (False, True):
        await deliver(store, large_text("large") * 20, account.account_id)
        if absorbed:
            await store.office.tidy()
        assert await seen(mailbox) == [large_text("large") * 20]
        await mailbox.remove(await keys(mailbox))
        assert list((tmp_path / "data" / "spool").iterdir()) == []
    await store.office.tidy()
    await store.close()
    assert mailbox_path(tmp_path / "data", account.account_id).stat().st_size < len(large_text("large"))


async def test_the_office_gives_back_the_room_of_what_was_absorbed(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    for number in range(100):
        await deliver(store, text(number, lines=8000), account.account_id)
    await store.office.tidy()
    await store.close()
    assert (tmp_path / "data" / "office.db").stat().st_size < 3_000_000
    assert mailbox_path(tmp_path / "data", account.account_id).stat().st_size > 8_000_000


async def test_a_letter_half_way_in_at_home_is_swept_once_its_writer_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    stage = await mailbox.stage()
    await stage.write(bytes(9 * CHUNK_OCTETS))
    other = MailboxFile.open(path)
    await other.close()
    assert await mailbox.append([Letter(await stage.finish(), 1.0)]) == [1]
    half = await mailbox.stage()
    await half.write(bytes(9 * CHUNK_OCTETS))
    await mailbox.close()
    size = path.stat().st_size
    change(path, "UPDATE contents SET since = 0 WHERE writer IS NOT NULL")
    again = MailboxFile.open(path)
    await must_be_sound(again)
    assert len(await keys(again)) == 1
    await again.close()
    assert path.stat().st_size < size - 7 * CHUNK_OCTETS


# --- arrivals --------------------------------------------------------------------------------------------------


async def test_keys_of_arrivals_lead_to_their_letters_after_they_were_absorbed(store: EmbeddedStore) -> None:
    account = await new_account(store)
    for number in range(3):
        await deliver(store, text(number), account.account_id)
    await deliver(store, large_text("large"), account.account_id)
    mailbox = await store.office.mailbox(account.account_id)
    before = await mailbox.snapshot()
    first = await mailbox.read(before.keys)
    await mailbox.absorb()
    after = await mailbox.snapshot()
    assert after.generation == before.generation
    assert list(after.unique_ids) == list(before.unique_ids)
    assert set(after.keys).isdisjoint(before.keys)
    assert [piece and piece.wire for piece in await mailbox.read(before.keys)] == [
        piece and piece.wire for piece in first
    ]
    entries = await mailbox.describe(before.keys)
    assert [entry and entry.uid for entry in entries] == [1, 2, 3, 4]
    await mailbox.remove(before.keys[1:2])
    assert [piece is None for piece in await mailbox.read(before.keys)] == [False, True, False, False]
    assert len(await keys(mailbox)) == 3


async def test_an_office_restored_from_a_copy_delivers_nothing_twice(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    await deliver(store, text(1), account.account_id)
    await store.close()
    data = tmp_path / "data"
    copy = (data / "office.db").read_bytes()
    store = EmbeddedStore.open(data)
    await store.office.tidy()
    await store.close()
    (data / "office.db").write_bytes(copy)
    change(data / "office.db", "UPDATE office SET incarnation = incarnation + 1")
    store = EmbeddedStore.open(data)
    await deliver(store, text(2), account.account_id)
    await store.office.tidy()
    assert await seen(await store.office.mailbox(account.account_id)) == [text(1), text(2)]
    assert await store.office.check() == []
    await store.close()


async def test_a_maildrop_in_use_is_not_absorbed(store: EmbeddedStore) -> None:
    account = await new_account(store)
    await deliver(store, text(1), account.account_id)
    lock = await store.office.lock(account.account_id)
    assert lock is not None
    mailbox = await store.office.mailbox(account.account_id)
    await store.office.tidy()
    assert (await keys(mailbox))[0] < 0
    await lock.release()
    await store.office.tidy()
    assert (await keys(mailbox))[0] > 0


async def test_a_second_viewer_keeps_what_the_owner_removed(store: EmbeddedStore) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    await look(mailbox, "phone")
    await deliver(store, text(1), account.account_id)
    shown = await mailbox.snapshot(OWNER)
    assert (await mailbox.snapshot("phone")).keys == shown.keys
    await mailbox.remove(shown.keys, OWNER)
    assert await seen(mailbox, OWNER) == []
    assert await seen(mailbox, "phone") == [text(1)]


async def test_more_mailboxes_than_are_kept_open(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "data", open_mailboxes=3)
    accounts = [await new_account(store, f"u{number}@b.example") for number in range(10)]
    mailboxes = [await store.office.mailbox(account.account_id) for account in accounts]
    for number, account in enumerate(accounts):
        await deliver(store, text(number), account.account_id)
    await store.office.tidy()
    for number, mailbox in enumerate(mailboxes):
        assert await seen(mailbox) == [text(number)]
        await mailbox.remove(await keys(mailbox))
        assert await seen(mailbox) == []
    await store.close()


def test_several_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def make(number: int) -> None:
        for round_number in range(30):
            together.wait(20)
            prepare(tmp_path / f"{round_number}.db", OFFICE, create=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))


async def test_a_large_letter_is_not_copied_before_its_time(tmp_path: Path) -> None:
    """Most letters are pulled and deleted before that."""
    now = NOON + 3599.0
    store = EmbeddedStore.open(tmp_path, absorb_seconds=3600.0, clock=lambda: now)
    account = await new_account(store)
    await deliver(store, large_text("large"), account.account_id)
    mailbox = await store.office.mailbox(account.account_id)
    (key,) = await keys(mailbox)
    file = await mailbox.content_file(key)
    assert file is not None
    with file:
        await store.office.tidy()
        assert len(list((tmp_path / "spool").iterdir())) == 1
        assert not mailbox_path(tmp_path, account.account_id).exists()
        now += 1.0
        await store.office.tidy()
        assert list((tmp_path / "spool").iterdir()) == []
        assert await mailbox.content_file(key) is None
        (key,) = await keys(mailbox)
        assert await mailbox.content_file(key) is None
        assert await seen(mailbox) == [large_text("large")]
        assert os.pread(file.descriptor, 2**30, 0) == stuff(large_text("large")), "who has it open reads on"
    await store.close()


async def test_the_file_of_a_large_letter_that_is_not_whole_is_damage(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    await deliver(store, large_text("large"), account.account_id)
    mailbox = await store.office.mailbox(account.account_id)
    (key,) = await keys(mailbox)
    (spooled,) = (tmp_path / "data" / "spool").iterdir()
    os.truncate(spooled, spooled.stat().st_size - 1)
    with pytest.raises(DamagedStore, match="is shorter than the letter in it"):
        await mailbox.content_file(key)
    spooled.unlink()
    assert await mailbox.content_file(key) is None, "`read` tells what is wrong"
