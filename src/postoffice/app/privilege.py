"""Root binds ports, and is nobody special after that: whoever owns the data folder runs the office.

A process that gives root up must still reach the data folder. It makes it the working directory first, and names
everything in it relatively from then on; but SQLite looks at every folder on the way, so those above must let others
pass, which is said clearly where they do not.
"""

from __future__ import annotations

import importlib
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from postoffice.errors import UsageError

LATE_PACKAGES = ("email", "encodings")
LATE_MODULES = (
    "cryptography.x509",
    "dns.asyncbackend",
    "dns.asyncresolver",
    "dns.nameserver",
    "dns._asyncio_backend",
    "idna",
    "postoffice.accounts.certificates",
    "postoffice.accounts.scram",
    "postoffice.accounts.tokens",
    "postoffice.accounts.verifiers",
    "postoffice.protocols.sasl.external",
    "quopri",
    "uvloop",
)
"""What the programs of an office import only when they need it."""

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
    except PermissionError as error:
        raise UsageError(f"{data}: you may not look into it: {error.strerror}", os.EX_NOPERM) from error
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
    _import_late()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for above in way:
        if not os.access(above, os.X_OK):
            raise UsageError(
                f"{data} cannot be reached by its owner: {above} lets nobody pass (chmod o+x {above})", os.EX_NOPERM
            )


def _import_late() -> None:
    """Root's files, and Python's own, may be out of reach for whom we become: import now what would come late."""
    import pkgutil

    packages = map(importlib.import_module, LATE_PACKAGES)
    parts = [f"{whole.__name__}.{part.name}" for whole in packages for part in pkgutil.iter_modules(whole.__path__)]
    for name in (*parts, *LATE_MODULES):
        with suppress(ImportError):  # some live on other systems only
            importlib.import_module(name)


def check_way(data: Path) -> None:
    """As root, before anything is made: whoever the folder is given to must be able to reach it."""
    heir = _heir()
    if heir is None:
        return
    user, uid, _ = heir
    for above in reversed(data.resolve().parents):
        if above.is_dir() and above.stat().st_uid != uid and not above.stat().st_mode & stat.S_IXOTH:
            raise UsageError(
                f"{data}: the user {user}, who will own it, cannot get there: {above} lets nobody pass"
                f" (choose another folder, such as /var/lib/postoffice, or chmod o+x {above})",
                os.EX_CANTCREAT,
            )


def give_away(data: Path) -> str:
    """As root: the folder and all in it belong to an ordinary user from now on. Tells to whom, empty for nobody new."""
    heir = _heir()
    if heir is None:
        return ""
    user, uid, gid = heir
    for path in (data, *data.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)
    return user


def _heir() -> tuple[str, int, int] | None:
    """As root: the ordinary user whose the folder will be."""
    if not is_root():
        return None
    for user in USERS:
        try:
            return user, *_named(user)
        except UsageError:
            continue
    return None


def _named(user: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user {user} on this system", os.EX_NOUSER) from None
    return entry.pw_uid, entry.pw_gid
