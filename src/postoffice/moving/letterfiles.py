"""Giving letters out one by one as files: which file each lies in, and the list that tells what the file cannot.

    INBOX/2024-01-31 14.05.09 Alice - Rabbit hole.eml
    Archive/2024/…                                      a folder inside of another
    index.jsonl                                         `catalogue`: folders, flags, dates, unique-ids, SHA-256

Knows nothing of where they are written: a folder, a zip.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from postoffice.errors import UsageError
from postoffice.message.content import HEAD_OCTETS
from postoffice.moving import catalogue
from postoffice.moving.damages import Damages
from postoffice.moving.filenames import Taken, folder_name, hierarchy, letter_name
from postoffice.moving.giving import Given, batches, read
from postoffice.store.base import Mailbox
from postoffice.store.model import REMOVED, WITHHELD, Snapshot

ENDING = ".eml"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A folder on its way out: its letters, as they were at one moment, and the folders in which they will lie."""

    name: str
    path: tuple[str, ...]
    snapshot: Snapshot


class Places:
    """Which file a letter lies in, and which folder a folder. `above` are the folders around all of them."""

    def __init__(self, *above: str) -> None:
        self._paths: dict[tuple[str, ...], tuple[str, ...]] = {(): above}
        self._taken: dict[tuple[str, ...], Taken] = {above: Taken(catalogue.NAME)}

    def folder(self, name: str) -> tuple[str, ...]:
        """A folder of its own, also where another one's name differs only in case."""
        names = hierarchy(name)
        for depth in range(1, len(names) + 1):
            inner, around = names[:depth], self._paths[names[: depth - 1]]
            if inner not in self._paths:
                path = (*around, self._taken[around].take(folder_name(inner[-1])))
                self._paths[inner] = path
                self._taken[path] = Taken()
        return self._paths[names]

    def file(self, folder: tuple[str, ...], given: Given) -> str:
        """The path of a letter's file, with `/`."""
        name = letter_name(given.beginning[:HEAD_OCTETS], given.entry.internal_date)
        return "/".join((*folder, self._taken[folder].take(name, ENDING)))


async def outgoing(mailbox: Mailbox, wanted: Sequence[str], places: Places) -> list[Outgoing]:
    """The folders of a mailbox: those `wanted`, or all but those of letters that were deleted or are withheld.

    One that is not there is a `UsageError`.
    """
    there = [folder.name for folder in await mailbox.folders()]
    for name in wanted:
        if name not in there:
            raise UsageError(f"{name}: there is no such folder", os.EX_NOINPUT)
    chosen = [name for name in there if (name in wanted if wanted else name not in (REMOVED, *WITHHELD))]
    return [Outgoing(name, places.folder(name), await mailbox.snapshot(folder=name)) for name in chosen]


async def letters_of(mailbox: Mailbox, folder: Outgoing, damages: Damages) -> AsyncIterator[list[Given]]:
    """Its letters in order, so many together as may be read together, without those that are gone meanwhile."""
    for keys in batches(folder.snapshot):
        yield await read(mailbox, keys, damages)


async def pour(given: Given, write: Callable[[bytes], object]) -> tuple[int, bytes]:
    """Write a letter's octets, portion by portion; gives how many they are and their SHA-256.

    Raises `GoneMeanwhile` if it is removed before its end.
    """
    octets, digest = 0, sha256()
    async for portion in given.octets():
        write(portion)
        digest.update(portion)
        octets += len(portion)
    return octets, digest.digest()
