"""Conversations in a mailbox file: what letters of all its folders say of each other.

Every header is read for that, once; a file of 100,000 letters takes some seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postoffice.home.letters import Line, date_of, flights, heads, is_aside, line, snapshot
from postoffice.message import header
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
    dated = [await _dated(mailbox, one) for one in letters if one.key in keys]
    rows = [row for thread in threads(dated) for row in thread]
    return await _voices(mailbox, rows[:LISTED], where)


async def conversations(mailbox: MailboxFile, folder: str = INBOX) -> tuple[list[list[tuple[int, int]]], Where]:
    """All of a folder, as keys and depths; the one with the latest letter comes last."""
    letters, where = await _replies(mailbox, [folder], is_dated=True)
    return [[(row.key, row.depth) for row in thread] for thread in threads(letters)], where


async def _replies(mailbox: MailboxFile, names: Sequence[str], *, is_dated: bool) -> tuple[list[Reply], Where]:
    letters: list[Reply] = []
    where: Where = {}
    for name in names:
        keys = (await snapshot(mailbox, name)).keys
        for flight in flights(len(keys)):
            found = await heads(mailbox, keys[flight.start : flight.stop])
            for index, head in zip(flight, found, strict=True):
                if head is not None:
                    date = head.internal_date
                    if is_dated:
                        date = date_of(header.decoded(head.beginning, b"Date"), date).timestamp()
                    letters.append(reply(head.key, head.beginning, date))
                    where[head.key] = (name, index + 1)
    return letters, where


async def _dated(mailbox: MailboxFile, one: Reply) -> Reply:
    """With the date that the letter carries."""
    [head] = await heads(mailbox, [one.key])
    if head is None:
        return one
    date = date_of(header.decoded(head.beginning, b"Date"), head.internal_date).timestamp()
    return reply(one.key, head.beginning, date)


async def _voices(mailbox: MailboxFile, rows: Sequence[tuple[int, int]], where: Where) -> list[Voice]:
    found = await heads(mailbox, [key for key, _ in rows])
    return [
        Voice(where[key][0], depth, line(where[key][1], head))
        for (key, depth), head in zip(rows, found, strict=True)
        if head is not None
    ]
