"""A backup has every letter that was answered for before it began, once, and becomes an office that repeats none."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from postoffice.database.sqlite import open_reader, open_writer, shut
from postoffice.errors import StoreUnavailable, UsageError
from postoffice.home.search.extraction import document
from postoffice.store.embedded import EmbeddedStore, MailboxFile, backup
from postoffice.store.embedded.backup import Contents, Restored, Taken, Vault
from postoffice.store.embedded.index import Index
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import CHUNK_OCTETS, INBOX, Acceptance, Flag
from postoffice.testing.check_store.walk import PREFIX, deliver, letter, new_account, seen, staged

BOB, CAROL = 1, 2
LARGE = CHUNK_OCTETS * 2 + 7000
NEARLY = CHUNK_OCTETS - 20

pytestmark = pytest.mark.usefixtures("page_octets")


def text(number: int, octets: int = 900) -> bytes:
    """A letter like no other; every second line begins with a dot."""
    head = b"Subject: %d\r\n\r\n" % number
    return head + (b"%d and more\r\n.%d\r\n" % (number, number)) * (octets // 20)


@dataclass
class Place:
    """An office with two people, where its backups go, and where it is restored."""

    folder: Path
    store: EmbeddedStore

    @property
    def data(self) -> Path:
        return self.folder / "office"

    @property
    def root(self) -> Path:
        return self.folder / "vault"

    def take(self, *, anew: bool = False, keep: int = 0) -> Taken:
        with Vault.to_work_in(self.root, backup.office_name(self.data)) as vault:
            taken = backup.take(self.data, vault, anew=anew)
            if keep:
                backup.keep_newest(vault, keep)
            return taken

    def restore(self, name: str = "", *, to: str = "restored", with_queue: bool = True) -> Restored:
        with Vault.to_read(self.root) as vault:
            found = Contents(vault, vault.find(name))
            return backup.restore(found, self.folder / to, with_queue=with_queue)

    def sheet(self, taken: Taken, account_id: int) -> Path:
        """The file of somebody's mailbox in a backup."""
        [sheet] = [sheet for sheet in taken.manifest.mailboxes if sheet.account_id == account_id]
        return taken.backup.mailbox(sheet)

    def damages(self, name: str = "") -> list[str]:
        with Vault.to_read(self.root) as vault:
            return list(Contents(vault, vault.find(name)).damages())

    async def restored(self, account_id: int, to: str = "restored") -> list[bytes]:
        """What somebody is shown in the restored office, before and after everything is absorbed."""
        store = EmbeddedStore.open(self.folder / to)
        try:
            before = await seen(await store.office.mailbox(account_id))
            await store.office.tidy()
            assert await seen(await store.office.mailbox(account_id)) == before
            assert await store.office.check() == []
            return before
        finally:
            await store.close()

    async def shown(self, account_id: int) -> list[bytes]:
        return await seen(await self.store.office.mailbox(account_id))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = EmbeddedStore.open(tmp_path / "office")
    for name, account_id in (("bob@b.example", BOB), ("carol@b.example", CAROL)):
        assert (await new_account(store, name)).account_id == account_id
    yield Place(tmp_path, store)
    await store.close()


async def fill(store: EmbeddedStore) -> None:
    """Each has letters in the file and letters that have just arrived, small, large, empty, and one in common."""
    await deliver(store, text(1), BOB)
    await deliver(store, text(2, LARGE), BOB, CAROL)
    await deliver(store, b"", BOB)
    await store.office.tidy()
    await deliver(store, text(3), BOB, CAROL)
    await deliver(store, text(4, LARGE), CAROL)
    await deliver(store, text(5, NEARLY), CAROL)


async def test_a_restored_office_shows_what_the_office_showed(place: Place) -> None:
    await fill(place.store)
    taken = place.take()
    restored = place.restore()
    for account_id in (BOB, CAROL):
        shown = await place.shown(account_id)
        assert await place.restored(account_id) == shown
    assert (restored.accounts, restored.letters, restored.damages) == (2, 8, [])
    assert (taken.manifest.letters, taken.manifest.octets) == (restored.letters, restored.octets)
    assert place.damages() == []


