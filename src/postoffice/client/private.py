"""What is a person's own and no setting: tokens, passwords. Files below one folder, readable for their owner alone.

$XDG_STATE_HOME/postoffice      or below ~/.local/state
"""

from __future__ import annotations

import os
from pathlib import Path

from postoffice.errors import UsageError


def state_folder() -> Path:
    """Where all of it lies; it need not be there yet."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not Path(state).is_absolute():
        home = os.environ.get("HOME", "")
        state = f"{home}/.local/state" if Path(home).is_absolute() else "/nonexistent"  # Debian's home of nobody
    return Path(state, "postoffice")


def write_file(path: Path, octets: bytes, mode: int = 0o600) -> None:
    """Whole or not at all, whatever was there, and durable on return; folders are made. Raises UsageError (73)."""
    beside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error


def sync_folder(folder: Path) -> None:
    """The names in it are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
