"""An mbox: one file with all letters, each behind its From_ line (RFC 4155).

Where a letter ends is told by the next From_ line; or by Content-Length, where at that very place the file ends or a
From_ line stands (mboxcl). Then its lines are as they were written; else a `>` is taken from `>From ` lines, because
whoever wrote them put it there (mboxo, mboxrd); only Dovecot never takes one, so its readers saw them all. What
servers and programs noted among the fields of a header is no part of a letter. `is_as_kept` leaves all that as it
lies in the file, for servers that show it so.

The file is locked until its last letter is read, as far as that holds anybody back (fcntl, shared); who changes it
all the same ends the import. A letter is known again by the SHA-256 of its octets and its From_ line: files like this
are written anew at any time, and everything in them moves.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.moving import dates, fromlines
from postoffice.moving.letters import READ_OCTETS, Complaint, Found, Opened, canonical
from postoffice.moving.uidlists import UniqueIdFormat
from postoffice.moving.window import Window
from postoffice.store.model import INBOX

STALE_SECONDS: Final = 300.0
"""A lock file that is older was forgotten by somebody."""

_MOST_HEADERS: Final = 4096
_BASE: Final = re.compile(rb"[ \t]*([0-9]{1,10})[ \t]+[0-9]+.*", re.DOTALL)
_INTERNAL: Final = b"DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"


@dataclass(frozen=True, slots=True)
class _Place:
    """A letter in the file: its From_ line, and from where to where its octets lie.

    `is_counted`: Content-Length tells its end.
    """

    line: bytes
    begin: int
    end: int
    is_counted: bool


class Mbox:
    """An `OldStore`. With `uidl_format` it is Dovecot's, and unique-ids are made of X-IMAPbase and X-UID."""

    source = "mbox"

    def __init__(
        self,
        path: Path,
        *,
        folder: str = INBOX,
        is_as_kept: bool = False,
        uidl_format: str | None = None,
        file: int | None = None,
        is_dated_by_header: bool = False,
    ) -> None:
        """`file` is a descriptor for reading it, which is this object's from now on.

        `is_dated_by_header`: its From_ lines tell when a program wrote it, and not when a letter came.
        """
        self._path = path.absolute()
        self._folder = folder
        self._is_as_kept = is_as_kept
        self._is_dated_by_header = is_dated_by_header
        self._format = UniqueIdFormat(uidl_format) if uidl_format else None
        self._dropped = fromlines.SERVERS_FIELDS if uidl_format else fromlines.PROGRAMS_FIELDS
        self._file = file if file is not None else _opened(path)
        try:
            self._facts = _locked(self._file, path)
            self._window = Window(self._file, self._facts.st_size)
            self._starts = self._index()
            self._validity = self._uid_validity()
        except BaseException:
            self.close()
            raise

    @property
    def total(self) -> int:
        return len(self._starts)

    def letters(self) -> Iterator[Found | Complaint]:
        met: Counter[str] = Counter()
        last_uid = 0
        for number, start in enumerate(self._starts, 1):
            place, _ = self._extent(start)
            where = f"{self._path}, letter {number}"
            head = self._header(place.begin, place.end)
            if number == 1 and _is_internal(head):
                yield Complaint(where, "is a note of a server to itself, which it showed to nobody; it is passed over")
                continue
            if fromlines.is_mozillas(place.line) and fromlines.is_deleted(head):
                yield Complaint(where, "is deleted and waits to be cut out; it is passed over")
                continue
            if fromlines.is_partial(head):
                yield Complaint(where, "was not pulled as a whole by the program that wrote it; it comes as it is")
            opened, digest = self._read(place, head)
            source_id = digest if self._folder == INBOX else f"{self._folder}/{digest}"
            met[source_id] += 1
            if met[source_id] > 1:
                source_id = f"{source_id}\n{met[source_id]}"
            uid = _number(header.first(head, b"X-UID"))
            unique_id = self._unique_id(head, uid if uid > last_uid else 0)
            last_uid = max(uid, last_uid)
            flags = fromlines.flags_of(head)
            yield Found(where, source_id, unique_id, partial(_given, opened), flags, self._folder)
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Ends the lock too."""
        os.close(self._file)

    # --- where letters lie

    def _index(self) -> array[int]:
        """Where each From_ line begins."""
        starts = array("q")
        start = 0
        if self._window.size and not self._window.at(0, len(fromlines.FROM)).startswith(fromlines.FROM):
            raise UsageError(f"{self._path}: is no mbox; its first line does not begin with `From `", os.EX_DATAERR)
        while start < self._window.size:
            starts.append(start)
            _, start = self._extent(start)
        return starts

    def _extent(self, start: int) -> tuple[_Place, int]:
        """The letter whose From_ line begins there, and where the next one does."""
        window = self._window
        line = window.line(start, fromlines.LINE_OCTETS)
        begin = start + len(line)
        counted = self._counted(begin)
        if counted is not None:
            end, after = counted
            return _Place(line, begin, end, True), after
        after = window.find(b"\n" + fromlines.FROM, begin - 1) + 1
        while after and not self._is_from_line(after):
            after = window.find(b"\n" + fromlines.FROM, after) + 1
        after = after or window.size
        # The empty line before a From_ line, or at the end of the file, is the mbox's.
        tail = window.at(max(after - 3, begin - 1), min(3, after - begin + 1))
        empty = 1 if tail.endswith(b"\n\n") else 2 if tail.endswith(b"\n\r\n") else 0
        return _Place(line, begin, max(begin, after - empty), False), after

    def _counted(self, begin: int) -> tuple[int, int] | None:
        """Where Content-Length says that a letter ends, and the next one begins; None if it does not tell the truth."""
        above = self._header(begin, self._window.size)
        if b"\ncontent-length" not in above.lower():
            return None
        size = self._window.size
        body = begin + len(above) + len(self._window.line(begin + len(above), 2))
        end = body + _number(header.first(above, b"Content-Length"), otherwise=size)
        for line_end in (b"\n", b"\r\n", b""):
            after = end + len(line_end)
            is_there = after <= size and self._window.at(end, len(line_end)) == line_end
            if is_there and (after == size or self._is_from_line(after)):
                return end, after
        return None

    def _header(self, begin: int, end: int) -> bytes:
        """That of the letter which begins there, with its last line end; what lies behind `HEAD_OCTETS` is not seen."""
        for octets in (_MOST_HEADERS, HEAD_OCTETS):
            head = self._window.at(begin, min(octets, end - begin))
            above = header.header_of(head)
            if len(above) < len(head):
                break
        return above

    def _is_from_line(self, offset: int) -> bool:
        before = self._window.at(max(0, offset - 3), min(3, offset))
        line = self._window.line(offset, fromlines.LINE_OCTETS)
        return before.endswith(b"\n") and fromlines.begins_letter(
            line, follows_empty=before.endswith((b"\n\n", b"\n\r\n"))
        )

    # --- what is in them

    def _read(self, place: _Place, head: bytes) -> tuple[Opened, str]:
        """The letter, and the name under which it is known again, whatever a server noted in it meanwhile."""
        date = fromlines.date_of(place.line)
        if date is None or self._is_dated_by_header:
            date = dates.date_of(head, date or self._facts.st_mtime)
        digest = sha256(place.line)
        kept = []
        for portion in self._octets(place, is_as_kept=False):
            digest.update(portion)
            if not self._is_as_kept and place.end - place.begin <= READ_OCTETS:
                kept.append(portion)
        octets = iter(kept) if kept else self._octets(place, is_as_kept=self._is_as_kept)
        return Opened(date, octets), digest.hexdigest()[:40]

    def _octets(self, place: _Place, *, is_as_kept: bool) -> Iterator[bytes]:
        portions = self._portions(place.begin, place.end)
        if is_as_kept:
            return canonical(portions)
        portions = self._without_notes(portions)
        is_unquoted = place.is_counted or self._format is not None
        return canonical(portions if is_unquoted else fromlines.unquoted(portions))

    def _without_notes(self, portions: Iterator[bytes]) -> Iterator[bytes]:
        for first in portions:
            yield fromlines.without(self._dropped, first)
            yield from portions

    def _portions(self, begin: int, end: int) -> Iterator[bytes]:
        """Octets of the file, which nobody changed before the last of them was read."""
        while begin < end:
            portion = self._window.at(begin, end - begin)
            begin += len(portion)
            if not portion or begin >= end:
                self._look_for_changes()
            if not portion:
                return
            yield portion

    def _look_for_changes(self) -> None:
        now, then = os.fstat(self._file), self._facts
        if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            raise UsageError(
                f"{self._path}: was changed while it was read; run it again, what has come is kept", os.EX_TEMPFAIL
            )

    def _unique_id(self, head: bytes, uid: int) -> str | None:
        if self._format is not None:
            return self._format.of(uid, self._validity, "", None) if uid else None
        noted = header.first(head, b"X-UIDL")
        return noted.decode("ascii", "backslashreplace") if noted else None

    def _uid_validity(self) -> int:
        """Of Dovecot's mbox; it stands in the first letter."""
        if self._format is None or not self._starts:
            return 0
        place, _ = self._extent(0)
        head = self._header(place.begin, place.end)
        found = _BASE.fullmatch(header.first(head, b"X-IMAPbase") or header.first(head, b"X-IMAP") or b"")
        if found is None:
            raise UsageError(
                f"{self._path}: its first letter has no X-IMAPbase, so nobody knows the unique-ids of these letters",
                os.EX_DATAERR,
            )
        return int(found[1])


