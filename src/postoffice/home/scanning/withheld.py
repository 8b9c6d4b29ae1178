"""What lies in quarantine, or is held until it is scanned; and a person who lets a letter out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from postoffice.errors import UsageError
from postoffice.home.scanning.outcome import Waiting
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED, Entry, Scan, Verdict

FLIGHT_LETTERS = 1000


@dataclass(frozen=True, slots=True)
class Withheld:
    """A letter in `folder`, with its number there, and what was said of it."""

    folder: str
    number: int
    entry: Entry
    scan: Scan | None


async def withheld(mailbox: Mailbox, folders: Sequence[str] = (QUARANTINE, UNSCANNED)) -> list[Withheld]:
    """All letters in these folders, by number."""
    there = {folder.name for folder in await mailbox.folders()}
    found = []
    for name in folders:
        keys = (await mailbox.snapshot(folder=name)).keys if name in there else []
        for start in range(0, len(keys), FLIGHT_LETTERS):
            entries = await mailbox.describe(keys[start : start + FLIGHT_LETTERS])
            here = [(number, entry) for number, entry in enumerate(entries, start + 1) if entry is not None]
            scans = await mailbox.scans([entry.sha256 for _, entry in here])
            found += [Withheld(name, number, entry, scan) for (number, entry), scan in zip(here, scans, strict=True)]
    return found


async def waiting(mailbox: Mailbox) -> Waiting:
    """What is held."""
    held = await withheld(mailbox, [UNSCANNED])
    too_large = sum(one.scan is not None and one.scan.verdict is Verdict.TOO_LARGE for one in held)
    return Waiting(len(held) - too_large, too_large)


async def release(mailbox: Mailbox, folder: str, number: int) -> Withheld:
    """Let a letter out: into INBOX, and what was found in it is allowed there from now on. Durable.

    Raises UsageError (66) where there is no such letter.
    """
    letters = {one.number: one for one in await withheld(mailbox, [folder])}
    if number not in letters:
        there = "there is 1" if len(letters) == 1 else f"there are {len(letters)}"
        raise UsageError(f"there is no letter {number} in {folder}; {there}", os.EX_NOINPUT)
    one = letters[number]
    allowed = {}
    if one.scan is not None and one.scan.name and one.scan.verdict in (Verdict.INFECTED, Verdict.CLEAN):
        allowed[one.entry.sha256] = one.scan._replace(allowed=one.scan.allowed | {one.scan.name})
    await mailbox.judge(allowed, {INBOX: [one.entry.key]})
    return one
