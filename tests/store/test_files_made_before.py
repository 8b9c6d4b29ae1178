"""A file that was made with pages of 4 KiB works as any other does and keeps them, whatever is done with it; and what
is saved of a damaged one does not depend on what its header says of them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from proof.damage import FILE, LOG, Pattern, judge, pattern

from postoffice.database.key import LOCKED_PAGE_OCTETS, PLAIN, Key, new_key
from postoffice.database.sqlite import WRITE_BACK_OCTETS, one_number, open_untouched, open_writer, page_octets_of, shut
from postoffice.home.locking.transcribing import transcribe
from postoffice.home.packing.carrying import opened_to_read, pack, unpack
from postoffice.store.embedded import EmbeddedStore, MailboxFile, backup
from postoffice.store.embedded.backup import Contents, Vault
from postoffice.store.embedded.inspection import inspect, inspect_mailbox
from postoffice.store.embedded.mailbox import WRITE_BACK_OCTETS_AT_HOME
from postoffice.store.embedded.merging import merge
from postoffice.store.embedded.places import mailbox_path, office_path
from postoffice.store.embedded.removal import copy_path
from postoffice.store.embedded.salvage import repair
from postoffice.store.embedded.salvage.layout import has_plain_pages
from postoffice.store.embedded.salvage.pages import look
from postoffice.store.embedded.salvage.views import DamagedFile
from postoffice.store.embedded.salvage.wal import HEAD_OCTETS, checksum
from postoffice.testing.check_store.walk import NOON, deliver, keys, large_text, new_account, put, seen, text
from postoffice.testing.pages import BEFORE, NOW, pages_of

SIZES = (NOW, BEFORE)
LETTERS = [text(1), text(2, lines=500), large_text("large"), text(3)]


def page_octets(path: Path) -> int:
    with closing(open_untouched(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return page_octets_of(connection)


async def mailbox_of(octets: int, path: Path, *plains: bytes) -> Path:
    with pages_of(octets):
        mailbox = MailboxFile.open(path, create=True)
    await put(mailbox, *plains)
    await mailbox.close()
    assert page_octets(path) == octets
    return path


async def letters_of(path: Path) -> list[bytes]:
    mailbox = MailboxFile.open(path)
    try:
        assert await mailbox.check() == []
        return await seen(mailbox)
    finally:
        await mailbox.close()


@pytest.fixture
async def old(tmp_path: Path) -> Path:
    return await mailbox_of(BEFORE, tmp_path / "old.mailbox", *LETTERS)


# --- at home ---------------------------------------------------------------------------------------------------


async def test_it_is_read_and_written_and_keeps_its_pages(old: Path) -> None:
    mailbox = MailboxFile.open(old)
    await put(mailbox, text(4))
    await mailbox.remove((await keys(mailbox))[:1])
    await mailbox.close()
    assert await letters_of(old) == [*LETTERS[1:], text(4)]
    assert list(inspect_mailbox(old, "old")) == []
    assert page_octets(old) == BEFORE


async def test_a_pack_of_it_has_the_same_pages(old: Path, tmp_path: Path) -> None:
    sink, told = BytesIO(), list[int]()
    packed = pack(old, sink, told.append)
    sink.seek(0)
    unpack(sink, tmp_path / "new", "the pack", lambda _: None)
    assert await letters_of(tmp_path / "new") == LETTERS
    assert page_octets(tmp_path / "new") == BEFORE
    assert sum(told) == 2 * packed.octets  # copied, then enclosed


@pytest.mark.parametrize(("into", "other"), [SIZES, SIZES[::-1]])
async def test_files_of_both_kinds_are_merged(into: int, other: int, tmp_path: Path) -> None:
    first = await mailbox_of(into, tmp_path / "first", *LETTERS[:2])
    second = await mailbox_of(other, tmp_path / "second", *LETTERS[2:])
    mailbox = MailboxFile.open(first)
    with opened_to_read(second, first) as connection:
        await merge(connection, mailbox, NOON, lambda _: None)
    await mailbox.close()
    assert await letters_of(first) == LETTERS
    assert (page_octets(first), page_octets(second)) == (into, other)


@pytest.mark.parametrize("octets", SIZES)
async def test_a_locked_file_has_the_pages_of_its_cipher_whatever_it_had(octets: int, tmp_path: Path) -> None:
    path = await mailbox_of(octets, tmp_path / "one", *LETTERS)
    key = new_key()
    transcribe(path, None, key, lambda _: None, lambda _: None)
    mailbox = MailboxFile.open(path, key=key)
    await put(mailbox, text(4))
    assert page_octets_of(mailbox.near()) == LOCKED_PAGE_OCTETS
    await mailbox.close()
    await repair(path, tmp_path / "saved", key=key)
    for one in (path, tmp_path / "saved"):
        transcribe(one, key, None, lambda _: None, lambda _: None)
        assert await letters_of(one) == [*LETTERS, text(4)]


@pytest.mark.parametrize("key", [None, new_key()], ids=["plain", "locked"])
@pytest.mark.parametrize("octets", SIZES)
async def test_the_log_is_written_back_at_the_same_length(octets: int, key: Key | None, tmp_path: Path) -> None:
    with pages_of(octets):
        writer = open_writer(tmp_path / "one", key=key)
        mailbox = MailboxFile.open(tmp_path / "home", create=True, key=key)
    pages = await mailbox.desk.run(lambda connection: one_number(connection, "PRAGMA wal_autocheckpoint"))
    assert pages * page_octets_of(mailbox.near()) == WRITE_BACK_OCTETS_AT_HOME
    assert one_number(writer, "PRAGMA wal_autocheckpoint") * page_octets_of(writer) == WRITE_BACK_OCTETS
    shut(writer)
    await mailbox.close()


# --- an office -------------------------------------------------------------------------------------------------


async def test_an_office_is_served_backed_up_restored_and_its_accounts_are_recovered(tmp_path: Path) -> None:
    data = tmp_path / "office"
    with pages_of(BEFORE):
        store = EmbeddedStore.open(data)
        bob = (await new_account(store)).account_id
        await deliver(store, LETTERS[0], bob)
        await store.office.tidy()
        await store.close()
    store = EmbeddedStore.open(data)
    for plain in LETTERS[1:]:
        await deliver(store, plain, bob)
    await store.office.tidy()
    shown = await seen(await store.office.mailbox(bob))
    assert len(shown) == len(LETTERS)

    with Vault.to_work_in(tmp_path / "vault", backup.office_name(data)) as vault:
        taken = backup.take(data, vault)
        restored = backup.restore(Contents(vault, taken.backup), tmp_path / "restored")
    assert (restored.letters, restored.damages) == (len(LETTERS), [])
    again = EmbeddedStore.open(tmp_path / "restored")
    assert await seen(await again.office.mailbox(bob)) == shown
    await again.close()

    await store.attic.set_aside(bob, NOON, NOON + 1)
    assert page_octets(copy_path(data, bob)) == BEFORE
    back = await store.attic.bring_back(bob)
    assert await seen(await store.office.mailbox(back.account_id)) == shown
    await store.close()
    assert [one for one in inspect(data) if not one.is_harmless] == []
    assert (page_octets(office_path(data)), page_octets(mailbox_path(data, back.account_id))) == (BEFORE, BEFORE)


# --- damaged ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=SIZES)
async def sound(request: pytest.FixtureRequest) -> Pattern:
    return await pattern(60, at_rest=False, page_octets=request.param)


def other_size(sound: Pattern) -> int:
    return BEFORE if sound.page_octets == NOW else NOW


def lie(files: dict[str, bytearray], says: int) -> None:
    """In both headers; the checksum of the log's is right."""
    files[FILE][16:18] = says.to_bytes(2, "big")
    if LOG in files:
        head = files[LOG][:8] + says.to_bytes(4, "big") + files[LOG][12:24]
        order = ">" if head[3] & 1 else "<"
        files[LOG][:HEAD_OCTETS] = head + struct.pack(">2I", *checksum(bytes(head), (0, 0), order))


