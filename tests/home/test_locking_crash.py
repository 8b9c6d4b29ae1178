"""Whatever moment ends a process that locks a mailbox, unlocks it for good or changes its passphrase: what is there
opens, by what opened it before or by what opens it from now on, with every letter."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from postoffice.database.key import salt_of
from postoffice.errors import UsageError
from postoffice.home.locking.beside import read_slots
from postoffice.home.locking.changing import change_passphrase, change_recovery_key, lock_first, unlock_for_good
from postoffice.home.locking.finding import key_by
from postoffice.home.locking.recognizing import is_locked
from postoffice.home.locking.slots import Effort
from postoffice.home.locking.transcribing import sweep
from postoffice.home.mailbox import opening
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter
from postoffice.testing.check_store.walk import seen
from postoffice.testing.killing import Deed, killed_at

LETTERS = [b"Subject: %d\r\n\r\nreadable %d\r\n" % (number, number) * 50 for number in range(5)]
OLD, NEW = "correct horse battery", "four other random words"
FILE = "home.mailbox"
CHEAP = Effort(64, 1, 1)


async def fill(file: Path) -> None:
    mailbox = MailboxFile.open(file, create=True)
    for letter in LETTERS:
        stage = await mailbox.stage()
        await stage.write(stuff(letter))
        await mailbox.append([Letter(await stage.finish(), 7.0)])
    await mailbox.close()


async def letters_of(file: Path, *passphrases: str) -> Sequence[bytes]:
    """By the first of these that opens it, if it is locked."""
    key = None
    if is_locked(file):
        for passphrase in passphrases:
            try:
                key = key_by(file, passphrase)
                break
            except UsageError:
                continue
        assert key is not None, "nothing opens it"
    mailbox = opening(file, key=key)()
    try:
        return await seen(mailbox)
    finally:
        await mailbox.close()


async def locks(folder: Path, _vfs: str) -> None:
    lock_first(folder / FILE, OLD, lambda _: None, CHEAP)


async def unlocks(folder: Path, _vfs: str) -> None:
    file = folder / FILE
    unlock_for_good(file, key_by(file, OLD), lambda _: None)


async def changes(folder: Path, _vfs: str) -> None:
    file = folder / FILE
    change_passphrase(file, key_by(file, OLD), NEW, CHEAP)


async def renews(folder: Path, _vfs: str) -> None:
    file = folder / FILE
    change_recovery_key(file, key_by(file, OLD))


@pytest.mark.parametrize("deed", [locks, unlocks, changes, renews])
async def test_at_no_moment_is_there_a_file_that_nothing_opens(deed: Deed, tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    sound.mkdir()
    await fill(sound / FILE)
    if deed is not locks:
        lock_first(sound / FILE, OLD, lambda _: None, CHEAP)
    was_locked = is_locked(sound / FILE)
    step, goes_on, states = 0, True, set()
    while goes_on:
        step += 1
        assert step < 100
        folder = tmp_path / f"{step}"
        shutil.copytree(sound, folder)
        goes_on = killed_at(step, deed, folder)
        file = folder / FILE
        assert list(await letters_of(file, OLD, NEW)) == LETTERS
        states.add(is_locked(file))
        if is_locked(file):
            assert read_slots(file).mailbox == salt_of(file)
            sweep(file)  # as `lock` does
            assert not any(b"readable" in path.read_bytes() for path in folder.iterdir()), "it is not locked"
        if goes_on:  # it is done again, and comes to its end
            if (is_locked(file) == was_locked and deed is not changes) or (deed is changes and await opens(file, OLD)):
                await deed(folder, "")
            assert list(await letters_of(file, OLD, NEW)) == LETTERS
    assert step > 4, "nothing was killed"
    assert states == {was_locked, is_locked(file)}


async def opens(file: Path, passphrase: str) -> bool:
    try:
        return key_by(file, passphrase) is not None
    except UsageError:
        return False
