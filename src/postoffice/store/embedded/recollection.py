"""What mailbox files at rest showed, remembered in a few hundred octets each.

A mailbox in use costs some kilobytes and a file that is opened much more, so few are kept; where a hundred thousand
people log in, each login would look into a file. What was seen there is a few numbers for each letter and its name.
That is good for as long as the file is by its inode, size and times the same (`glimpse`).
"""

from __future__ import annotations

import marshal
from array import array
from pathlib import Path
from typing import Final

from postoffice.store.embedded.glimpse import Stillness, glimpse
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.sight import Seen, texts
from postoffice.store.model import INBOX, Snapshot

MOST_OCTETS: Final = 32 * 1024 * 1024
"""Of all that is remembered in a process; Python needs as much again to find it."""

MOST_OF_ONE: Final = 8 * 1024
"""A mailbox that has more to show is looked at: that costs little beside what it shows."""

LETTER_OCTETS: Final = 16
"""What is remembered of each letter at least."""


class Recollection:
    """By inode, the last look at each file; the oldest look is forgotten first.

    A look is one octet string, and nothing in it is an object until somebody asks: the collector of a process has
    nothing to do with those who are not here.
    """

    def __init__(self, most_octets: int = MOST_OCTETS) -> None:
        self._most_octets = most_octets
        self._octets = 0
        self._looks: dict[int, bytes] = {}

    def find(self, still: Stillness, viewer: str | None) -> Seen | None:
        """What this viewer saw of the file as it is now."""
        look = self._looks.get(still.inode)
        if look is None:
            return None
        then, who, generation, keys, octets, names, surrogates, *facts = marshal.loads(look)  # noqa: S302 - our own
        if then != still or who != viewer:
            return None
        unique_ids = names.split(" ") if keys else []
        return Seen(Snapshot(generation, array("q", keys), array("q", octets), unique_ids, surrogates), *facts)

    def keep(self, still: Stillness, viewer: str | None, seen: Seen) -> None:
        self._forget(still.inode)
        snapshot, *facts = seen
        if len(snapshot.keys) * LETTER_OCTETS > MOST_OF_ONE:
            return
        numbers, names = (snapshot.keys.tobytes(), snapshot.octets.tobytes()), " ".join(snapshot.unique_ids)
        look = marshal.dumps(
            (tuple(still), viewer, snapshot.generation, *numbers, names, dict(snapshot.surrogates), *facts)
        )
        if len(look) > MOST_OF_ONE:
            return
        self._looks[still.inode] = look
        self._octets += len(look)
        while self._octets > self._most_octets:
            self._forget(next(iter(self._looks)))

    def _forget(self, inode: int) -> None:
        self._octets -= len(self._looks.pop(inode, b""))


recollection: Final = Recollection()
"""This process's."""


def seen_at_rest(name: str, still: Stillness, viewer: str | None) -> Seen | None:
    """What a viewer sees of a file at rest, without opening it: remembered, or looked up now. None: open it."""
    seen = recollection.find(still, viewer)
    if seen is None:
        found = glimpse(Path(name), MAILBOX, still, lambda connection: texts(connection, viewer, INBOX))
        if found is None:
            return None
        seen = found.seen()
        recollection.keep(still, viewer, seen)
    return seen
