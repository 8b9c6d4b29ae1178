"""What a mailbox remembers of one maildrop, as a session looks at it: read at its beginning, noted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from postoffice.store.model import Pulled

if TYPE_CHECKING:
    from postoffice.store.base import Pulls


class Ledger(Mapping[str, Pulled]):
    """By `source_id`. What is noted holds at once here, and is durable after `flush`."""

    def __init__(self, pulls: Pulls, source: str) -> None:
        self.source = source
        self._pulls = pulls
        self._known: dict[str, Pulled] = {}
        self._notes: dict[str, Pulled] = {}

    async def read(self) -> None:
        """Everything anew; what is noted and not flushed still holds."""
        self._known = await self._pulls.pulled(self.source)
        self._known |= self._notes

    def note(self, source_id: str, before: Pulled | None = None, **changes: Any) -> None:
        """Change what is remembered of a letter; `before` is where its memory begins, if it has none of its own."""
        noted = (before or self._known.get(source_id, Pulled()))._replace(**changes)
        self._known[source_id] = self._notes[source_id] = noted

    async def flush(self) -> None:
        notes, self._notes = self._notes, {}
        await self._pulls.note(self.source, notes)

    def __getitem__(self, source_id: str) -> Pulled:
        return self._known[source_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
