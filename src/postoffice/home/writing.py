"""Accounts are written behind what stands in the settings file: a person's own words there stay, octet for octet.

A file that is not there is made for its owner alone. Passwords do not go into it, but into a file of their own below
`$XDG_STATE_HOME/postoffice/passwords`.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from postoffice.client.private import state_folder, write_file
from postoffice.errors import UsageError
from postoffice.home.config import parse_home, read_home

Settings = Mapping[str, str | bool | list[str]]
"""An account as it is written, by key; what is false or empty is left out."""


def usual_file(name: str) -> str:
    """The mailbox file of an account for which nobody said another."""
    return f"~/Mail/{name.replace('/', '_')}.mailbox"


def check_names(path: Path, names: Iterable[str]) -> None:
    """Raises UsageError where one is taken, or the settings cannot be read; there need be none yet."""
    taken = read_home(path).accounts.keys() & set(names) if path.exists() else ()
    if taken:
        raise UsageError(f"{', '.join(sorted(taken))}: there is such an account in {path} already", os.EX_CANTCREAT)


def write_accounts(path: Path, accounts: Mapping[str, Settings]) -> None:
    """All of these or none; durable on return. Raises UsageError where one is there already, or cannot be read back."""
    path = path.resolve()  # a link to where a person keeps such files stays one
    with _alone(path):
        check_names(path, accounts)
        try:
            before, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            before, mode = b"", 0o600
        gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
        octets = before + gap + "\n".join(section(name, account) for name, account in accounts.items()).encode()
        parse_home(octets, path, is_ours_alone=not mode & 0o077)
        write_file(path, octets, mode)


def section(name: str, account: Settings) -> str:
    """An account as it is written in TOML."""
    lines = [f"{key} = {_value(value)}" for key, value in account.items() if value]
    return "".join(f"{line}\n" for line in (f"[accounts.{_value(name)}]", *lines))


def keep_password(name: str, password: str) -> Path:
    """Into a file that nobody else may read, durable on return; gives its path."""
    path = state_folder() / "passwords" / quote(name, safe="@+")
    write_file(path, f"{password}\n".encode())
    return path


def _value(value: str | bool | list[str]) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return f"[{', '.join(map(_value, value))}]"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else of ours writes into the folder meanwhile."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{path.parent}: {error.strerror}", os.EX_CANTCREAT) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
