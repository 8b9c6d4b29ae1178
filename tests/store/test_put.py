"""Who keeps letters may go on when they are put, before they are durable."""

import threading
from pathlib import Path

import pytest

from postoffice.errors import StoreError
from postoffice.store.embedded import MailboxFile
from postoffice.testing.check_store.walk import letter, text


async def test_it_is_told_once_and_in_the_thread_of_the_loop(tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    told: list[threading.Thread] = []
    try:
        letters = [await letter(mailbox, text(number)) for number in range(3)]
        keys = await mailbox.append(letters, lambda: told.append(threading.current_thread()))
        assert len(keys) == 3
        assert told == [threading.main_thread()]
    finally:
        await mailbox.close()


async def test_nothing_is_told_of_letters_that_are_not_kept(tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    told: list[None] = []
    try:
        lost = (await letter(mailbox, text(1)))._replace(folder="Nowhere")
        with pytest.raises(StoreError):
            await mailbox.append([lost], lambda: told.append(None))
        assert told == []
    finally:
        await mailbox.close()
