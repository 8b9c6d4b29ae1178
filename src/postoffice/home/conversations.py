"""Conversations in a mailbox file: what letters of all its folders say of each other.

Every header is read for that, once; a file of 100,000 letters takes some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postoffice.home.letters import Line, flights, heads, is_aside, line, snapshot
from postoffice.message.dates import written
from postoffice.message.mime.threads import Reply, reply, threads
from postoffice.store.model import INBOX

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

LISTED: Final = 2000
"""How many letters of one conversation are told."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A letter in a conversation. `depth` counts the letters above it that are there."""

    folder: str
    depth: int
    line: Line


Where = dict[int, tuple[str, int]]
"""Folder and number of each letter, by its key."""


async def conversation(mailbox: MailboxFile, key: int, folder: str = INBOX) -> list[Voice]:
    """The one that a letter belongs to, each letter before its answers."""
    names = [one.name for one in await mailbox.folders() if one.name == folder or not is_aside(one.name)]
    letters, where = await _replies(mailbox, names, is_dated=False)
    mine = next((thread for thread in threads(letters) if any(row.key == key for row in thread)), ())
    keys = {row.key for row in mine}
    dated = await replies(mailbox, [one.key for one in letters if one.key in keys])
    rows = [row for thread in threads(dated) for row in thread]
    return await _voices(mailbox, rows[:LISTED], where)


async def conversations(mailbox: MailboxFile, folder: str = INBOX) -> tuple[list[list[tuple[int, int]]], Where]:
    """All of a folder, as keys and depths; the one with the latest letter comes last."""
    letters, where = await _replies(mailbox, [folder], is_dated=True)
    return [[(row.key, row.depth) for row in thread] for thread in threads(letters)], where


async def replies(
    mailbox: MailboxFile, keys: Sequence[int], told: Callable[[int], None] = lambda _: None, *, is_dated: bool = True
) -> list[Reply]:
    """What letters say of each other; unless it `is_dated`, in the order in which they came. Those that are gone are
    left out. `told` hears how many headers were read, before each flight; what it raises ends this."""
    letters: list[Reply] = []
    for flight in flights(len(keys)):
        told(flight.start)
        for head in await heads(mailbox, keys[flight.start : flight.stop]):
            if head is not None:
                date = written(head.beginning) if is_dated else None
                letters.append(reply(head.key, head.beginning, head.internal_date if date is None else date))
    return letters


async def _replies(mailbox: MailboxFile, names: Sequence[str], *, is_dated: bool) -> tuple[list[Reply], Where]:
    letters: list[Reply] = []
    where: Where = {}
    for name in names:
        keys = (await snapshot(mailbox, name)).keys
        letters += await replies(mailbox, keys, is_dated=is_dated)
        where |= {key: (name, number) for number, key in enumerate(keys, 1)}
    return letters, where


async def _voices(mailbox: MailboxFile, rows: Sequence[tuple[int, int]], where: Where) -> list[Voice]:
    found = await heads(mailbox, [key for key, _ in rows])
    return [
        Voice(where[key][0], depth, line(where[key][1], head))
        for (key, depth), head in zip(rows, found, strict=True)
        if head is not None
    ]