async def test_an_office_with_nothing_in_it_can_be_backed_up(place: Place) -> None:
    place.take()
    assert place.restore().letters == 0
    assert await place.restored(BOB) == []


async def test_a_mailbox_that_was_searched_is_restored_without_its_index(place: Place) -> None:
    await fill(place.store)
    await place.store.office.tidy()
    path = mailbox_path(place.data, BOB)
    index = Index(path)
    assert await index.add(document) > 0
    await index.close()
    shown = await place.shown(BOB)
    place.take()
    place.restore()
    assert await place.restored(BOB) == shown
    index = Index(mailbox_path(place.folder / "restored", BOB))
    assert not await index.is_there()
    while await index.add(document):
        pass
    assert await index.missing() == 0
    await index.close()
    store = EmbeddedStore.open(place.folder / "restored")
    mailbox = await store.office.mailbox(BOB)
    await mailbox.remove((await mailbox.snapshot()).keys)
    await store.close()


async def test_unique_ids_stay_and_uids_begin_anew(place: Place) -> None:
    await fill(place.store)
    mailbox = await place.store.office.mailbox(BOB)
    await mailbox.flag([(await mailbox.snapshot()).keys[0]], Flag.SEEN)
    place.take()
    place.restore()
    then = (await place.store.office.mailbox(BOB)).snapshot
    store = EmbeddedStore.open(place.folder / "restored")
    again = await store.office.mailbox(BOB)
    assert list((await again.snapshot()).unique_ids) == list((await then()).unique_ids)
    [inbox] = await again.folders()
    [inbox_then] = await mailbox.folders()
    assert inbox.uid_validity > inbox_then.uid_validity
    first = (await again.changes(0)).entries[0]
    assert first.flags == Flag.SEEN
    assert first.prefix == PREFIX
    assert await store.directory.secret() == await place.store.directory.secret()
    await store.close()


async def test_what_comes_after_a_restore_is_neither_skipped_nor_taken_for_another(place: Place) -> None:
    """Arrivals count from where they stood at the backup, and mailboxes know of later ones: of another life."""
    await fill(place.store)
    await place.store.office.tidy()
    await deliver(place.store, text(6), BOB)
    place.take()
    await deliver(place.store, text(7), BOB)
    await place.store.office.tidy()
    place.restore()
    store = EmbeddedStore.open(place.folder / "restored")
    known = set((await (await store.office.mailbox(BOB)).snapshot()).unique_ids)
    await deliver(store, text(8), BOB)
    mailbox = await store.office.mailbox(BOB)
    shown = await mailbox.snapshot()
    assert len(shown.unique_ids) == len(set(shown.unique_ids)) == len(known) + 1
    await store.office.tidy()
    assert (await seen(mailbox))[-2:] == [PREFIX + text(6), PREFIX + text(8)]
    assert list((await mailbox.snapshot()).unique_ids) == list(shown.unique_ids)
    await store.close()


async def test_a_backup_of_a_restored_office_goes_into_the_same_vault(place: Place) -> None:
    await fill(place.store)
    place.take()
    place.restore()
    again = Place(place.folder, place.store)
    with Vault.to_work_in(place.root, backup.office_name(place.folder / "restored")) as vault:
        taken = backup.take(place.folder / "restored", vault)
    assert taken.letters_added == 0
    again.restore(taken.backup.name, to="third")
    assert await place.restored(CAROL, to="third") == await place.shown(CAROL)


async def test_a_removed_account_that_may_come_back_comes_back_in_the_restored_office(place: Place) -> None:
    await fill(place.store)
    shown = await place.shown(CAROL)
    await place.store.attic.set_aside(CAROL, 1000.0, 2000.0)
    first, second = place.take(), place.take()
    assert (first.manifest.accounts, first.manifest.letters, first.manifest.damages) == (1, 8, [])
    assert second.unchanged == 2
    assert place.take(keep=1).manifest.letters == 8
    assert place.damages() == []
    assert place.restore().letters == 8
    store = EmbeddedStore.open(place.folder / "restored")
    try:
        assert await store.office.check() == []
        assert [removed.account.address for removed in await store.attic.accounts()] == ["carol@b.example"]
        account = await store.attic.bring_back(CAROL)
        mailbox = await store.office.mailbox(account.account_id)
        assert await seen(mailbox) == shown
        await deliver(store, text(9), account.account_id)
        await store.office.tidy()
        assert await seen(mailbox) == [*shown, PREFIX + text(9)]
        assert await store.office.check() == []
    finally:
        await store.close()


