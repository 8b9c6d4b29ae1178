"""The power fails at every sync of a run: what the disk has then, another run makes whole, and nothing is doubled."""

from __future__ import annotations

import os
import shutil
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.handing.conftest import LETTERS, Spool
from tests.handing.test_maildir import letters_in as letters_in_maildir
from tests.handing.test_mbox import OTHERS
from tests.handing.test_mbox import letters_in as letters_in_mbox

from postoffice.errors import PostofficeError
from postoffice.handing.journal import Journal
from postoffice.handing.target import target
from postoffice.handing.way import hand_over, open_hand
from postoffice.store.embedded import MailboxFile
from postoffice.testing.disk import Disk, Names


async def run(spool: Path, folder: Path, text: str) -> None:
    """The spool keeps what it answered for (tests/store/test_power_loss.py): only the other files can lose anything."""
    mailbox = MailboxFile.open(spool)
    try:
        hand = open_hand(target(text), folder)
        assert hand is not None
        with closing(hand), closing(Journal(folder / "bob.journal")) as journal:
            await hand_over(mailbox, hand, journal)
    finally:
        await mailbox.close()


@pytest.mark.parametrize("names", list(Names))
@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_the_power_fails_at_every_sync(spool: Spool, tmp_path: Path, kind: str, names: Names) -> None:
    await spool.put(*LETTERS)
    moment, is_off = 1, True
    while is_off:
        file, before, after = tmp_path / "now.mailbox", tmp_path / "before", tmp_path / "after"
        shutil.copy(spool.file, file)
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir()
        if kind == "mbox":
            (before / "mbox").write_bytes(OTHERS)
        with Disk(before, moment) as disk:
            try:
                await run(file, before, f"{kind}:{before}/{kind}")
            except (PostofficeError, OSError):
                assert disk.is_off
        is_off = disk.is_off
        disk.leave(after, names)
        for lock in after.glob("*.lock"):
            os.utime(lock, (1.0, 1.0))  # from before the machine was started again
        await run(file, after, f"{kind}:{after}/{kind}")
        assert await Spool(file).left() == 0
        if kind == "maildir":
            assert letters_in_maildir(after / kind) == sorted(LETTERS), moment
        else:
            assert letters_in_mbox(after / kind) == sorted((*LETTERS, b"Subject: hers\r\n\r\nbody\r\n")), moment
        moment += 1
    assert moment > (len(LETTERS) if kind == "maildir" else 2)


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_a_disk_that_fails_at_any_sync_costs_nothing_but_another_run(
    spool: Spool, tmp_path: Path, kind: str
) -> None:
    await spool.put(*LETTERS)
    moment, has_failed = 1, True
    while has_failed:
        file, folder = tmp_path / "now.mailbox", tmp_path / f"at-{moment}"
        shutil.copy(spool.file, file)
        folder.mkdir()
        if kind == "mbox":
            (folder / "mbox").write_bytes(OTHERS)
        with Disk(folder, moment) as disk:
            with suppress(PostofficeError):  # and nothing else
                await run(file, folder, f"{kind}:{folder}/{kind}")
            has_failed = disk.is_off
            disk.mend()
            await run(file, folder, f"{kind}:{folder}/{kind}")
        assert await Spool(file).left() == 0
        if kind == "maildir":
            assert letters_in_maildir(folder / kind) == sorted(LETTERS), moment
        else:
            assert letters_in_mbox(folder / kind) == sorted((*LETTERS, b"Subject: hers\r\n\r\nbody\r\n")), moment
        moment += 1
