"""Mailbox files at home, for tests: letters put into one, and taken out again as they are."""

from __future__ import annotations

from pathlib import Path

from postoffice.database.key import Key
from postoffice.protocols.dots import stuff
from postoffice.store.base import Mailbox
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX, NO_FLAGS, Flag, Letter
from postoffice.testing.check_store.walk import NOON, seen


async def put(
    mailbox: Mailbox, *letters: bytes, folder: str = INBOX, flags: Flag = NO_FLAGS, date: float = NOON
) -> None:
    """One after the other; `date` is when they came, in seconds since the epoch. The folder is made if need be."""
    if folder not in {one.name for one in await mailbox.folders()}:
        await mailbox.create_folder(folder)
    for letter in letters:
        stage = await mailbox.stage()
        await stage.write(stuff(letter))
        await mailbox.append([Letter(await stage.finish(), date, flags=flags, folder=folder)])


async def put_into(
    file: Path, *letters: bytes, folder: str = INBOX, flags: Flag = NO_FLAGS, date: float = NOON
) -> None:
    """The same into a file, which is made if it is not there, as another program would: it is open or not."""
    mailbox = MailboxFile.open(file, create=True)
    try:
        await put(mailbox, *letters, folder=folder, flags=flags, date=date)
    finally:
        await mailbox.close()


async def letters_of(file: Path, key: Key | None = None) -> list[bytes]:
    """What is in its inbox, in order; `key` opens a locked one."""
    mailbox = MailboxFile.open(file, key=key)
    try:
        return await seen(mailbox)
    finally:
        await mailbox.close()
