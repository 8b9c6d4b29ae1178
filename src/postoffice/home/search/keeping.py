"""What a pull does for those who will search: it adds to the index what came, after its own end."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from postoffice.errors import StoreError
from postoffice.events import event

KEPT_UP: Final = 2000
"""How many letters a pull adds, which takes about a second; a search, or the next pull, adds the others."""


async def keep_up(file: Path) -> None:
    """Add to the index of a file, if it has one, what a pull brought. What goes wrong is told as an event."""
    from postoffice.store.embedded.index import Index

    index = Index(file)
    try:
        if await index.is_there():
            from postoffice.home.search.extraction import document

            added = 0
            while added < KEPT_UP and (some := await index.add(document)):
                added += some
    except StoreError as error:
        event("home.index_failed", file=file.name, because=str(error))
    finally:
        await index.close()
