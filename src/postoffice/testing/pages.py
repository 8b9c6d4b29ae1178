"""Files of SQLite as they were made before: with pages of 4 KiB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from postoffice.database import sqlite

NOW: Final = sqlite.PAGE_OCTETS
BEFORE: Final = 4096


@contextmanager
def pages_of(octets: int) -> Iterator[None]:
    """What this process makes meanwhile has pages of so many octets."""
    now = sqlite.PAGE_OCTETS
    sqlite.PAGE_OCTETS = octets
    try:
        yield
    finally:
        sqlite.PAGE_OCTETS = now
