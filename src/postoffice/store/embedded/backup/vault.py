"""A folder of backups of one office.

    DIR/vault.json                  what this folder is, and of which office; locked by who works here
    DIR/contents/ab/abcd...         the letters of all backups (`shelf`)
    DIR/2026-11-28T195414Z/         a backup: durable before it has this name, never changed after
        backup.json                 the moment, what is in it, the SHA-256 of each file below
        office.db                   as in an office, without the octets of its letters
        mailboxes/07/7.mailbox      the same; a link to that of the backup before if nothing changed
        removed/                    accounts that were removed and may come back: the same, and their deeds
        tls/                        certificate and key

So a backup is a few names beside what all of them share, and what the folder has under a final name can be copied at
any time. One process works here at a time; any number may read.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from postoffice.database.sqlite import sync_directory
from postoffice.errors import DamagedStore, StoreUnavailable, UsageError
from postoffice.store.embedded.backup.durable import disk_errors, sync_files, sync_folders, write_file
from postoffice.store.embedded.backup.shelf import Shelf
from postoffice.store.embedded.places import mailbox_path, office_path
from postoffice.store.embedded.removal import copy_path

MARK: Final = "vault.json"
MANIFEST: Final = "backup.json"
CONTENTS: Final = "contents"
UNFINISHED: Final = ".new"
LEAVING: Final = ".old"
NAME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
FORMAT: Final = 1

T = TypeVar("T", "Mark", "Manifest")


class Mark(msgspec.Struct, frozen=True):
    """What a folder of backups says of itself. `office` is told by its secret and does not tell it."""

    office: str
    format: int = FORMAT


class Sheet(msgspec.Struct, frozen=True):
    """A mailbox in a backup: whose, how much, the SHA-256 of its file, whether it is of a removed account.

    While the office's own file has the same `stamp`, nothing in it has changed; empty: nobody can tell.
    """

    account_id: int
    address: str
    letters: int
    octets: int
    sha256: str
    stamp: str = ""
    is_removed: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """What is in a backup. `letters` are those of people, `queued` those on their way to other offices; `damages` is
    what was wrong in the office already; `files` has the SHA-256 of all others by their paths."""

    began: float
    ended: float
    accounts: int
    letters: int
    octets: int
    queued: int
    office_sha256: str
    mailboxes: list[Sheet]
    files: dict[str, str] = {}
    damages: list[str] = []
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup, whole and durable."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def office(self) -> Path:
        return office_path(self.path)

    def mailbox(self, sheet: Sheet) -> Path:
        return sheet_path(self.path, sheet.account_id, is_removed=sheet.is_removed)

    def manifest(self) -> Manifest:
        """A manifest that is not there or not whole is a `DamagedStore`."""
        return _decoded(self.path / MANIFEST, Manifest)


class Vault:
    """A folder of backups that this process reads, or works in."""

    def __init__(self, root: Path, lock: int) -> None:
        self.root = root
        self.shelf = Shelf(root / CONTENTS)
        self._lock = lock

    # --- opening --------------------------------------------------------------------------------------------

    @classmethod
    def to_read(cls, root: Path) -> Self:
        """A folder without backups is a `UsageError` (66)."""
        with disk_errors(root):
            try:
                lock = os.open(root / MARK, os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise UsageError(f"{root}: there are no backups here", os.EX_NOINPUT) from error
        vault = cls(root, lock)
        try:
            _decoded(root / MARK, Mark)
            vault._take(fcntl.LOCK_SH, "a backup into it is under way")
        except BaseException:
            vault.close()
            raise
        return vault

    @classmethod
    def to_work_in(cls, root: Path, office: str) -> Self:
        """The folder is made if it is not there. What is no place for backups of this office is a `UsageError` (73)."""
        with disk_errors(root):
            _prepare(root, office)
            lock = os.open(root / MARK, os.O_RDWR | os.O_CLOEXEC)
        vault = cls(root, lock)
        try:
            vault._take(fcntl.LOCK_EX, "another backup into it, or a restore from it, is under way")
            if _decoded(root / MARK, Mark).office != office:
                raise UsageError(f"{root}: has the backups of another office", os.EX_CANTCREAT)
            with disk_errors(root):
                vault._clear()
        except BaseException:
            vault.close()
            raise
        return vault

    def _take(self, kind: int, otherwise: str) -> None:
        try:
            fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreUnavailable(f"{self.root}: {otherwise}") from None

    def _clear(self) -> None:
        """Take away what was cut off: a backup not finished, or one that was on its way out."""
        for path in self.root.iterdir():
            if path.suffix in (UNFINISHED, LEAVING) and NAME.fullmatch(path.stem):
                shutil.rmtree(path)
        self.shelf.clear()

    def close(self) -> None:
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- backups --------------------------------------------------------------------------------------------

    def backups(self) -> list[Backup]:
        """Oldest first."""
        with disk_errors(self.root):
            return [Backup(path) for path in sorted(self.root.iterdir()) if NAME.fullmatch(path.name)]

    def find(self, beginning: str = "") -> Backup:
        """The last backup whose name begins so. None at all is a `UsageError` (66)."""
        found = [backup for backup in self.backups() if backup.name.startswith(beginning)]
        if not found:
            what = f"no backup of {beginning}" if beginning else "no backup"
            raise UsageError(f"{self.root}: there is {what} here", os.EX_NOINPUT)
        return found[-1]

    @contextmanager
    def begin(self, at: float) -> Iterator[Path]:
        """A folder for a backup begun at `at`; left without an error, it is durable and becomes one."""
        while (path := self.root / f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H%M%SZ}").exists():
            at += 1
        fresh = path.with_name(path.name + UNFINISHED)
        fresh.mkdir(mode=0o700)
        try:
            yield fresh
            self.shelf.finish()
            sync_folders(fresh)
            fresh.rename(path)
            sync_directory(self.root)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            self.shelf.clear()
            raise

    def drop(self, backup: Backup) -> None:
        """It is no backup any more, durably; its contents are left for who looks what is still named."""
        leaving = backup.path.with_name(backup.name + LEAVING)
        backup.path.rename(leaving)
        sync_directory(self.root)
        shutil.rmtree(leaving)


def sheet_path(root: Path, account_id: int, *, is_removed: bool) -> Path:
    """Where a mailbox lies, in an office and in a backup of it."""
    return copy_path(root, account_id) if is_removed else mailbox_path(root, account_id)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    path = folder / MANIFEST
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    path.chmod(0o600)
    sync_files([path])


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _prepare(root: Path, office: str) -> None:
    """A folder with a mark."""
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: is no folder", os.EX_CANTCREAT)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (root / MARK).exists():
        return
    with suppress(PermissionError):  # whose folder it is in may be somebody else's, who made it
        sync_directory(root.parent)
    if any(path.name != f"{MARK}{UNFINISHED}" for path in root.iterdir()):
        raise UsageError(f"{root}: is not empty and has no backups; they want a folder of their own", os.EX_CANTCREAT)
    write_file(root / MARK, msgspec.json.encode(Mark(office)) + b"\n")


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise DamagedStore(f"{path} is not there") from error
    except msgspec.DecodeError as error:
        raise DamagedStore(f"{path} is damaged: {error}") from error
    if found.format > FORMAT:
        raise DamagedStore(f"{path} is from a newer version of postoffice than this one")
    return found