def _is_internal(head: bytes) -> bool:
    """Whether a letter is the one in which servers of the University of Washington keep their numbers."""
    has_numbers = any(header.first(head, name) is not None for name in (b"X-IMAP", b"X-IMAPbase"))
    return has_numbers and header.first(head, b"Subject") == _INTERNAL and header.first(head, b"X-UIDL") is None


def _given(opened: Opened) -> Opened:
    return opened


def _opened(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", os.EX_NOINPUT) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UsageError(f"{path}: is no file, so it is no mbox", os.EX_NOINPUT)
    return file


def _locked(file: int, path: Path) -> os.stat_result:
    """Facts of the file that hold until it is closed, as far as others keep to locks."""
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise UsageError(f"{path}: somebody is writing to it; try again", os.EX_TEMPFAIL) from error
    lock = path.with_name(f"{path.name}.lock")
    try:
        is_locked = time.time() - lock.stat().st_mtime < STALE_SECONDS
    except OSError:
        is_locked = False
    if is_locked:
        raise UsageError(f"{path}: somebody is writing to it, as {lock} says; try again", os.EX_TEMPFAIL)
    return os.fstat(file)


def _number(value: bytes | None, otherwise: int = 0) -> int:
    """A number of a field; `otherwise` if there is none."""
    return int(value) if value is not None and value.isdigit() and len(value) <= 18 else otherwise
