"""A Maildir, and Maildir++ with its folders: one file for each letter, whose name and place say what became of it.

    Maildir/cur/1700000000.M1P2.host,S=2931,W=2987:2,FS
    Maildir/.Sent/cur/…                                    a folder, its name in modified UTF-7 (RFC 3501 §5.1.3)

Files mostly have LF where a letter has CRLF. Where `W=`, what the letter has on the wire, is the size of the file,
its octets are the letter's own, and stay as they are.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from postoffice.errors import UsageError
from postoffice.moving.letters import Complaint, Found, Opened, Unfit, canonical, with_final_line_end
from postoffice.moving.tree import Tree
from postoffice.moving.uidlists import DOVECOT_FORMAT, Noted, Notes, base, courier, dovecot
from postoffice.store.model import INBOX, NO_FLAGS, Flag

FLAGS: Final = {"S": Flag.SEEN, "R": Flag.ANSWERED, "F": Flag.FLAGGED, "T": Flag.DELETED, "D": Flag.DRAFT}

_WIRE_OCTETS: Final = re.compile(r",W=([0-9]{1,18})(?=[,:]|$)")
_TIME: Final = re.compile(r"([0-9]{1,12})\.")
_UTF7: Final = re.compile(r"&([^-]*)-")
_AFTER_ALL: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class _File:
    folder: str
    path: tuple[str, ...]
    noted: Noted | None


class Maildir:
    """An `OldStore`. `kind` says whose notes to read: `maildir` has none, `dovecot`, `courier`.

    Letters of the inbox that are not in the notes are left where they are, unless it `takes_unnumbered`.
    """

    source = "maildir"

    def __init__(
        self,
        tree: Tree,
        kind: str = "maildir",
        uidl_format: str = DOVECOT_FORMAT,
        *,
        takes_unnumbered: bool = False,
    ) -> None:
        self._tree = tree
        self._read_notes: Callable[[str, str], Notes] | None = None
        self._notes_name = ""
        if kind == "dovecot":
            self._notes_name = "dovecot-uidlist"
            self._read_notes = lambda text, where: dovecot(text, where, uidl_format)
        elif kind == "courier":
            self._notes_name = "courierpop3dsizelist"
            self._read_notes = courier
        self._complaints: list[Complaint] = []
        self._files = [file for folder in self._folders() for file in self._files_of(folder)]
        if self._read_notes is not None and not takes_unnumbered:
            self._leave_unnumbered()

    def _leave_unnumbered(self) -> None:
        """A letter that its server has not shown yet will get a unique-id there, which we could only guess."""
        known = [file for file in self._files if file.noted is not None or file.folder != INBOX]
        if left := len(self._files) - len(known):
            what = (
                f"{left} letters have no unique-id yet, because their server has not shown them: log in there once and"
                " run this again; --unnumbered takes them as they are"
            )
            self._complaints.append(Complaint(str(self._tree.root), what))
        self._files = known

    @property
    def total(self) -> int:
        return len(self._files)

    def letters(self) -> Iterator[Found | Complaint]:
        yield from self._complaints
        met: set[str] = set()
        for file in self._files:
            name = file.path[-1]
            source_id = f"{file.folder}/{base(name)}" if file.folder != INBOX else base(name)
            where = str(self._tree.root.joinpath(*file.path))
            if source_id in met:
                yield Complaint(where, "another file here has this name but for its flags", loses=True)
                continue
            met.add(source_id)
            unique_id = file.noted.unique_id if file.noted else None
            yield Found(where, source_id, unique_id, partial(self._open, file), flags(name), file.folder)

    def _open(self, file: _File) -> Opened:
        facts, octets = self._tree.open(*file.path)
        told = _WIRE_OCTETS.search(file.path[-1])
        if told and int(told[1]) == facts.st_size:
            return Opened(facts.st_mtime, with_final_line_end(octets))
        return Opened(facts.st_mtime, canonical(octets))

    def _folders(self) -> list[tuple[str, ...]]:
        """The path of each folder below the root, the inbox first."""
        names = self._names()
        if not {"cur", "new"} <= set(names):
            raise UsageError(f"{self._tree.root}: is no Maildir; it has no folders cur and new", os.EX_DATAERR)
        return [(), *((name,) for name in sorted(names) if name.startswith(".") and "cur" in self._names(name))]

    def _names(self, *path: str) -> list[str]:
        names, complaint = self._tree.names_or_complaint(*path)
        if complaint is not None:
            self._complaints.append(complaint)
        return names

    def _files_of(self, path: tuple[str, ...]) -> Iterator[_File]:
        """A folder's letters: those that its server had shown in that order, then the others by their time."""
        folder = folder_name(path[0]) if path else INBOX
        noted = self._notes(path)
        files = []
        for place in ("cur", "new"):
            for name in self._names(*path, place):
                if not name.startswith("."):
                    files.append(_File(folder, (*path, place, name), noted.get(base(name))))
        return iter(sorted(files, key=_order))

    def _notes(self, path: tuple[str, ...]) -> dict[str, Noted]:
        if self._read_notes is None:
            return {}
        where = str(self._tree.root.joinpath(*path, self._notes_name))
        try:
            _, octets = self._tree.open(*path, self._notes_name)
            text = b"".join(octets).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            if not path:  # a folder that nobody looked into has none
                raise UsageError(
                    f"{where}: there is no such file, so nobody knows the unique-ids of these letters", os.EX_NOINPUT
                )
            return {}
        except (OSError, Unfit) as error:
            raise UsageError(
                f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}", os.EX_NOINPUT
            ) from error
        notes = self._read_notes(text, where)
        self._complaints += notes.complaints
        return notes.letters


def _order(file: _File) -> tuple[int, int, int, str]:
    name = file.path[-1]
    time = _TIME.match(name)
    place = file.noted.place if file.noted else (_AFTER_ALL, 0)
    return (*place, int(time[1]) if time else 0, name)


def flags(name: str) -> Flag:
    """The flags behind `:2,` of a file's name."""
    found = NO_FLAGS
    for letter in name.rpartition(":2,")[2] if ":2," in name else "":
        found |= FLAGS.get(letter, NO_FLAGS)
    return found


def folder_name(name: str) -> str:
    """`.Archiv.2024&-` as people write it: `Archiv/2024&`. What cannot be decoded stays as it is."""
    try:
        return _UTF7.sub(_decoded, name.removeprefix(".").replace(".", "/"))
    except (ValueError, UnicodeDecodeError):
        return name.removeprefix(".").replace(".", "/")


def _decoded(found: re.Match[str]) -> str:
    if not found[1]:
        return "&"
    text = found[1].replace(",", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("utf-16-be")


def folder_file_name(folder: str) -> str:
    """The other direction of `folder_name`."""

    def encoded(found: re.Match[str]) -> str:
        if found[0] == "&":
            return "&-"
        text = base64.b64encode(found[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
        return f"&{text}-"

    return "." + re.sub(r"&|[^ -~]+|\.+", encoded, folder).replace("/", ".")
