"""Root binds ports, and is nobody special after that: whoever owns the data folder runs the office.

A process that gives root up must still reach the data folder. It makes it the working directory first, and names
everything in it relatively from then on; but SQLite looks at every folder on the way, so those above must let others
pass, which is said clearly where they do not.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from postoffice.errors import UsageError

USERS = ("postoffice", "nobody")
"""Whom a data folder made by root is given to: the first of these that the system has."""


def is_root() -> bool:
    return os.geteuid() == 0


def settle_in(data: Path, user: str = "") -> None:
    """Make `data` the working directory, and, as root, become its owner (or `user`) for ever."""
    way = tuple(reversed(data.resolve().parents))
    try:
        os.chdir(data)
        owner = Path().stat()
        next(Path().iterdir(), None)
    except OSError as error:
        raise UsageError(
            f"{data}: {error.strerror}: there is no office here; make one with: postoffice init", os.EX_NOINPUT
        ) from error
    if not is_root():
        return
    uid, gid = (owner.st_uid, owner.st_gid) if not user else _named(user)
    if uid == 0:
        raise UsageError(
            f"{data} belongs to root, and an office does not run as root: chown -R USER {data}", os.EX_NOPERM
        )
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for above in way:
        if not os.access(above, os.X_OK):
            raise UsageError(
                f"{data} cannot be reached by its owner: {above} lets nobody pass (chmod o+x {above})", os.EX_NOPERM
            )


def give_away(data: Path) -> None:
    """As root: the folder and all in it belong to an ordinary user from now on."""
    if not is_root():
        return
    for user in USERS:
        try:
            uid, gid = _named(user)
        except UsageError:
            continue
        for path in (data, *data.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)
        return


def _named(user: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user {user} on this system", os.EX_NOUSER) from None
    return entry.pw_uid, entry.pw_gid