Change = Callable[[dict[str, bytearray], int, random.Random], None]
"""Of the octets of a file and its log; a size of pages that is not theirs, and chance."""


def _both_lie(files: dict[str, bytearray], other: int, chance: random.Random) -> None:
    lie(files, other)


def _the_file_lies_over_noise(files: dict[str, bytearray], other: int, chance: random.Random) -> None:
    files[FILE][100 : 1 << 16] = chance.randbytes((1 << 16) - 100)
    lie(files, other)


def _both_headers_are_gone(files: dict[str, bytearray], other: int, chance: random.Random) -> None:
    files[FILE][:100] = bytes(100)
    files[LOG][:HEAD_OCTETS] = bytes(HEAD_OCTETS)


def _the_log_alone(files: dict[str, bytearray], other: int, chance: random.Random) -> None:
    files[FILE][:] = bytes(len(files[FILE]))


def _the_log_alone_without_a_header(files: dict[str, bytearray], other: int, chance: random.Random) -> None:
    files[FILE][:] = chance.randbytes(len(files[FILE]))
    files[LOG][:HEAD_OCTETS] = bytes(HEAD_OCTETS)


@pytest.mark.parametrize(
    "change",
    [_both_lie, _the_file_lies_over_noise, _both_headers_are_gone, _the_log_alone, _the_log_alone_without_a_header],
)
async def test_whatever_headers_say_every_intact_letter_is_saved(
    change: Change, sound: Pattern, tmp_path: Path
) -> None:
    outcome = await judge(sound, lambda files, chance: change(files, other_size(sound), chance), 1, tmp_path)
    assert outcome.intact
    assert not outcome.intact - (outcome.saved | outcome.found)
    assert not outcome.wrong


