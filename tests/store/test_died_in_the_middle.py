"""What a process leaves half done when it is killed at the worst moment takes nothing back that others did since."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from postoffice.errors import StoreError
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import CHUNK_OCTETS, Acceptance, LocalDelivery

DIES_IN_ABSORPTION = """
import apsw, asyncio, os, signal, sys
from pathlib import Path
from postoffice.store.embedded import EmbeddedStore

class File(apsw.VFSFile):
    syncs = 0

    def __init__(self, name, flags):
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("", name, flags)

    def xSync(self, flags):
        super().xSync(flags)
        if self.path.endswith(sys.argv[2]):
            File.syncs += 1
        if File.syncs == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)  # it is on the disk, and nobody knows of it

class Dying(apsw.VFS):
    def __init__(self):
        super().__init__("dying", "")

    def xOpen(self, name, flags):
        return File(name, flags)

dying = Dying()

async def main():
    store = EmbeddedStore.open(Path(sys.argv[1]), vfs="dying")
    await store.office.tidy()

asyncio.run(main())
"""


async def deliver(store: EmbeddedStore, account_id: int, letter: bytes) -> None:
    stage = await store.office.stage()
    await stage.write(letter)
    staged = await stage.finish()
    to = (LocalDelivery(account_id, b""),)
    await store.office.accept(Acceptance("id", staged, "x@elsewhere.example", time.time(), to))


async def shown(store: EmbeddedStore, account_id: int) -> list[int]:
    return list((await (await store.office.mailbox(account_id)).snapshot()).keys)


async def home_of(store: EmbeddedStore) -> int:
    await store.directory.add_domain("a.example")
    return (await store.directory.add_account("anna@a.example", time.time())).account_id


async def test_a_removed_letter_stays_removed_when_its_absorption_died_unseen(tmp_path: Path) -> None:
    data = tmp_path / "office"
    store = EmbeddedStore.open(data)
    anna = await home_of(store)
    await deliver(store, anna, b"Subject: first\r\n\r\n")
    await store.office.tidy()
    (first,) = await shown(store, anna)
    await deliver(store, anna, b"Subject: second\r\n\r\n")
    await die_in_absorption(data, ".mailbox-wal", 2)  # the first is of the header, when the file is opened
    kept, second = await shown(store, anna)
    assert kept == first
    assert second < 0, "nobody has seen the absorption"
    assert len([key for key in await after_everybody_died(data, tmp_path / "then", anna) if key > 0]) == 2
    await (await store.office.mailbox(anna)).remove([second])
    assert await after_everybody_died(data, tmp_path / "later", anna) == [first]
    await store.close()


async def test_a_removed_letter_stays_removed_when_it_was_filed_by_who_died_then(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path)
    anna = await home_of(store)
    await deliver(store, anna, b"Subject: first\r\n\r\n")
    await store.office.tidy()
    await deliver(store, anna, b"Subject: second\r\n\r\n")
    first, second = await shown(store, anna)
    await die_in_absorption(tmp_path, "office.db-wal", 1)
    assert len([key for key in await shown(store, anna) if key > 0]) == 2, "the letter is filed"
    await (await store.office.mailbox(anna)).remove([second])
    assert await shown(store, anna) == [first]
    assert await store.office.check() == []
    await store.close()


async def die_in_absorption(data: Path, file: str, syncs: int) -> None:
    """Another process tidies the office, and is killed at the how manyth sync of a file."""
    words = [sys.executable, "-c", DIES_IN_ABSORPTION, str(data), file, str(syncs)]
    died = await asyncio.to_thread(subprocess.run, words, capture_output=True, timeout=30, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr


async def after_everybody_died(data: Path, copy: Path, account_id: int) -> list[int]:
    """What an account is shown where what the processes shared in memory is gone, and the files are as they are."""
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*-shm"))
    store = EmbeddedStore.open(copy)
    try:
        assert await store.office.check() == []
        return await shown(store, account_id)
    finally:
        await store.close()


async def test_a_letter_whose_octets_are_gone_with_their_writer_is_not_taken(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path)
    anna = await home_of(store)
    stage = await store.office.stage()
    for _ in range(12):
        await stage.write(b"x" * (CHUNK_OCTETS - 2) + b"\r\n")
    staged = await stage.finish()
    (tmp_path / "spool" / str(staged.place)).unlink()
    to = (LocalDelivery(anna, b""),)
    with pytest.raises(StoreError, match="gone with their writer"):
        await store.office.accept(Acceptance("id", staged, "x@elsewhere.example", time.time(), to))
    assert await shown(store, anna) == []
    assert await store.office.check() == []
    await store.close()
