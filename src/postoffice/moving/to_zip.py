"""Giving out one zip of .eml files, as `to_eml` lays them out, written from its beginning to its end: a pipe will do.

Sizes may be beyond 4 GiB and letters beyond 65,535 (zip64). Names are UTF-8; a file's time is that of the letter, to
the second in UTC where a program reads that (the extended timestamp), else in this machine's time.
"""

from __future__ import annotations

import os
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, Protocol, cast

from postoffice.moving import catalogue
from postoffice.moving.damages import Damages
from postoffice.moving.giving import Given, GoneMeanwhile
from postoffice.moving.letterfiles import Outgoing, Places, letters_of, outgoing, pour
from postoffice.moving.outlet import Outlet
from postoffice.moving.taking import Report, Witness
from postoffice.store.base import Mailbox

FORM: Final = "zip"
_TIMESTAMP, _HAS_MODIFIED = 0x5455, 1
_FIRST, _LAST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
_LEVEL: Final = 3
"""Of deflate: a third quicker than the usual 6, for letters that become a few hundredths larger."""
_MODE: Final = stat.S_IFREG | 0o600


class Sink(Protocol):
    """What a zip is written to, from its beginning to its end."""

    def write(self, octets: bytes, /) -> int: ...

    def flush(self) -> None: ...


async def to_zip(mailbox: Mailbox, sink: Sink, witness: Witness, wanted: Sequence[str] = ()) -> Report:
    """The folders that are `wanted`, none: all that are shown. Not durable yet. May raise OSError."""
    places = Places()
    folders = await outgoing(mailbox, wanted, places)
    report = Report(total=sum(len(folder.snapshot.keys) for folder in folders))
    damages = Damages(FORM, witness, report)
    newest = 0.0
    listed = _Lines()
    listed.add(catalogue.first_line(FORM))
    with zipfile.ZipFile(
        cast(BinaryIO, sink), "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=_LEVEL
    ) as archive:
        for folder in folders:
            listed.add(catalogue.folder_line(folder.name, "/".join(folder.path)))
            async for batch in letters_of(mailbox, folder, damages):
                for given in batch:
                    listed.add(await _give(given, archive, folder, places, report))
                    newest = max(newest, given.entry.internal_date)
                witness.progress(report)
        listed.add(catalogue.last_line(report.letters))
        with archive.open(_facts(catalogue.NAME, newest), "w", force_zip64=True) as member:
            for portion in listed.octets():
                member.write(portion)
    return report


class _Lines:
    """Lines that are kept until the end, in little memory."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj()
        self._kept: list[bytes] = []

    def add(self, line: bytes) -> None:
        if portion := self._compressor.compress(line):
            self._kept.append(portion)

    def octets(self) -> Iterator[bytes]:
        """All of them; nothing can be added any more."""
        self._kept.append(self._compressor.flush())
        decompressor = zlib.decompressobj()
        yield from map(decompressor.decompress, self._kept)


async def to_zip_file(
    mailbox: Mailbox, outlet: Outlet, witness: Witness, wanted: Sequence[str] = (), *, replaces: bool = False
) -> Report:
    """A file, which is whole and durable when this returns; if it raises, nothing has changed. May raise OSError."""
    with outlet.new_file(replaces=replaces) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        return await to_zip(mailbox, file, witness, wanted)


async def _give(given: Given, archive: zipfile.ZipFile, folder: Outgoing, places: Places, report: Report) -> bytes:
    """One letter; gives its line for the list, or nothing if it was removed meanwhile.

    What was written cannot be taken back; what is no letter is not in the directory of the zip.
    """
    file = places.file(folder.path, given)
    try:
        with archive.open(_facts(file, given.entry.internal_date), "w", force_zip64=True) as member:
            octets, digest = await pour(given, member.write)
    except GoneMeanwhile:
        archive.filelist.pop()
        archive.NameToInfo.pop(file)
        return b""
    report.letters += 1
    report.octets += octets
    return catalogue.letter_line(file, folder.name, given.entry, octets, digest)


def _facts(name: str, date: float) -> zipfile.ZipInfo:
    seconds = int(max(-(1 << 31), min(date, (1 << 31) - 1)))
    local = time.localtime(seconds)[:6]
    facts = zipfile.ZipInfo(name, max(_FIRST, min(local, _LAST)))
    facts.compress_type = zipfile.ZIP_DEFLATED
    facts.create_system = 3
    facts.external_attr = _MODE << 16
    facts.extra = struct.pack("<HHBi", _TIMESTAMP, 5, _HAS_MODIFIED, seconds)
    return facts