async def test_a_log_of_other_pages_is_not_this_files(sound: Pattern, tmp_path: Path) -> None:
    other = await pattern(60, at_rest=False, page_octets=other_size(sound))
    mixed = replace(sound, files={FILE: sound.files[FILE], LOG: other.files[LOG]})
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    alone.mkdir()
    beside.mkdir()
    without = await judge(replace(sound, files={FILE: sound.files[FILE]}), lambda files, _: None, 1, alone)
    outcome = await judge(mixed, lambda files, _: None, 1, beside)
    assert without.saved
    assert outcome.saved == without.saved


async def test_the_beginning_of_another_file_does_not_decide(sound: Pattern, tmp_path: Path) -> None:
    """As after a disk has mixed up two files."""
    other = await pattern(60, at_rest=True, page_octets=other_size(sound))
    whole = await pattern(60, at_rest=True, page_octets=sound.page_octets)

    def overlay(files: dict[str, bytearray], _: random.Random) -> None:
        files[FILE][: 1 << 16] = other.files[FILE][: 1 << 16]

    outcome = await judge(whole, overlay, 1, tmp_path)
    assert outcome.intact
    assert not outcome.intact - (outcome.saved | outcome.found)


async def test_a_letter_has_no_voice_in_it(tmp_path: Path) -> None:
    """Its octets are those of sound pages of 4 KiB, each where one would begin, and far more than there are pages."""
    forged = b"\5\0\0\0\0" + BEFORE.to_bytes(2, "big") + bytes(5)
    assert look(forged.ljust(BEFORE, b"x"), 2).is_sound
    head = b"Subject: pages\r\n\r\n"
    numbered = head + b"".join(b"%07d " % number for number in range(1 << 16)) + b"\r\n"
    path = await mailbox_of(NOW, tmp_path / "first", numbered, text(1))
    octets, carried = path.read_bytes(), bytearray(numbered)
    for middle in range(BEFORE, len(octets), NOW):
        place = numbered.find(octets[middle : middle + 24])
        if place >= 0:
            carried[place : place + len(forged)] = forged
    path = await mailbox_of(NOW, tmp_path / "second", bytes(carried), text(1))
    octets = path.read_bytes()
    pages = [look(octets[at : at + BEFORE], at // BEFORE + 1).is_sound for at in range(0, len(octets), BEFORE)]
    assert sum(pages) > 50
    with closing(DamagedFile(path)) as file:
        assert file.layout.page_octets == NOW
    assert (await repair(path, tmp_path / "saved")).letters == 2


@pytest.mark.parametrize("octets", SIZES)
async def test_plain_pages_are_known_without_a_header(octets: int, tmp_path: Path) -> None:
    path = await mailbox_of(octets, tmp_path / "one", *LETTERS)
    found = path.read_bytes()
    assert found.startswith(PLAIN)
    assert has_plain_pages(bytes(octets) + found[octets:])
    assert not has_plain_pages(random.Random(1).randbytes(len(found)))
