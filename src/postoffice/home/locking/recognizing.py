"""Whether a mailbox file is locked, and where its keys lie then; imports next to nothing, for most are not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from postoffice.database.key import MARK, PLAIN, SALT_OCTETS, beginning

ENDING: Final = ".keys"


def keys_path(file: Path) -> Path:
    """Where the slots of a mailbox file lie."""
    real = file.resolve() if file.is_symlink() else file
    return real.with_name(real.name + ENDING)


def is_locked(file: Path) -> bool:
    """Whether a mailbox file is encrypted; one whose beginning is damaged, if slots lie beside it and its pages are
    not those of a plain one, for which slots were left there. Raises OSError."""
    found = beginning(file)
    if found.startswith(MARK) and len(found) == SALT_OCTETS:
        return True
    if not found or found.startswith(PLAIN[:6]) or not keys_path(file).exists():
        return False
    from postoffice.store.embedded.salvage.layout import LOOK_OCTETS, has_plain_pages

    return not has_plain_pages(beginning(file, LOOK_OCTETS))
