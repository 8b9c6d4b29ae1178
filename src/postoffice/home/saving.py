"""What a letter brings, as files: under names that are safe, never over another file, not to be run, and durable.

A letter is read twice, piece by piece: to learn where its parts are, and to write those that are wanted. So neither a
letter nor what is attached to it has to fit into memory. A file is written beside its place and gets its name when all
of it is on the disk; what stands there already keeps its name, and the new one gets a number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from postoffice.database.sqlite import sync_directory
from postoffice.errors import UsageError
from postoffice.home.letters import pour
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.mime import suspicion
from postoffice.message.mime.decoding import Decoder, decoder
from postoffice.message.mime.names import file_name, numbered
from postoffice.message.mime.parts import LETTER, Outline, Part
from postoffice.message.mime.view import attachments

if TYPE_CHECKING:
    from postoffice.store.embedded import MailboxFile

MODE: Final = 0o600
"""Its owner reads and writes it, and nobody runs it."""

_TAKEN: Final = 10_000
_MARK_OCTETS: Final = 1000


@dataclass(frozen=True, slots=True)
class Saved:
    """A file that is there, durably. `number` is the attachment's, 0: the letter itself. `warnings` are sentences."""

    number: int
    path: Path
    octets: int
    warnings: tuple[str, ...] = ()


async def save_letter(mailbox: MailboxFile, key: int, folder: Path, number: int) -> Saved:
    """The letter itself, octet for octet, called as its subject is; durable on return.

    Raises UsageError: 66 where the letter was removed meanwhile, 73 or 77 where no file can be made; none is left.
    """
    _be_folder(folder)
    file: _File | None = None
    try:
        async for plain in pour(mailbox, key):
            if file is None:
                subject = header.decoded(plain[:HEAD_OCTETS], b"Subject")[:120]
                name = file_name(f"{subject or f'letter-{number}'}.eml", LETTER, number)
                file = _File(folder, name, decoder(""), _marks(plain[:HEAD_OCTETS]))
            file.feed(plain)
        assert file is not None, "a letter has a piece at least"
        path = file.finish()
        sync_directory(folder)
        return Saved(0, path, file.octets)
    except OSError as error:
        raise _cannot(folder, error) from error
    finally:
        if file is not None:
            file.abandon()


async def save_attachments(mailbox: MailboxFile, key: int, folder: Path, numbers: Sequence[int] = ()) -> list[Saved]:
    """What is attached to a letter: these numbers, or all of it, in their order; durable on return.

    Raises UsageError: 66 for a number that is not there, before anything is written; 73 where a file cannot be made.
    What was saved until then stays.
    """
    _be_folder(folder)
    outline, head = Outline(), b""
    async for plain in pour(mailbox, key):
        head = head or plain[:HEAD_OCTETS]
        outline.feed(plain)
    there = dict(attachments(outline.end()))
    for number in numbers:
        if number not in there:
            count = len(there)
            said = "nothing is attached" if not count else f"there is {'1' if count == 1 else f'1 to {count}'}"
            raise UsageError(f"there is no attachment {number}; {said}", os.EX_NOINPUT)
    wanted = {number: there[number] for number in (dict.fromkeys(numbers) or there)}
    return await _write(mailbox, key, folder, wanted, _marks(head))


async def _write(
    mailbox: MailboxFile, key: int, folder: Path, wanted: dict[int, Part], marks: dict[str, bytes]
) -> list[Saved]:
    """Parts may lie in each other; of those that are attached, few do."""
    waiting = sorted(wanted.items(), key=lambda one: -one[1].begin)
    writing: list[tuple[int, Part, _File]] = []
    saved: list[Saved] = []
    offset = 0
    last = max((part.end for part in wanted.values()), default=0)
    try:
        async for plain in pour(mailbox, key, last):
            end = offset + len(plain)
            while waiting and waiting[-1][1].begin < end:
                number, part = waiting.pop()
                writing.append((number, part, _begun(folder, number, part, marks)))
            for number, part, file in list(writing):
                file.feed(plain[max(part.begin - offset, 0) : max(part.end - offset, 0)])
                if part.end <= end:
                    saved.append(_ended(number, part, file))
                    writing.remove((number, part, file))
            offset = end
        for number, part in waiting:  # empty ones at the very end
            file = _begun(folder, number, part, marks)
            writing.append((number, part, file))
        for number, part, file in writing:
            saved.append(_ended(number, part, file))
        if saved:
            sync_directory(folder)
    except OSError as error:
        raise _cannot(folder, error) from error
    finally:
        for _, _, file in writing:
            file.abandon()
    order = {number: index for index, number in enumerate(wanted)}
    return sorted(saved, key=lambda one: order[one.number])


def _begun(folder: Path, number: int, part: Part, marks: dict[str, bytes]) -> _File:
    return _File(folder, file_name(part.name, part.kind, number), decoder(part.description.encoding), marks)


def _ended(number: int, part: Part, file: _File) -> Saved:
    path = file.finish()
    return Saved(number, path, file.octets, suspicion.of_file(part.name, part.kind, file.beginning))


class _File:
    """A file that has no name yet."""

    def __init__(self, folder: Path, name: str, encoding: Decoder, marks: dict[str, bytes]) -> None:
        self._folder, self._name = folder, name
        self._decoder = encoding
        self._draft = folder / f".postoffice.{token_hex(8)}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self._draft, flags, MODE), "wb")
        self._is_done = False
        self.octets = 0
        self.beginning = b""
        for mark, value in marks.items():
            with suppress(OSError):  # not every file system keeps them
                os.setxattr(self._file.fileno(), mark, value)

    def feed(self, encoded: bytes) -> None:
        self._put(self._decoder.feed(encoded))

    def _put(self, octets: bytes) -> None:
        self._file.write(octets)
        self.octets += len(octets)
        if len(self.beginning) < suspicion.LOOK_OCTETS:
            self.beginning += octets[: suspicion.LOOK_OCTETS - len(self.beginning)]

    def finish(self) -> Path:
        """All of it is on the disk and has its name, which is durable when its folder is synced."""
        self._put(self._decoder.end())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = _named(self._draft, self._folder, self._name)
        self._is_done = True
        return path

    def abandon(self) -> None:
        """It is not wanted any more; nothing if it has its name."""
        if not self._is_done:
            with suppress(OSError):
                self._file.close()
            self._draft.unlink(missing_ok=True)


def _named(draft: Path, folder: Path, name: str) -> Path:
    """The draft under `name`, or with a number where that is taken. It is never in the place of another file."""
    for number in range(1, _TAKEN):
        path = folder / (name if number == 1 else numbered(name, number))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            continue
        except OSError:
            if not _reserved(path):  # a file system without links
                continue
            draft.rename(path)
        else:
            draft.unlink()
        return path
    raise UsageError(f"{folder}: too many files are called {name}", os.EX_CANTCREAT)


def _reserved(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
    except FileExistsError:
        return False
    return True


def _marks(head: bytes) -> dict[str, bytes]:
    """Where a file came from, as other programs note it too (the Common Extended Attributes of freedesktop.org)."""
    fields = {"from": b"From", "subject": b"Subject", "message-id": b"Message-ID"}
    found = {name: header.decoded(head, field).encode()[:_MARK_OCTETS] for name, field in fields.items()}
    return {f"user.xdg.origin.email.{name}": value for name, value in found.items() if value}


def _be_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder", os.EX_CANTCREAT)


def _cannot(folder: Path, error: OSError) -> UsageError:
    status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_CANTCREAT
    return UsageError(f"{folder}: cannot be written: {error.strerror}", status)
