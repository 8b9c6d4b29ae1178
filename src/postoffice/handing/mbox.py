"""Letters onto the end of an mbox, as mboxrd with LF (RFC 4155): a From_ line, the letter, an empty line.

    journal: these letters, behind octet 4711    durable
    append                                       under both locks; synced
    out of the spool                             durable

A run that died in between left behind octet 4711 some of those letters, whole, and perhaps a part of the next: octets
of ours, or zeros where the disk got the length and not the octets. What is whole is done, the part is cut off. If
somebody wrote the file anew meanwhile, letters are known again wherever they stand by their octets and From_ line.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from postoffice.client.private import sync_folder
from postoffice.errors import PostofficeError, UsageError
from postoffice.events import event
from postoffice.handing.journal import Journal
from postoffice.handing.locks import locked
from postoffice.handing.places import explained, must_be_ours
from postoffice.handing.round import Round
from postoffice.moving.giving import BATCH_LETTERS, Given, GoneMeanwhile, write_all
from postoffice.moving.letters import Found
from postoffice.moving.mbox import Mbox
from postoffice.moving.to_mbox import from_line, in_mbox

_OPEN: Final = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC


class MboxHand:
    """A `Hand`. Makes the file if it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained(path):
            file = self._open()
            try:
                if os.pread(file, 5, 0) not in (b"", b"From "):
                    raise UsageError(f"{path}: is no mbox; its first line does not begin with `From `", os.EX_DATAERR)
            finally:
                os.close(file)

    def close(self) -> None:
        """Nothing: it is open only while letters are written."""

    async def take(self, round_: Round) -> None:
        with explained(self._path):
            async for flight in round_.flights(BATCH_LETTERS):
                async with self._held() as file:
                    taken = await _append(file, flight, round_.journal)
                await round_.taken(taken)

    async def found(self, letters: Sequence[Given], length: int) -> frozenset[str] | None:
        with explained(self._path):
            async with self._held() as file:
                whole = await _behind(file, letters, length)
            if whole is None:
                whole = await self._anywhere(letters)
            return frozenset(given.entry.email_id for given in whole)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[int]:
        """The file, under its locks; the one that has the name then, whoever made another in its place meanwhile."""
        while True:
            file = self._open()
            try:
                async with locked(file, self._path):
                    if os.path.samestat(os.fstat(file), self._path.stat()):
                        yield file
                        return
            except FileNotFoundError:
                pass
            finally:
                os.close(file)

    def _open(self) -> int:
        try:
            file = os.open(self._path, _OPEN)
        except FileNotFoundError:
            file = os.open(self._path, _OPEN | os.O_CREAT, 0o600)
            sync_folder(self._path.parent)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise UsageError(f"{self._path}: is no file, so it is no mbox", os.EX_CANTCREAT)
            must_be_ours(file, self._path)
        except BaseException:
            os.close(file)
            raise
        return file

    async def _anywhere(self, letters: Sequence[Given]) -> list[Given]:
        """Those that stand somewhere in a file that others wrote anew."""
        with closing(Mbox(self._path)) as box:
            there = {found.source_id for found in box.letters() if isinstance(found, Found)}
        return [given for given in letters if await _name(given) in there]


async def _append(file: int, flight: Sequence[Given], journal: Journal) -> list[Given]:
    """All of a flight, or nothing; those that were removed meanwhile are left out."""
    length = _length(file)
    await asyncio.to_thread(journal.begin, [given.entry.email_id for given in flight], length)
    taken = []
    try:
        end = os.lseek(file, length, os.SEEK_SET)
        write_all(file, _between(file, length))
        for given in flight:
            try:
                async for portion in in_mbox(given, from_line(given)):
                    write_all(file, portion)
            except GoneMeanwhile:
                os.ftruncate(file, end)
                os.lseek(file, end, os.SEEK_SET)
                continue
            end = os.lseek(file, 0, os.SEEK_CUR)
            taken.append(given)
        await asyncio.to_thread(os.fsync, file)
    except BaseException:
        with suppress(OSError, PostofficeError):
            os.ftruncate(file, length)
            os.fsync(file)
            journal.end()
        raise
    return taken


async def _behind(file: int, letters: Sequence[Given], length: int) -> list[Given] | None:
    """Those that are whole behind this length; what else is there of ours is cut off. None if others wrote there."""
    size = _length(file)
    if size < length:
        return None
    at, end, is_sound = length, length, True
    whole: list[Given] = []
    between = _between(file, length)
    for given in letters:
        async for portion in in_mbox(given, between + from_line(given)):
            there = os.pread(file, len(portion), at)
            at += len(portion)
            if there != portion:
                is_sound = False
                if any(found not in (0, ours) for found, ours in zip(there, portion, strict=False)):
                    return None
        between = b""
        if is_sound:
            whole.append(given)
            end = at
    if size > at and not is_sound:
        return None
    if end < size <= at:
        event("handing.torn", octets=size - end)
        os.ftruncate(file, end)
        os.fsync(file)
    return whole


def _between(file: int, length: int) -> bytes:
    """What must stand between the letters that are there and the next one, so that an empty line parts them."""
    tail = os.pread(file, min(length, 2), max(0, length - 2))
    return b"" if tail in (b"", b"\n\n") else b"\n" if tail.endswith(b"\n") else b"\n\n"


def _length(file: int) -> int:
    return os.fstat(file).st_size


async def _name(given: Given) -> str | None:
    """What `moving.mbox` calls a letter that stands in an mbox as we write it."""
    with TemporaryDirectory(prefix="postoffice-") as folder:
        path = Path(folder, "mbox")
        with path.open("wb") as file:
            async for portion in in_mbox(given, from_line(given)):
                file.write(portion)
        with closing(Mbox(path)) as box:
            return next(found.source_id for found in box.letters() if isinstance(found, Found))
