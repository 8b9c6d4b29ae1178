"""Files that hold a letter each, wherever they lie: in folders on a disk (`TreeFiles`), in a zip (`zipped`).

A list of ours among them (`catalogue`) tells each letter's folder, date, flags and unique-id, and that its octets are
its own. Without it the folder in which a file lies is the letter's folder, its date is that of its topmost Received
field, of Date or of the file, and how its first line ends tells how all of them do: with CRLF they stay as they are,
with LF alone each gets its CR.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Final, NamedTuple, Protocol

from postoffice.errors import UsageError
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.printable import safe
from postoffice.moving import catalogue, dates
from postoffice.moving.catalogue import Catalogue, Listed
from postoffice.moving.letters import Complaint, Found, Opened, Unfit, canonical, with_final_line_end
from postoffice.moving.tree import Tree
from postoffice.store.model import INBOX, NO_FLAGS

NESTINGS: Final = 40
_FOLDER_CHARACTERS: Final = 500
_ENDING: Final = re.compile(r"\.eml\Z", re.IGNORECASE)


class Facts(NamedTuple):
    """Of a file: its octets, and when it was last changed, in seconds since the epoch."""

    octets: int
    changed: float


class Files(Protocol):
    """Where files lie. Paths have `/`; `open` may raise OSError or `Unfit`."""

    @property
    def where(self) -> str:
        """What all of it is called."""
        ...

    def paths(self, complain: Callable[[Complaint], None]) -> Iterator[str]:
        """All files, in no order; what cannot be looked into is complained about."""
        ...

    def open(self, path: str) -> tuple[Facts, Iterator[bytes]]: ...


class EmlFiles:
    """An `OldStore`. Its letters come in the order of the list, then by their paths."""

    def __init__(self, files: Files, source: str = "eml") -> None:
        self.source = source
        self._files = files
        self._complaints: list[Complaint] = []
        paths = list(files.paths(self._complaints.append))
        self._catalogue, around = self._read_catalogue(paths)
        if self.form == "html":
            paths = [path for path in paths if path.startswith(f"{around}{catalogue.ORIGINALS}/")]
        self._paths = sorted(path for path in paths if is_letter(path))
        self._listed: dict[str, Listed] = {}
        if self._catalogue is not None:
            self._listed = {around + file: one for file, one in self._catalogue.letters.items()}
            self._complaints += self._catalogue.complaints
        if others := len(paths) - len(self._paths) - (self.form not in (None, "html")):
            what = f"{others} files in it are no .eml, and passed over"
            self._complaints.append(Complaint(files.where, what))

    @property
    def form(self) -> str | None:
        """What wrote the list: `eml`, `zip`, `html`; None if there is none."""
        return self._catalogue.form if self._catalogue is not None else None

    @property
    def folders(self) -> Sequence[str]:
        """As the list has them."""
        return self._catalogue.folders if self._catalogue is not None else ()

    @property
    def total(self) -> int:
        return len(self._paths)

    def letters(self) -> Iterator[Found | Complaint]:
        yield from self._complaints
        there = set(self._paths)
        for path in self._listed:
            if path not in there:
                what = "stands in the list and is not there"
                yield Complaint(f"{self._files.where}, {safe(path)}", what, loses=True)
        in_list = (path for path in self._listed if path in there)
        for path in chain(in_list, (path for path in self._paths if path not in self._listed)):
            yield from self._letter(path, self._listed.get(path))

    def _letter(self, path: str, listed: Listed | None) -> Iterator[Found | Complaint]:
        where = f"{self._files.where}, {safe(path)}"
        changed: list[str] = []
        opening = partial(self._open, path, listed, changed.append)
        if listed is None:
            yield Found(where, None, None, opening, NO_FLAGS, folder_of(path))
        else:
            yield Found(where, None, listed.unique_id, opening, listed.flags, listed.folder)
        for what in changed:
            yield Complaint(where, what)

    def _open(self, path: str, listed: Listed | None, tell: Callable[[str], None]) -> Opened:
        facts, portions = self._files.open(path)
        first = next(portions, b"")
        portions = chain((first,), portions)
        if listed is not None and facts.octets == listed.octets:
            return Opened(listed.received, _watched(with_final_line_end(portions), listed.sha256, tell))
        if listed is not None:
            tell("is not what was written there; it is taken as it is now")
        date = listed.received if listed is not None else dates.date_of(first[:HEAD_OCTETS], facts.changed)
        return Opened(date, with_final_line_end(portions) if _has_crlf(first) else canonical(portions))

    def _read_catalogue(self, paths: Sequence[str]) -> tuple[Catalogue | None, str]:
        """That which lies outermost, and the path of the folder around it with its last `/`."""
        lists = [path for path in paths if path.rpartition("/")[2] == catalogue.NAME]
        for path in sorted(lists, key=lambda path: (path.count("/"), path)):
            try:
                _, portions = self._files.open(path)
                found = catalogue.read(portions, f"{self._files.where}, {safe(path)}")
            except (OSError, Unfit) as error:
                self._complaints.append(Complaint(f"{self._files.where}, {safe(path)}", str(error)))
                continue
            if found is not None:
                return found, path.removesuffix(catalogue.NAME)
        return None, ""


class TreeFiles:
    """Files in folders on a disk. What begins with a dot is not looked at, and no link is followed."""

    def __init__(self, tree: Tree, only: str | None = None) -> None:
        self._tree = tree
        self._only = only

    @property
    def where(self) -> str:
        return str(self._tree.root)

    def paths(self, complain: Callable[[Complaint], None]) -> Iterator[str]:
        """With `only`, that file."""
        return iter((self._only,)) if self._only is not None else self._below((), complain)

    def _below(self, folder: tuple[str, ...], complain: Callable[[Complaint], None]) -> Iterator[str]:
        try:
            names = self._tree.names(*folder)
        except NotADirectoryError:
            yield "/".join(folder)
            return
        except OSError as error:
            complain(Complaint(str(self._tree.root.joinpath(*folder)), f"cannot be read: {error.strerror}", loses=True))
            return
        for name in sorted(names):
            path = (*folder, name)
            if name.startswith("."):
                continue
            if _ENDING.search(name):
                yield "/".join(path)
            elif len(path) > NESTINGS:
                complain(Complaint(str(self._tree.root.joinpath(*path)), "lies too deep", loses=True))
            else:
                yield from self._below(path, complain)

    def open(self, path: str) -> tuple[Facts, Iterator[bytes]]:
        facts, portions = self._tree.open(*path.split("/"))
        return Facts(facts.st_size, facts.st_mtime), portions


def is_letter(path: str) -> bool:
    """Whether a file is a letter by its name. macOS puts others beside it whose names begin with `._`."""
    name = path.rpartition("/")[2]
    return bool(_ENDING.search(name)) and not name.startswith(".")


def folder_of(path: str) -> str:
    """The folder of a mailbox for a file that lies at this path and is not in a list."""
    names = [safe(name).strip() for name in path.split("/")[:-1]]
    names = [name for name in names if name not in ("", ".", "..")]
    if names and names[0].upper() == INBOX:
        names[0] = INBOX
    return "/".join(names)[:_FOLDER_CHARACTERS] or INBOX


def must_be_archive(store: EmlFiles, path: object) -> None:
    """A `UsageError` (65) unless it is an HTML archive of ours."""
    if store.form != "html":
        raise UsageError(f"{path}: is no HTML archive of postoffice; import eml takes any folder of .eml files", 65)


def _has_crlf(first: bytes) -> bool:
    end = first.find(b"\n")
    return end < 0 or first[:end].endswith(b"\r")


def _watched(portions: Iterator[bytes], digest: bytes, tell: Callable[[str], None]) -> Iterator[bytes]:
    found = sha256()
    for portion in portions:
        found.update(portion)
        yield portion
    if found.digest() != digest:
        tell("is not what was written there; it is taken as it is now")