@pytest.mark.parametrize(("name", "words"), [("2.json", "is damaged"), ("2.mailbox", "the mailbox is not there")])
async def test_what_is_lost_of_a_removed_account_keeps_nothing_else_from_the_backup(
    place: Place, name: str, words: str
) -> None:
    await fill(place.store)
    await place.store.attic.set_aside(CAROL, 1000.0, 2000.0)
    path = place.data / "removed" / name
    path.unlink()
    if name.endswith("json"):
        path.write_bytes(b"no deed")
    [damage] = place.take().manifest.damages
    assert words in damage
    place.restore()
    assert await place.restored(BOB) == await place.shown(BOB)


async def test_a_damaged_letter_of_a_removed_account_is_named(place: Place) -> None:
    await fill(place.store)
    await place.store.attic.set_aside(CAROL, 1000.0, 2000.0)
    place.take()
    spoil(content_files(place)[b"Subject: 4"])
    [damage] = place.damages()
    assert damage.startswith("carol@b.example: the letter m")
    assert place.restore().damages == [damage]


async def test_an_account_that_is_removed_while_the_backup_is_taken_is_there_with_its_letters(place: Place) -> None:
    """It lived at the moment of the copy of office.db, and its mailbox stands elsewhere when its turn comes."""
    await fill(place.store)
    shown, loop = await place.shown(CAROL), asyncio.get_running_loop()
    removed: list[int] = []

    def make_room() -> None:
        if not removed:
            removed.append(CAROL)
            removing = place.store.attic.set_aside(CAROL, 1000.0, 2000.0)
            asyncio.run_coroutine_threadsafe(removing, loop).result()

    def clock() -> float:
        if not removed:
            asyncio.run_coroutine_threadsafe(deliver(place.store, text(8, 5 << 20), BOB), loop).result()
            vault.shelf.make_room = make_room  # asked when that letter is synced, with the copy of office.db begun
        return 1.0

    with Vault.to_work_in(place.root, backup.office_name(place.data)) as vault:
        taken = await loop.run_in_executor(None, lambda: backup.take(place.data, vault, clock=clock))
    assert removed
    assert (taken.manifest.accounts, taken.manifest.damages) == (2, [])
    place.restore()
    assert await place.restored(CAROL) == shown


# --- while it serves -------------------------------------------------------------------------------------------


async def test_whatever_is_absorbed_meanwhile_is_there_once(place: Place) -> None:
    """Letters come and are absorbed while backups are taken one after the other."""
    people = [BOB, CAROL, *[(await new_account(place.store, f"p{n}@b.example")).account_id for n in range(38)]]
    answered: list[tuple[int, int]] = []
    promises: list[tuple[str, list[tuple[int, int]]]] = []

    def take_some() -> None:
        while len(promises) < 5:
            before = answered.copy()
            promises.append((place.take().backup.name, before))

    async def send(numbers: Iterator[int]) -> None:
        while not taking.done():
            if len(answered) > 100 * (len(promises) + 1):
                await asyncio.sleep(0.01)  # so that the next backup has an end
                continue
            account_id, number = random.choice(people), next(numbers)
            await deliver(place.store, text(number, LARGE if number % 50 == 0 else 200), account_id)
            answered.append((account_id, number))

    async def tidy() -> None:
        while not taking.done():
            await place.store.office.tidy()

    taking = asyncio.get_running_loop().run_in_executor(None, take_some)
    await asyncio.gather(taking, tidy(), *[send(count(first, 4)) for first in range(4)])
    for name, before in promises:
        place.restore(name, to=name)
        held: Counter[tuple[int, int]] = Counter()
        store = EmbeddedStore.open(place.folder / name)
        for account_id in people:
            for plain in await seen(await store.office.mailbox(account_id)):
                held[account_id, int(plain.split()[3])] += 1
        await store.close()
        assert not set(before) - held.keys(), "a letter that was answered for is not in the backup"
        assert max(held.values(), default=1) == 1, "a letter is there twice"


