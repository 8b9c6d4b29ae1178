"""Letters into a Maildir: each in a file of its own, as new mail.

    tmp/1700000000.U0000000007Em18c….postoffice     written, synced
    new/1700000000.U0000000007Em18c….postoffice,S=2931,W=2987     only then renamed to; the folder synced

A file's name begins with what stays the same of its letter in the spool. So a letter that is in `new` already, or in
`cur` with whatever flags, is known again. Who moves it to another folder within the moment between two runs, one of
which died, hides it from us: then it comes twice. Lines end with LF, where the letter has CRLF and nothing else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.handing.places import explained, make_folder, must_be_ours
from postoffice.handing.round import Round
from postoffice.moving.giving import BATCH_LETTERS, Given, GoneMeanwhile, write_all
from postoffice.moving.to_maildir import file_name, stem
from postoffice.moving.uidlists import base

_PLACES: Final = ("tmp", "new", "cur")
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Written:
    """A file in `tmp`, whole but not durable, and its name in `new`."""

    given: Given
    descriptor: int
    temporary: str
    name: str


class MaildirHand:
    """A `Hand`. Makes the Maildir if it is not there; a folder of something else is a `UsageError` (73)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folders: dict[str, int] = {}
        with explained(path):
            root = make_folder(path)
            try:
                must_be_ours(root, path)
                there = set(_names(root))
                if there and not {"new", "cur"} <= there and not there <= set(_PLACES):
                    raise UsageError(f"{path}: is a folder, and no Maildir", os.EX_CANTCREAT)
                for place in _PLACES:
                    self._folders[place] = make_folder(place, root)
            except BaseException:
                self.close()
                raise
            finally:
                os.close(root)

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.popitem()[1])

    async def found(self, letters: Sequence[Given], length: int) -> frozenset[str] | None:
        """Nothing: names tell, in each round."""
        return frozenset()

    async def take(self, round_: Round) -> None:
        with explained(self._path):
            # What a mail program moves meanwhile goes from `new` to `cur`, so this order misses none.
            there = {base(name) for place in ("new", "cur") for name in _names(self._folders[place])}
            async for flight in round_.flights(BATCH_LETTERS):
                await round_.recognised([given for given in flight if stem(given.entry) in there])
                await self._give([given for given in flight if stem(given.entry) not in there], round_)

    async def _give(self, letters: Sequence[Given], round_: Round) -> None:
        written: list[_Written] = []
        try:
            for given in letters:
                with suppress(GoneMeanwhile):
                    written.append(await self._write(given))
            await self._finish(written)
        finally:
            for one in written:
                os.close(one.descriptor)
        await round_.taken([one.given for one in written])

    async def _write(self, given: Given) -> _Written:
        """One letter into `tmp`."""
        temporary = stem(given.entry)
        tmp = self._folders["tmp"]
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=tmp)  # of a run that died: nobody else writes this name
        descriptor = os.open(temporary, _NEW, 0o600, dir_fd=tmp)
        try:
            is_plain = await given.is_plain()
            octets = 0
            async for portion in given.octets():
                octets += write_all(descriptor, portion.replace(b"\r\n", b"\n") if is_plain else portion)
            date = int(given.entry.internal_date)
            os.utime(descriptor, (date, date))
        except BaseException:
            os.close(descriptor)
            os.unlink(temporary, dir_fd=tmp)
            raise
        return _Written(given, descriptor, temporary, file_name(given.entry, octets))

    async def _finish(self, written: Sequence[_Written]) -> None:
        """What lies in `tmp` becomes letters, durably."""
        if not written:
            return
        # In threads, so that the file system writes its journal once for many. All of them end before any is closed.
        ended = await asyncio.gather(
            *(asyncio.to_thread(os.fsync, one.descriptor) for one in written), return_exceptions=True
        )
        for trouble in filter(None, ended):
            raise trouble
        for one in written:
            os.rename(one.temporary, one.name, src_dir_fd=self._folders["tmp"], dst_dir_fd=self._folders["new"])
        os.fsync(self._folders["new"])


def _names(folder: int) -> list[str]:
    return os.listdir(folder)
