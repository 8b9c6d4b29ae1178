"""Which letters a mailbox has already, whatever they were called elsewhere: the same octets are the same letter.

A letter that comes twice and is here once is one letter more: after an import each is here as often as it is in the
place that has it more often, as `merge` does it. Its date, its folder and its unique-id do not tell.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import sha256
from typing import Final

from postoffice.moving.giving import Given, GoneMeanwhile, read
from postoffice.store.base import Mailbox
from postoffice.store.model import REMOVED

_LOOK_LETTERS: Final = 1000


class Here:
    """The letters of a mailbox, each of which is found once."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._plain: Counter[bytes] = Counter()
        self._with_prefix: defaultdict[int, list[int]] = defaultdict(list)
        """Those below something that an office wrote: their keys, by their octets."""

    @classmethod
    async def of(cls, mailbox: Mailbox) -> Here:
        """Of all its folders but that of deleted letters."""
        here = cls(mailbox)
        for folder in await mailbox.folders():
            keys = () if folder.name == REMOVED else (await mailbox.snapshot(folder=folder.name)).keys
            for start in range(0, len(keys), _LOOK_LETTERS):
                for entry in await mailbox.describe(keys[start : start + _LOOK_LETTERS]):
                    if entry is not None and entry.prefix:
                        here._with_prefix[entry.octets].append(entry.key)
                    elif entry is not None:
                        here._plain[entry.sha256] += 1
        return here

    async def finds(self, digest: bytes, octets: int) -> bool:
        """Whether a letter of this SHA-256 is here, and was not found before."""
        keys = self._with_prefix.pop(octets, [])
        for given in await read(self._mailbox, keys):
            try:
                self._plain[await _digest(given)] += 1
            except GoneMeanwhile:
                continue
        if not self._plain[digest]:
            del self._plain[digest]
            return False
        self._plain[digest] -= 1
        return True


async def _digest(given: Given) -> bytes:
    digest = sha256()
    async for portion in given.octets():
        digest.update(portion)
    return digest.digest()
