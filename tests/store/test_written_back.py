"""What is pulled is written from the log into the file while more comes, and not when the file is closed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from postoffice.database.sqlite import one_number, open_reader, shut
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.mailbox import WRITE_BACK_AHEAD_OCTETS
from postoffice.testing.check_store.walk import must_be_sound, put, text

SECONDS = 20.0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


def letters(octets: int) -> list[bytes]:
    """So many in all, and none of them large."""
    return [text(number, 4000) for number in range(1 + octets // len(text(0, 4000)))]


async def test_what_is_kept_gets_into_the_file_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    try:
        await put(mailbox, *letters(WRITE_BACK_AHEAD_OCTETS))
        await until(lambda: path.stat().st_size > WRITE_BACK_AHEAD_OCTETS)
        await put(mailbox, text("behind it"))
        await must_be_sound(mailbox)
    finally:
        await mailbox.close()


async def test_a_few_letters_wait_in_the_log_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    try:
        before = path.stat().st_size
        await put(mailbox, *letters(WRITE_BACK_AHEAD_OCTETS // 4))
        assert path.stat().st_size == before
    finally:
        await mailbox.close()
    assert path.stat().st_size > WRITE_BACK_AHEAD_OCTETS // 4


async def test_who_reads_meanwhile_is_in_nobodys_way_and_sees_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    wanted = letters(WRITE_BACK_AHEAD_OCTETS)
    try:
        await put(mailbox, text("first"))
        reader = open_reader(path)
        with reader:
            assert one_number(reader, "SELECT count(*) FROM entries") == 1
            await put(mailbox, *wanted)
            await put(mailbox, *(text(f"more {number}", 4000) for number in range(len(wanted))))
            assert one_number(reader, "SELECT count(*) FROM entries") == 1
        shut(reader)
    finally:
        await mailbox.close()
    again = MailboxFile.open(path)
    try:
        assert len((await again.snapshot()).keys) == 1 + 2 * len(wanted)
        await must_be_sound(again)
    finally:
        await again.close()
