"""A mailbox file as it is at one moment, copied to a file of its own while others go on writing.

SQLite's backup copies page by page below one read transaction: what the log holds is in the copy, what comes later is
not, and nobody is held up. Damaged pages are copied as they are; what is wrong with the letters is told of the copy, so
it is told of exactly what goes on from here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import apsw

from postoffice.database.key import Key
from postoffice.database.migrate import open_prepared, version_of
from postoffice.database.sqlite import (
    Connection,
    open_draft,
    open_reader,
    open_untouched,
    page_octets_of,
    store_error,
)
from postoffice.errors import DamagedStore
from postoffice.store.embedded.schema import MAILBOX

STEP_PAGES = 1024
_IDENTITY = b"SQLite format 3\0"
_VERSION_AT, _KIND_AT = 60, 68  # where `user_version` and `application_id` stand (SQLite's file format, §1.3)

Tick = Callable[[int], None]


def copy_mailbox(path: Path, copy: Path, tick: Tick, key: Key | None = None) -> None:
    """Copy a mailbox file of this version or an older one; an encrypted one is copied encrypted.

    Not durable; `path` is not changed.

    A file of another kind, or of a newer version, is a `DamagedStore`.
    """
    try:
        with closing(open_reader(path, key=key)) as source:
            source.execute("BEGIN")
            if not version_of(source, path, MAILBOX):
                raise DamagedStore(f"{path} is not {MAILBOX.name}: it is empty")
            with closing(open_draft(copy, key, page_octets_of(source))) as target:
                _copy(source, target, tick)
    except apsw.Error as error:
        raise store_error(error, path) from error


def _copy(source: Connection, target: Connection, tick: Tick) -> None:
    page_octets = page_octets_of(source)
    with cast(apsw.Connection, target).backup("main", cast(apsw.Connection, source), "main") as backup:
        left = None
        while not backup.done:
            backup.step(STEP_PAGES)
            before, left = backup.page_count if left is None else left, backup.remaining
            tick((before - left) * page_octets)


def must_be_mailbox(beginning: bytes, where: str) -> None:
    """Whether a file that begins so is a mailbox file that this version can read; else it is a `DamagedStore`."""
    kind = int.from_bytes(beginning[_KIND_AT : _KIND_AT + 4], "big")
    version = int.from_bytes(beginning[_VERSION_AT : _VERSION_AT + 4], "big")
    if not beginning.startswith(_IDENTITY) or kind != MAILBOX.application_id:
        raise DamagedStore(f"{where} does not hold {MAILBOX.name}")
    if version > MAILBOX.version:
        raise DamagedStore(f"{where} is from a newer version of postoffice than this one")


def is_of_today(path: Path, key: Key | None = None) -> bool:
    """Whether a mailbox file can be read as it is, without a change to its tables."""
    with closing(open_untouched(path, key)) as connection:
        return version_of(connection, path, MAILBOX) == MAILBOX.version


def bring_to_today(path: Path, key: Key | None = None) -> None:
    """The tables of a copy, which is nobody else's, as this version has them."""
    open_prepared(path, MAILBOX, key=key).close()
