"""The letters of an archive in one order, by their own dates: what lists, conversations and the search are made of.

Only headers are looked at here. Of each letter little is kept, since an archive may have a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.dates import written
from postoffice.message.mime.threads import Reply, Thread, reply, threads
from postoffice.moving.damages import Damages
from postoffice.moving.giving import BATCH_OCTETS
from postoffice.moving.letterfiles import Outgoing, letters_of
from postoffice.store.base import Mailbox
from postoffice.store.model import CHUNK_OCTETS

BATCH_LETTERS: Final = 64
_SHOWN_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Fact:
    """What a list shows of a letter. `folder` is an index; `date` is in seconds since the epoch."""

    key: int
    folder: int
    date: float
    octets: int
    sender: str
    subject: str


class Order:
    """Facts from the oldest letter on; the first one's number is 1."""

    def __init__(self, facts: Sequence[Fact], replies: Sequence[Reply]) -> None:
        self.facts = facts
        self._conversations = {row.key: thread for thread in threads(replies) if len(thread) > 1 for row in thread}

    def __getitem__(self, number: int) -> Fact:
        return self.facts[number - 1]

    def __len__(self) -> int:
        return len(self.facts)

    def conversation(self, number: int) -> Thread:
        """The letters around one, each before its answers; empty for one that stands alone."""
        return self._conversations.get(number, ())

    def numbers(self, folder: int) -> list[int]:
        """The letters of a folder, from the oldest on."""
        return [number for number, fact in enumerate(self.facts, 1) if fact.folder == folder]

    def batches(self) -> Iterator[range]:
        """Numbers of letters, so many together as may be read together."""
        first, octets = 1, 0
        for number, fact in enumerate(self.facts, 1):
            octets += min(fact.octets, CHUNK_OCTETS)
            if number + 1 - first >= BATCH_LETTERS or octets >= BATCH_OCTETS:
                yield range(first, number + 1)
                first, octets = number + 1, 0
        if first <= len(self.facts):
            yield range(first, len(self.facts) + 1)


async def in_order(mailbox: Mailbox, folders: Sequence[Outgoing], damages: Damages) -> Order:
    """Look at the header of each letter of these folders."""
    found: list[tuple[Fact, Reply]] = []
    for index, folder in enumerate(folders):
        async for batch in letters_of(mailbox, folder, damages):
            for given in batch:
                head = given.beginning[:HEAD_OCTETS]
                date = written(head)
                fact = Fact(
                    given.entry.key,
                    index,
                    given.entry.internal_date if date is None else date,
                    given.entry.octets,
                    sender_of(head),
                    header.decoded(head, b"Subject")[:_SHOWN_CHARACTERS] or "(no subject)",
                )
                found.append((fact, reply(0, head, fact.date)))
    found.sort(key=lambda one: one[0].date)
    return Order([fact for fact, _ in found], [replace(one, key=number) for number, (_, one) in enumerate(found, 1)])


def sender_of(head: bytes) -> str:
    """Who wrote it, by name if there is one."""
    written = header.decoded(head, b"From")
    name, address = header.name_and_address(written)
    return (name or address or written)[:_SHOWN_CHARACTERS] or "(nobody)"
