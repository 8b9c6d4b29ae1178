"""What a pull does for those who will search: it adds to the index what came, after its own end."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from postoffice.database.key import Key
from postoffice.errors import StoreError
from postoffice.events import event
from postoffice.home.search.extraction import document
from postoffice.store.embedded.index import Index

KEPT_UP: Final = 2000
"""How many letters a pull adds, which takes about a second; a search, or the next pull, adds the others."""


async def keep_up(file: Path, key: Key | None = None) -> None:
    """Add to the index of a file what a pull brought. What goes wrong is told as an event."""
    index, added = Index(file, key), 0
    try:
        while added < KEPT_UP and (some := await index.add(document)):
            added += some
    except StoreError as error:
        event("home.index_failed", file=file.name, because=str(error))
    finally:
        await index.close()
