"""Backups of an office that serves, and offices made of them.

This room knows the engine's files and how they are written, and copies them so that what was answered for is there
once; it keeps what it copies in a folder of its own form (`vault`), where each letter lies once for all backups. It
knows no waist, no door and no terminal, and an office at work does not know of it.
"""

from __future__ import annotations

from postoffice.store.embedded.backup.durable import disk_errors
from postoffice.store.embedded.backup.keeping import keep_newest
from postoffice.store.embedded.backup.reading import Contents, Kept, day
from postoffice.store.embedded.backup.restoring import Restored, restore
from postoffice.store.embedded.backup.taking import Taken, office_name, take
from postoffice.store.embedded.backup.vault import Backup, Manifest, Vault

__all__ = [
    "Backup",
    "Contents",
    "Kept",
    "Manifest",
    "Restored",
    "Taken",
    "Vault",
    "day",
    "disk_errors",
    "keep_newest",
    "office_name",
    "restore",
    "take",
]
