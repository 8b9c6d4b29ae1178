"""Which letters are whole in another mailbox file: their octets are read there, and counted by their hash."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.errors import UsageError
from postoffice.events import event
from postoffice.home.mailbox import opening
from postoffice.protocols.dots import Unstuffer

if TYPE_CHECKING:
    from postoffice.client.rules import Rule
    from postoffice.store.embedded import MailboxFile

FLIGHT_LETTERS: Final = 1000


def must_be_another(rules: Iterable[Rule], file: Path) -> None:
    """Raise a UsageError (64) where a rule takes the mailbox file for its own copy, by whatever name."""
    for rule in rules:
        from postoffice.client.rules import WhenCopied

        if isinstance(rule, WhenCopied) and _is_same(rule.path, file):
            raise UsageError(f"{rule}: that is the mailbox file itself, and no copy of it", os.EX_USAGE)


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


async def whole_in(path: Path, digests: Sequence[bytes]) -> set[bytes]:
    """Those contents, by SHA-256, whose octets are all there now, in whatever folder.

    None where there is no such file: the disk that it is on may be elsewhere. DamagedStore where it is no mailbox.
    """
    if not path.exists():
        event("home.no_copy", file=str(path))
        return set()
    wanted, whole = set(digests), set[bytes]()
    mailbox = opening(path, sweeps=False)()
    try:
        for folder in await mailbox.folders():
            keys = (await mailbox.snapshot(folder=folder.name)).keys
            for start in range(0, len(keys), FLIGHT_LETTERS):
                for entry in await mailbox.describe(keys[start : start + FLIGHT_LETTERS]):
                    if entry is not None and entry.sha256 in wanted - whole:
                        whole |= {await _digest(mailbox, entry.key, len(entry.prefix))} & wanted
    finally:
        await mailbox.close()
    return whole


async def _digest(mailbox: MailboxFile, key: int, prefix: int) -> bytes:
    """Of the octets below what stands above the letter; of nothing, if it was removed meanwhile."""
    unstuffer, digest, index, more = Unstuffer(), sha256(), 0, True
    while more:
        [piece] = await mailbox.read([key], index)
        if piece is None:
            return b""
        plain = unstuffer.feed(piece.wire)
        digest.update(plain[prefix:])
        prefix = max(0, prefix - len(plain))
        index, more = index + 1, piece.more
    return digest.digest()
