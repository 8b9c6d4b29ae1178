"""What is damaged in a mailbox file is found, by what is wrong in it and not by how it came; what is untidy is told
apart, and what is being done just now is neither."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from postoffice.database.migrate import prepare
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import CHUNK_OCTETS, REMOVED, Damage, Flag
from postoffice.testing.check_store.walk import keys, large_text, look, put, text
from postoffice.testing.old_kinds import of_version

LETTERS = 30

pytestmark = pytest.mark.usefixtures("page_octets")


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A mailbox at home with small letters, a large one and one that can be recovered, closed."""
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    await put(mailbox, *(text(number, lines=200) for number in range(LETTERS)), large_text("large"))
    await look(mailbox, "phone")
    for viewer in ("phone", ""):
        await mailbox.remove((await keys(mailbox, viewer))[:2], viewer, into=REMOVED)
    await mailbox.close()
    return tmp_path / "home.mailbox"


def found(path: Path) -> list[Damage]:
    return list(inspect_mailbox(path, path.name))


def change(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


async def test_a_sound_mailbox_is_sound_and_counted(path: Path) -> None:
    tally = Tally()
    assert list(inspect_mailbox(path, "home", tally)) == []
    assert (tally.mailboxes, tally.letters) == (1, LETTERS + 1)
    assert tally.octets > len(large_text("large"))


async def test_looking_changes_no_octet(path: Path) -> None:
    before = path.read_bytes()
    path.parent.chmod(0o700)
    found(path)
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]


# --- damage by real means --------------------------------------------------------------------------------------