async def test_a_large_letter_that_is_absorbed_under_the_eyes_of_the_backup_is_there_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in office.db at the moment, and its spool file is gone when its turn comes."""
    loop, sync = asyncio.get_running_loop(), os.fsync
    taker: list[int] = []

    def do(work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result()

    async def deliver_two() -> None:
        await deliver(place.store, text(1, 5 << 20), BOB)  # enough to be synced at once
        await deliver(place.store, text(2, LARGE), BOB, CAROL)

    def clock() -> float:
        """Asked for the time before the moment, and after it."""
        if not taker:
            do(deliver_two())
            taker.append(threading.get_ident())
        return 1.0

    def fsync(descriptor: int) -> None:
        if taker == [threading.get_ident()]:
            taker.append(0)
            do(place.store.office.tidy())
            assert list((place.data / "spool").iterdir()) == []
        sync(descriptor)

    def take_it() -> Taken:
        with Vault.to_work_in(place.root, backup.office_name(place.data)) as vault:
            return backup.take(place.data, vault, clock=clock)

    monkeypatch.setattr(os, "fsync", fsync)
    taken = await loop.run_in_executor(None, take_it)
    assert len(taker) == 2
    assert (taken.manifest.letters, taken.manifest.damages) == (3, [])
    place.restore()
    for account_id in (BOB, CAROL):
        assert await place.restored(account_id) == await place.shown(account_id)


async def test_a_spool_file_that_is_lost_is_damage(place: Place) -> None:
    await fill(place.store)
    for path in (place.data / "spool").iterdir():
        path.unlink()
    taken = place.take()
    assert [words.partition(": ")[2] for words in taken.manifest.damages] == ["its spool file is not there"]
    damages = place.restore().damages
    assert len(damages) == 2
    assert damages[1].startswith("carol@b.example: the letter m")
    assert await place.restored(CAROL) == [
        PREFIX + text(n, octets) for n, octets in ((2, LARGE), (3, 900), (5, NEARLY))
    ]


async def test_a_backup_writes_only_what_is_new(place: Place) -> None:
    await fill(place.store)
    await place.store.office.tidy()
    first = place.take()
    assert (first.letters_added, first.unchanged) == (6, 0)
    files = {path: path.stat().st_mtime_ns for path in content_files(place).values()}
    second = place.take()
    assert (second.letters_added, second.octets_added, second.unchanged) == (0, 0, 2)
    assert {path: path.stat().st_mtime_ns for path in content_files(place).values()} == files
    for account_id in (BOB, CAROL):
        assert place.sheet(second, account_id).samefile(place.sheet(first, account_id))
    await deliver(place.store, text(6), BOB)
    await place.store.office.tidy()
    third = place.take()
    assert (third.letters_added, third.unchanged) == (1, 1)
    place.restore()
    assert await place.restored(BOB) == await place.shown(BOB)


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
async def test_every_change_of_a_mailbox_is_seen(place: Place, is_open: bool) -> None:
    """Also one that leaves length and number of letters as they were, done right after the backup looked."""
    await deliver(place.store, text(1), BOB)
    await place.store.office.tidy()
    for flags in (Flag.SEEN, Flag.DRAFT, Flag.SEEN, Flag.FLAGGED):
        place.take()
        mailbox = await place.store.office.mailbox(BOB)
        await mailbox.flag((await mailbox.snapshot()).keys, flags)
        if not is_open:
            place.store.office._mailboxes.pop(BOB).rest()
        taken = place.take()
        sheet = open_reader(place.sheet(taken, BOB))
        assert sheet.execute("SELECT flags FROM entries").get == flags
        shut(sheet)


async def test_a_backup_leaves_the_office_as_it_is(place: Place) -> None:
    await fill(place.store)
    await place.store.close()
    place.take()
    files = {path: path.read_bytes() for path in place.data.rglob("*") if path.is_file()}
    place.take()
    assert {path: path.read_bytes() for path in place.data.rglob("*") if path.is_file()} == files


# --- the queue -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_queue", [True, False])
async def test_letters_to_other_offices_wait_again_or_are_left_out(place: Place, with_queue: bool) -> None:
    office = place.store.office
    for number, octets in ((1, 200), (2, LARGE)):
        content = await staged(office, text(number, octets))
        await office.accept(Acceptance(f"q{number}", content, "b@b.example", 5.0 + number, remote=("x@far.example",)))
    assert len(await office.claim("somebody", 100.0, 600.0, 10)) == 2
    place.take()
    restored = place.restore(with_queue=with_queue)
    store = EmbeddedStore.open(place.folder / "restored")
    assert await store.office.check() == []
    items = await store.office.claim("another", 100.0, 600.0, 10)
    assert [item.letter_id for item in items] == (["q1", "q2"] if with_queue else [])
    assert restored.queued == len(items)
    assert restored.accepted == ((6.0, 7.0) if with_queue else (0.0, 0.0))
    assert list((store._premises.spool.folder).iterdir()) == [] or with_queue
    for item in items:
        assert (await store.office.read_item(item)).wire.startswith(b"Subject: ")
    await store.close()


# --- damage ----------------------------------------------------------------------------------------------------


def content_files(place: Place) -> dict[bytes, Path]:
    """The files of letters by their first line."""
    return {path.read_bytes().split(b"\r\n")[0]: path for path in (place.root / "contents").glob("??/*")}


def spoil(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(octets)


@pytest.mark.parametrize("number", [1, 2, 3, 4], ids=["filed", "large", "arrived", "spooled"])
@pytest.mark.parametrize("how", ["spoiled", "gone"])
async def test_a_damaged_letter_is_named_and_all_others_are_restored(place: Place, number: int, how: str) -> None:
    await fill(place.store)
    place.take()
    path = content_files(place)[b"Subject: %d" % number]
    spoil(path) if how == "spoiled" else path.unlink()
    expected = place.damages()
    owners = {1: ["bob"], 2: ["bob", "carol"], 3: ["bob", "carol"], 4: ["carol"]}[number]
    assert sorted(words.split("@")[0] for words in expected) == owners
    assert all("the letter m" in words for words in expected)
    assert sorted(place.restore().damages) == sorted(expected)
    for name, account_id in (("bob", BOB), ("carol", CAROL)):
        whole = [plain for plain in await place.shown(account_id) if b"Subject: %d\r\n" % number not in plain]
        assert len(whole) == len(await place.shown(account_id)) - (name in owners)
        assert await place.restored(account_id) == whole


async def test_a_letter_that_cannot_be_restored_is_a_commit_of_a_mailbox_that_has_a_chain(place: Place) -> None:
    await fill(place.store)
    home = MailboxFile.open(mailbox_path(place.data, BOB))
    await home.write(lambda _: None)  # the chain begins
    await home.close()
    place.take()
    spoil(content_files(place)[b"Subject: 1"])
    assert len(place.restore().damages) == 1
    tally = Tally()
    assert list(inspect_mailbox(mailbox_path(place.folder / "restored", BOB), "bob", tally)) == []
    assert tally.commit is not None
    assert tally.commit[:2] == (1, 2)


async def test_a_damaged_content_that_is_filed_and_arrived_is_named_for_each_letter_once(place: Place) -> None:
    await deliver(place.store, text(1), BOB)
    await place.store.office.tidy()
    await deliver(place.store, text(1), BOB)
    place.take()
    spoil(content_files(place)[b"Subject: 1"])
    assert len(place.damages()) == 2
    assert sorted(place.restore().damages) == sorted(place.damages())
    assert await place.restored(BOB) == []


async def test_a_damaged_mailbox_in_the_backup_is_named_and_all_others_are_restored(place: Place) -> None:
    await fill(place.store)
    taken = place.take()
    spoil(place.sheet(taken, BOB))
    [damage] = place.restore().damages
    assert damage.startswith("bob@b.example: ")
    assert await place.restored(CAROL) == await place.shown(CAROL)
    assert await place.restored(BOB) == [PREFIX + text(3)]


async def test_what_is_damaged_in_the_office_keeps_nothing_else_from_the_backup(place: Place) -> None:
    await fill(place.store)
    await place.store.close()
    mailbox_path(place.data, BOB).write_bytes(b"no mailbox at all" * 1000)
    office = open_writer(place.data / "office.db")
    office.execute("UPDATE chunks SET data = zeroblob(20) WHERE length(data) > 200000")
    shut(office)
    taken = place.take()
    assert len(taken.manifest.damages) == 2
    assert len(place.restore().damages) == 3, "the letter without its octets is named too"
    assert await place.restored(CAROL) == [PREFIX + text(2, LARGE), PREFIX + text(3), PREFIX + text(4, LARGE)]
    assert await place.restored(BOB) == [PREFIX + text(3)]


async def test_anew_mends_what_is_damaged_in_the_vault(place: Place) -> None:
    await fill(place.store)
    place.take()
    spoil(content_files(place)[b"Subject: 1"])
    content_files(place)[b"Subject: 4"].unlink()
    assert len(place.damages()) == 2
    taken = place.take(anew=True)
    assert taken.letters_added == 2
    assert place.damages() == []


# --- the vault -------------------------------------------------------------------------------------------------


async def test_old_backups_go_with_the_letters_that_only_they_had(place: Place) -> None:
    await fill(place.store)
    place.take()
    mailbox = await place.store.office.mailbox(BOB)
    await mailbox.remove((await mailbox.snapshot()).keys)
    place.take()
    await deliver(place.store, text(9), BOB)
    place.take(keep=2)
    with Vault.to_read(place.root) as vault:
        assert len(vault.backups()) == 2
        assert all(list(Contents(vault, one).damages()) == [] for one in vault.backups())
    numbers = {name for name in content_files(place) if name}
    assert numbers == {b"Subject: %d" % number for number in (2, 3, 4, 5, 9)}


async def test_what_was_cut_off_is_taken_away(place: Place) -> None:
    await fill(place.store)
    place.take()
    (place.root / "2026-01-01T000000Z.new" / "mailboxes").mkdir(parents=True)
    (place.root / "2026-01-02T000000Z.old").mkdir()
    (place.root / "contents" / "new").mkdir(exist_ok=True)
    (place.root / "contents" / "new" / "abc").write_bytes(b"half a lett")
    place.take()
    assert sorted(path.name[-1] for path in place.root.iterdir()) == ["Z", "Z", "n", "s"]
    assert not (place.root / "contents" / "new" / "abc").exists()


async def test_one_works_in_a_vault_at_a_time(place: Place) -> None:
    place.take()
    name = backup.office_name(place.data)
    with Vault.to_work_in(place.root, name), pytest.raises(StoreUnavailable, match="another backup"):
        Vault.to_work_in(place.root, name)
    with Vault.to_read(place.root), Vault.to_read(place.root), pytest.raises(StoreUnavailable, match="a restore"):
        Vault.to_work_in(place.root, name)
    with Vault.to_work_in(place.root, name), pytest.raises(StoreUnavailable, match="under way"):
        Vault.to_read(place.root)


async def test_a_vault_is_one_office_s(place: Place) -> None:
    place.take()
    with pytest.raises(UsageError, match="another office") as refused:
        Vault.to_work_in(place.root, "somebody else")
    assert refused.value.status == os.EX_CANTCREAT


async def test_an_interrupted_restore_is_begun_anew(place: Place) -> None:
    await fill(place.store)
    place.take()
    (place.folder / "restored" / "restoring" / "mailboxes").mkdir(parents=True)
    (place.folder / "restored" / "mailboxes").mkdir()
    (place.folder / "restored" / "restoring" / "office.db").write_bytes(b"half")
    place.restore()
    assert await place.restored(BOB) == await place.shown(BOB)
    assert not (place.folder / "restored" / "restoring").exists()


async def test_a_letter_that_is_here_twice_is_restored_twice(place: Place) -> None:
    mailbox = await place.store.office.mailbox(BOB)
    await mailbox.append([await letter(mailbox, text(1)), await letter(mailbox, text(1))])
    await mailbox.create_folder("Archive")
    [first, _] = (await mailbox.snapshot()).keys
    await mailbox.move([first], "Archive")
    place.take()
    place.restore()
    store = EmbeddedStore.open(place.folder / "restored")
    again = await store.office.mailbox(BOB)
    assert [folder.name for folder in await again.folders()] == [INBOX, "Archive"]
    assert await seen(again) == [text(1)]
    assert len((await again.snapshot(folder="Archive")).keys) == 1
    await store.close()
