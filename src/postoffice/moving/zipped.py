"""Letters in a zip, ours or anybody's: its .eml members. Nothing is unpacked to a disk, so no name leads anywhere.

A zip may be made to hurt whoever opens it. What is encrypted, or packed in a way that is not deflate, is named and
passed over; members that share octets make the whole of it refused; one that grows to more than `GROWN_OCTETS`, and a
hundred times of what it takes there, is no letter. A member never gives more than it says that it has.
"""

from __future__ import annotations

import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.message.printable import safe
from postoffice.moving.emlfiles import Facts, is_letter
from postoffice.moving.letters import READ_OCTETS, Complaint, Unfit

GROWN_OCTETS: Final = 256 << 20
GROWTH: Final = 100
DIRECTORY_OCTETS: Final = 512 << 20
"""The list of members is held in memory; a longer one is not read."""

_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNICODE_PATH: Final = 0x7075


class ZipFiles:
    """A `Files`: the members of a zip. One that cannot be read is a `UsageError`."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}", os.EX_NOINPUT) from error
        try:
            _look_at_directory(self._file.fileno(), path)
            self._zip = zipfile.ZipFile(self._file)
            self._members = self._named()
            self._must_be_apart()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, zlib.error) as error:
            self._file.close()
            raise UsageError(f"{path}: is no zip that can be read: {safe(str(error))}", os.EX_DATAERR) from error
        except BaseException:
            self._file.close()
            raise

    @property
    def where(self) -> str:
        return str(self._path)

    @property
    def octets(self) -> int:
        """What all letters in it take when they are unpacked, at most."""
        return sum(member.file_size for path, member in self._members.items() if is_letter(path))

    def paths(self, complain: Callable[[Complaint], None]) -> Iterator[str]:
        for path, member in self._members.items():
            if member.flag_bits & _ENCRYPTED and is_letter(path):
                complain(Complaint(f"{self._path}, {safe(path)}", "is encrypted; unpack it first", loses=True))
            else:
                yield path

    def open(self, path: str) -> tuple[Facts, Iterator[bytes]]:
        member = self._members[path]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unfit("is packed in a way that is not known here")
        if member.file_size > max(GROWN_OCTETS, GROWTH * member.compress_size):
            raise Unfit(f"would grow to {member.file_size} octets, from {member.compress_size}, as no letter does")
        return Facts(member.file_size, _changed(member)), self._octets(member)

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def _octets(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            with self._zip.open(member) as file:
                while portion := file.read(READ_OCTETS):
                    yield portion
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
            raise Unfit(f"is damaged: {safe(str(error))}") from error

    def _named(self) -> dict[str, zipfile.ZipInfo]:
        """The files in it by their paths; of two with one path, the other has a number."""
        found: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            path = _path_of(member)
            if member.is_dir() or path.startswith("__MACOSX/"):
                continue
            again = path
            while again in found:
                again = f"{len(found)}/{path}"
            found[again] = member
        return found

    def _must_be_apart(self) -> None:
        """Members that overlap would let a small zip become anything."""
        members = sorted(self._zip.infolist(), key=lambda member: member.header_offset)
        for before, after in pairwise(members):
            if before.header_offset + 30 + before.compress_size > after.header_offset:
                raise zipfile.BadZipFile("its members share octets")


def _look_at_directory(descriptor: int, path: Path) -> None:
    """A zip whose list of members is too long is a `UsageError`."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 1 << 17, max(0, size - (1 << 17)))
    at = tail.rfind(b"PK\x05\x06")
    octets = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if octets == 0xFFFFFFFF:
        zip64 = tail.rfind(b"PK\x06\x06")
        octets = int.from_bytes(tail[zip64 + 40 : zip64 + 48], "little") if zip64 >= 0 else octets
    if octets > DIRECTORY_OCTETS:
        sentence = f"{path}: its list of members has {octets} octets, which is more than can be read"
        raise UsageError(sentence, os.EX_DATAERR)


def _path_of(member: zipfile.ZipInfo) -> str:
    """Its path, whatever charset it was written in: as UTF-8 where it can be, else as DOS had it (code page 437)."""
    told = _unicode_path(member.extra)
    if told is not None:
        name = told
    elif member.flag_bits & _UTF8:
        name = member.filename
    else:
        try:
            name = member.orig_filename.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = member.filename
    return name.replace("\\", "/").partition("\0")[0]


def _unicode_path(extra: bytes) -> str | None:
    """What Info-ZIP puts beside a name of an old charset."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == _UNICODE_PATH and 5 < size <= len(extra) - 4:
            try:
                return extra[9 : 4 + size].decode("utf-8")
            except UnicodeDecodeError:
                return None
        extra = extra[4 + size :]
    return None


def _changed(member: zipfile.ZipInfo) -> float:
    try:
        return time.mktime((*member.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0