async def test_an_octet_that_flipped_names_the_letter_it_is_in(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[octets.index(b"line of 17\r\nline of 17") + 30] ^= 0x20
    path.write_bytes(octets)
    [damage] = found(path)
    assert damage.what == "chunk 0 has another checksum"
    assert damage.means.startswith("cannot be read whole: INBOX 18 (")
    assert not damage.is_harmless


async def test_an_octet_that_flipped_in_a_large_letter_names_the_chunk(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[octets.index(b"0007000 ")] ^= 1
    path.write_bytes(octets)
    [damage] = found(path)
    assert damage.what == "chunk 2 has another checksum"
    assert f"INBOX {LETTERS + 1}" in damage.means


async def test_an_index_without_a_row_is_found(path: Path, page_octets: int) -> None:
    connection = apsw.Connection(str(path))
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries_changed'").get
    connection.close()
    page = bytearray(path.read_bytes())
    start = (root - 1) * page_octets
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    page[start + 3 : start + 5] = (cells - 1).to_bytes(2, "big")
    path.write_bytes(page)
    whats = [damage.what for damage in found(path)]
    assert any("missing from index entries_changed" in what for what in whats), whats


async def test_a_page_that_is_lost_leaves_the_others_to_be_looked_at(path: Path, page_octets: int) -> None:
    octets = bytearray(path.read_bytes())
    place = octets.index(b"line of 17\r\nline of 17") // page_octets * page_octets
    octets[place : place + page_octets] = bytes(page_octets)
    flipped = octets.index(b"line of 25\r\nline of 25")
    octets[flipped] ^= 1
    path.write_bytes(octets)
    means = " ".join(damage.means for damage in found(path))
    assert "INBOX 26 (" in means


async def test_a_file_that_was_cut_off_is_damaged(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
    [damage] = found(path)
    assert (damage.where, damage.means) == ("home.mailbox", "no letter in it can be read")


@pytest.mark.parametrize(
    ("sql", "where", "what"),
    [
        ("UPDATE contents SET holds = 0 WHERE content_id = 5", "content 5", "1 letters refer to it, but it counts 0"),
        ("UPDATE contents SET holds = 2 WHERE content_id = 5", "content 5", "1 letters refer to it, but it counts 2"),
        ("DELETE FROM entries WHERE content_id = 5", "content 5", "0 letters refer to it, but it counts 1"),
        ("DELETE FROM contents WHERE content_id = 5", "content 5", "it is not there, but 1 of its chunks are"),
        ("UPDATE folders SET highest_modseq = 1 WHERE folder_id = 2", "letter 33", "its folder does not know it"),
        ("DELETE FROM entries WHERE uid = 9", "the folder INBOX", "1 letters that came into it are neither there nor"),
        ("DELETE FROM vanished", "the folder INBOX", "2 letters that came into it are neither there nor known"),
        ("UPDATE entries SET uid = 9 WHERE entry_id = 10", "letters 9 and 10", "they have one uid"),
        ("UPDATE entries SET folder_id = 9 WHERE entry_id = 10", "letter 10", "its folder does not know it"),
        ("UPDATE entries SET octets = 1 WHERE entry_id = 10", "letter 10", "it is said to have 1 octets and has 2"),
        ("INSERT INTO removed VALUES (999, 1)", "letter 999", "the viewer 1 removed it, but it is not there"),
        ("INSERT INTO removed VALUES (10, 77)", "letter 10", "the viewer 77 removed it, who is not there"),
        ("DELETE FROM viewers", "the table viewers", "it is empty"),
        ("DELETE FROM mailbox", "the table mailbox", "it is empty"),
        ("UPDATE folders SET name = 'Else' WHERE name = 'INBOX'", "the folder INBOX", "it is not there"),
        ("DELETE FROM chunks WHERE chunk_id & 0xfffff = 2", "content 1", "chunk 2 is not there"),
    ],
)
async def test_what_breaks_a_rule_is_found(path: Path, sql: str, where: str, what: str) -> None:
    change(path, sql)
    told = [(damage.where.partition(", ")[2], damage.what, damage.is_harmless) for damage in found(path)]
    assert any(at == where and said.startswith(what) and not harmless for at, said, harmless in told), told


async def test_what_a_sweep_will_take_away_is_untidy_and_no_damage(path: Path) -> None:
    change(
        path, "INSERT INTO contents (content_id) VALUES (900); INSERT INTO chunks VALUES (900 << 20, 0, NULL, x'00')"
    )
    [untidy] = found(path)
    assert untidy.is_harmless
    assert (untidy.where, untidy.what) == ("home.mailbox, content 900", "it belongs to no letter any more")
    mailbox = MailboxFile.open(path)
    assert await mailbox.check() == []
    await mailbox.close()
    assert found(path) == []


async def test_a_letter_on_its_way_in_is_not_told(path: Path) -> None:
    mailbox = MailboxFile.open(path)
    stage = await mailbox.stage()
    await stage.write(bytes(9 * CHUNK_OCTETS))
    assert found(path) == []
    await stage.abandon()
    await mailbox.close()


# --- what is being done just now -------------------------------------------------------------------------------


async def test_letters_that_come_and_go_meanwhile_are_no_damage(path: Path) -> None:
    mailbox = MailboxFile.open(path)
    is_over = asyncio.Event()
    rounds = 0

    async def look() -> None:
        nonlocal rounds
        while rounds < 12:
            assert [one for one in await asyncio.to_thread(found, path) if not one.is_harmless] == []
            rounds += 1
        is_over.set()

    async def come_and_go() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            added = await put(mailbox, text(f"new {number}"), large_text(f"large {number}"))
            await mailbox.flag(added, Flag.SEEN)
            for viewer in ("", "phone"):
                await mailbox.remove(added, viewer)

    await asyncio.gather(look(), come_and_go())
    await mailbox.close()


async def test_an_empty_file_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "home.mailbox").touch()
    [untidy] = found(tmp_path / "home.mailbox")
    assert untidy.is_harmless


async def test_a_file_of_the_first_version_is_looked_at_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.mailbox"
    prepare(path, of_version(MAILBOX, 1), create=True)
    assert found(path) == []
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA user_version").get == 1
    connection.close()
