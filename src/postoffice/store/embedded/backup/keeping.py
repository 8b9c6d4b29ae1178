"""Old backups leave the vault, and with them the letters that no other backup has.

A backup goes first and its letters after it, so what is cut off leaves letters that nobody names: the next time takes
them away. Nothing goes while a backup has damage, for then an older one may be the only one that is whole.
"""

from __future__ import annotations

from contextlib import closing

import apsw

from postoffice.database.sqlite import open_reader, store_error
from postoffice.store.embedded.backup.durable import disk_errors
from postoffice.store.embedded.backup.vault import Backup, Vault


def keep_newest(vault: Vault, number: int) -> tuple[int, int]:
    """Drop all backups but the newest; gives how many went, and how many letters."""
    with disk_errors(vault.root):
        backups = vault.backups()
        leaving = backups[:-number]
        for backup in leaving:
            vault.drop(backup)
        return len(leaving), _sweep(vault, backups[-number:])


def _sweep(vault: Vault, backups: list[Backup]) -> int:
    """Take away contents that none of these name."""
    named: set[bytes] = set()
    seen: set[int] = set()
    for backup in backups:
        for path in (backup.office, *backup.path.rglob("*.mailbox")):
            if (inode := path.stat().st_ino) in seen:
                continue  # the same file under another name
            seen.add(inode)
            with closing(open_reader(path)) as sheet:
                try:
                    named.update(name for (name,) in sheet.execute("SELECT sha256 FROM contents"))
                except apsw.Error as error:
                    raise store_error(error, path) from error
    unnamed = [name for name in vault.shelf.names() if name not in named]
    for name in unnamed:
        vault.shelf.discard(name)
    return len(unnamed)
