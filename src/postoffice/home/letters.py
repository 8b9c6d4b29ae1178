"""Letters of a mailbox file, as a person names and lists them: by folder and number.

A number counts from 1 in its folder, oldest first, as `ls` does. Who reads here changes nothing in the file.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from postoffice.errors import StoreError, UsageError
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.dates import written
from postoffice.message.mime import words
from postoffice.message.printable import safe
from postoffice.protocols.dots import Unstuffer
from postoffice.store.model import INBOX, REMOVED, WITHHELD, Flag, Head, Snapshot

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

FLIGHT: Final = 250
"""So many letters are listed in one go."""

BEGINNING_OCTETS: Final = 8 * 1024
"""Of each letter; of one whose header is longer, more is read."""

_ASIDE: Final = {name.lower() for name in (REMOVED, *WITHHELD)} | words(
    "trash deleted junk spam bin papierkorb corbeille"
)
_ASIDE_BEGINNINGS: Final = ("deleted ", "junk ", "trash ")


@dataclass(frozen=True, slots=True)
class Line:
    """A letter in a list, safe to print. `date` is its own one in this machine's time, else when it came."""

    number: int
    date: datetime
    sender: str
    subject: str
    octets: int
    flags: Flag


@dataclass(frozen=True, slots=True)
class Place:
    """A letter: its key in the mailbox, and its size."""

    key: int
    octets: int


def is_aside(folder: str) -> bool:
    """Whether a folder holds what nobody looks for: removed, quarantined, unwanted."""
    name = folder.replace(".", "/").rpartition("/")[2].strip().lower()
    return name in _ASIDE or name.startswith(_ASIDE_BEGINNINGS)


async def snapshot(mailbox: MailboxFile, folder: str = INBOX) -> Snapshot:
    """All letters of a folder. Raises UsageError (66) where there is none of that name."""
    try:
        return await mailbox.snapshot(folder=folder)
    except StoreError as error:
        names = [one.name for one in await mailbox.folders()]
        if folder in names:
            raise
        there = ", ".join(safe(name) for name in names[:20])
        raise UsageError(f"there is no folder {safe(folder)}; there are: {there}", os.EX_NOINPUT) from error


async def find(mailbox: MailboxFile, number: int, folder: str = INBOX) -> Place:
    """Letter `number`. Raises UsageError (66) where there is none."""
    seen = await snapshot(mailbox, folder)
    if not 1 <= number <= len(seen.keys):
        count = len(seen.keys)
        there = "there is 1" if count == 1 else f"there are {count}"
        raise UsageError(f"there is no letter {number}; {there}", os.EX_NOINPUT)
    return Place(seen.keys[number - 1], seen.octets[number - 1])


async def heads(mailbox: MailboxFile, keys: Sequence[int]) -> list[Head | None]:
    """The headers of letters, as far as they lie in 64 KiB; None for a letter that is gone."""
    found = await mailbox.heads(keys, BEGINNING_OCTETS)
    headers: list[Head | None] = []
    cut: list[int] = []
    for index, one in enumerate(found):
        fields = header.header_of(one.beginning) if one else b""
        if one and len(fields) == len(one.beginning) >= BEGINNING_OCTETS // 2:
            cut.append(index)
        headers.append(one and one._replace(beginning=fields))
    if cut:
        for index, one in zip(cut, await mailbox.heads([keys[index] for index in cut], HEAD_OCTETS), strict=True):
            headers[index] = one and one._replace(beginning=header.header_of(one.beginning))
    return headers


async def lines(mailbox: MailboxFile, keys: Sequence[int], numbers: Sequence[int]) -> AsyncIterator[Line]:
    """The letters of these keys, which have these numbers, some read at once. What is gone meanwhile is left out."""
    for flight in flights(len(keys)):
        found = await heads(mailbox, keys[flight.start : flight.stop])
        for number, head in zip(numbers[flight.start : flight.stop], found, strict=True):
            if head is not None:
                yield line(number, head)


def flights(count: int) -> Iterator[range]:
    """The numbers below `count`, so many together as are read at once."""
    for start in range(0, count, FLIGHT):
        yield range(start, min(start + FLIGHT, count))


def line(number: int, head: Head) -> Line:
    """What is listed of a letter."""
    text = head.beginning
    date = date_of(text, head.internal_date)
    sender, subject = header.decoded(text, b"From"), header.decoded(text, b"Subject")
    return Line(number, date, sender, subject, head.octets, head.flags)


def date_of(head: bytes, internal_date: float) -> datetime:
    """The letter's own date in this machine's time; where it has none that can be read, when it came."""
    date = written(head)
    return datetime.fromtimestamp(internal_date if date is None else date).astimezone()


async def pour(mailbox: MailboxFile, key: int, octets: int | None = None) -> AsyncIterator[bytes]:
    """A letter piece by piece, as it is; with `octets` no more than about so many, a piece more at most.

    Raises UsageError (66) where it was removed meanwhile.
    """
    unstuffer, index, given, more = Unstuffer(), 0, 0, True
    while more and (octets is None or given < octets):
        [piece] = await mailbox.read([key], index)
        if piece is None:
            raise UsageError("the letter was removed meanwhile", os.EX_NOINPUT)
        plain = unstuffer.feed(piece.wire)
        yield plain
        index, given, more = index + 1, given + len(plain), piece.more


async def beginning(mailbox: MailboxFile, key: int, octets: int) -> bytes:
    """The first octets of a letter, about so many."""
    gathered = bytearray()
    async for plain in pour(mailbox, key, octets):
        gathered += plain
    return bytes(gathered)
