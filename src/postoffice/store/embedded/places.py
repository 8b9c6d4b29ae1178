"""Where in the data folder each file of an office lies."""

from __future__ import annotations

from pathlib import Path

SIDE_FILES = ("", "-wal", "-shm")
"""What stands behind the names of a database and of what SQLite puts beside it while it is open."""


def office_path(data: Path) -> Path:
    return data / "office.db"


def mailbox_path(data: Path, account_id: int) -> Path:
    """Spread over 256 folders, so that none grows too long."""
    return Path(mailbox_name(data, account_id))


def mailbox_name(data: Path, account_id: int) -> str:
    """The same, for who only looks whether it is there: a path is made in ten times the time."""
    return f"{data}/mailboxes/{account_id & 0xFF:02x}/{account_id}.mailbox"


def removed_folder(data: Path) -> Path:
    """Where accounts are that were removed and may come back: for each `N.mailbox` and `N.json`."""
    return data / "removed"
