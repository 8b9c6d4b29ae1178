"""What mailbox files at rest showed, remembered in a few hundred octets each.

A mailbox in use costs some kilobytes and a file that is opened much more, so few are kept; where a hundred thousand
people log in, each login would look into a file. What was seen there is a handful of short texts. They are good for
as long as the file is by its inode, size and times the same (`glimpse`).
"""

from __future__ import annotations

import marshal
from typing import Final

from postoffice.store.embedded.glimpse import Stillness
from postoffice.store.embedded.sight import Texts

MOST_OCTETS: Final = 32 * 1024 * 1024
"""Of all that is remembered in a process; Python needs as much again to find it."""

MOST_OF_ONE: Final = 8 * 1024
"""A mailbox that has more to show is looked at: that costs little beside what it shows."""


class Recollection:
    """By inode, the last look at each file; the oldest look is forgotten first."""

    def __init__(self, most_octets: int = MOST_OCTETS) -> None:
        self._most_octets = most_octets
        self._octets = 0
        self._looks: dict[int, bytes] = {}

    def find(self, still: Stillness, asked: str) -> Texts | None:
        """What was seen when this was asked of the file as it is now."""
        look = self._looks.get(still.inode)
        if look is None:
            return None
        facts, texts = marshal.loads(look)  # noqa: S302 - our own octets, of this process
        return Texts(*texts) if facts == _facts(still, asked) else None

    def keep(self, still: Stillness, asked: str, texts: Texts) -> None:
        look = marshal.dumps((_facts(still, asked), tuple(texts)))
        self._forget(still.inode)
        if len(look) > MOST_OF_ONE:
            return
        self._looks[still.inode] = look
        self._octets += len(look)
        while self._octets > self._most_octets:
            self._forget(next(iter(self._looks)))

    def _forget(self, inode: int) -> None:
        self._octets -= len(self._looks.pop(inode, b""))


def _facts(still: Stillness, asked: str) -> tuple[int, int, int, str]:
    return still.octets, still.modified, still.changed, asked


recollection: Final = Recollection()
"""This process's."""
