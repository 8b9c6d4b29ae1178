"""Spike: what a backup costs, and what it would cost if letters were not files of their own.

    python bench/spikes/backup.py --letters 10000 --accounts 10 FOLDER

Fills an office, takes three backups of it, restores it; then writes the same letters into one file, and as files that
are made durable in three ways. What was learned is in docs/spikes.md.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from postoffice.database.sqlite import sync_directory
from postoffice.store.embedded import EmbeddedStore, backup
from postoffice.store.embedded.backup import Contents, Vault
from postoffice.store.embedded.backup.durable import sync_files
from postoffice.store.model import Acceptance, LocalDelivery

LETTER_OCTETS = 10_000
TOGETHER = 256


async def fill(data: Path, letters: int, accounts: int) -> None:
    store = EmbeddedStore.open(data)
    await store.directory.add_domain("a.example")
    people = [await store.directory.add_account(f"p{number}@a.example", 0.0) for number in range(accounts)]

    async def deliver(number: int) -> None:
        stage = await store.office.stage()
        line = b"%d " % number + b"x" * 64 + b"\r\n"
        await stage.write(b"Subject: %d\r\n\r\n" % number + line * (LETTER_OCTETS // len(line)))
        to = (LocalDelivery(people[number % accounts].account_id, b"Return-Path: <>\r\n"),)
        await store.office.accept(Acceptance("x", await stage.finish(), "", 0.0, to))

    for start in range(0, letters, TOGETHER):
        await asyncio.gather(*map(deliver, range(start, min(letters, start + TOGETHER))))
    await store.office.tidy()
    await store.close()


def timed(what: str, work: Callable[[], object], folder: Path) -> None:
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    files = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    inodes = {one.st_ino: one.st_blocks * 512 for one in files}
    print(f"{what:34} {seconds:6.2f} s  {len(inodes):7,} files  {sum(inodes.values()) / 1e6:8.1f} MB in {folder.name}")


def take(data: Path, root: Path) -> None:
    with Vault.to_work_in(root, backup.office_name(data)) as vault:
        backup.take(data, vault)


def restore(root: Path, data: Path) -> None:
    with Vault.to_read(root) as vault:
        backup.restore(Contents(vault, vault.find()), data)


def as_one_file(letters: list[bytes], folder: Path) -> None:
    folder.mkdir()
    with (folder / "pack").open("wb") as file:
        for letter in letters:
            file.write(letter)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(folder)


def as_files(letters: list[bytes], folder: Path, sync: Callable[[list[Path]], object]) -> None:
    folder.mkdir()
    for start in range(0, len(letters), TOGETHER):
        paths = [folder / str(number) for number in range(start, min(len(letters), start + TOGETHER))]
        for path, letter in zip(paths, letters[start:], strict=False):
            path.write_bytes(letter)
        sync(paths)
    sync_directory(folder)


def one_by_one(paths: list[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def whole_disk(paths: list[Path]) -> None:
    with paths[0].open("rb") as file:
        ctypes.CDLL(None).syncfs(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--letters", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=10)
    words = parser.parse_args()
    data, root = words.folder / "office", words.folder / "vault"
    timed("filled", lambda: asyncio.run(fill(data, words.letters, words.accounts)), data)
    for number in ("first", "second", "third"):
        timed(f"{number} backup", lambda: take(data, root), root)
    timed("restored", lambda: restore(root, words.folder / "again"), words.folder / "again")
    letters = [path.read_bytes() for path in (root / "contents").glob("??/*")]
    timed("one file", lambda: as_one_file(letters, words.folder / "pack"), words.folder / "pack")
    for name, sync in (
        ("fsync of each", one_by_one),
        ("set going, then waited for", sync_files),
        ("syncfs", whole_disk),
    ):
        folder = words.folder / name.split()[0].rstrip(",")
        timed(f"files, {name}", lambda folder=folder, sync=sync: as_files(letters, folder, sync), folder)  # type: ignore[misc]
    shutil.rmtree(words.folder)


if __name__ == "__main__":
    main()
