"""The letters that Thunderbird keeps: a profile, its Mail folder, or what it has of one account.

    Mail/pop.example.org/Inbox             an mbox, and Inbox.msf beside it, which is an index that nobody needs
    Mail/pop.example.org/Inbox.sbd/2024    a folder inside of it
    Mail/Local Folders/Archives/cur/…      the same kept as one file for each letter (maildir store)
    ImapMail/imap.example.org/INBOX        what it has of an IMAP account offline

What became of a letter stands in fields above it, `X-Mozilla-Status` and others, which no sender wrote: they are taken
off. Its From_ lines tell when it was pulled, in this machine's time, so the date of the header counts. A letter
that was deleted and not cut out of its file yet (nobody compacted the folder) is passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from postoffice.errors import UsageError
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.printable import safe
from postoffice.moving import dates, fromlines
from postoffice.moving.letters import Complaint, Found, Opened, Unfit, canonical
from postoffice.moving.mbox import Mbox
from postoffice.moving.tree import Tree
from postoffice.store.model import INBOX

NESTINGS: Final = 40
_ROOTS: Final = ("Mail", "ImapMail")
_INSIDE: Final = ".sbd"
_PASSED_OVER: Final = frozenset(("smart mailboxes",))
"""What is made of other folders' letters."""

_FEEDS: Final = frozenset(("feeds.json", "feeds.rdf"))
_NOTES: Final = (*fromlines.SERVERS_FIELDS, b"X-UIDL", *fromlines.MOZILLAS_FIELDS)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder of Thunderbird's: where it lies below the root, and what it is called from its account on."""

    path: tuple[str, ...]
    account: str
    names: tuple[str, ...]
    is_mbox: bool


class Thunderbird:
    """An `OldStore`. With more than one account that has letters, each is a folder around its own."""

    source = "thunderbird"

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._complaints: list[Complaint] = []
        self._places = [place for account in self._accounts() for place in self._of_account(account)]
        if not self._places:
            raise UsageError(f"{tree.root}: there are no letters of Thunderbird here", os.EX_DATAERR)
        self._has_many = len({place.account for place in self._places}) > 1
        self.total = sum(map(self._count, self._places))

    def letters(self) -> Iterator[Found | Complaint]:
        yield from self._complaints
        for place in self._places:
            if place.is_mbox:
                with closing(self._mbox(place)) as box:
                    for found in box.letters():
                        yield replace(found, source_id=None) if isinstance(found, Found) else found
            else:
                for name in self._files(place):
                    yield from self._letter((*place.path, "cur", name), self._folder(place))

    def _folder(self, place: _Place) -> str:
        names = [safe(name) for name in place.names]
        if names[0].upper() == INBOX:
            names[0] = INBOX
        return "/".join((safe(place.account), *names) if self._has_many else names)

    # --- where letters lie ------------------------------------------------------------------------------------------

    def _accounts(self) -> Iterator[tuple[str, ...]]:
        """The folder of each account, below the root."""
        names = self._names()
        roots: list[tuple[str, ...]] = [(name,) for name in _ROOTS if name in names]
        if not roots and any(map(self._is_something, ((name,) for name in names))):
            yield ()
            return
        for root in roots or [()]:
            for name in self._names(*root):
                if name not in _PASSED_OVER and not name.startswith("."):
                    yield (*root, name)

    def _is_something(self, path: tuple[str, ...]) -> bool:
        """Whether what lies there is as in the folder of an account, and not such a folder itself."""
        return path[-1].endswith(_INSIDE) or self._is_mbox(path) or "cur" in self._names(*path)

    def _of_account(self, path: tuple[str, ...]) -> Iterator[_Place]:
        names = self._names(*path)
        account = path[-1] if path else self._tree.root.name
        if _FEEDS & set(names):
            where = str(self._tree.root.joinpath(*path))
            self._complaints.append(Complaint(where, "holds news feeds and no letters, and is passed over"))
        else:
            yield from self._below(path, account, ())

    def _below(self, path: tuple[str, ...], account: str, above: tuple[str, ...]) -> Iterator[_Place]:
        """The inbox first, then by their names."""
        if len(above) > NESTINGS:
            where = str(self._tree.root.joinpath(*path))
            self._complaints.append(Complaint(where, "lies too deep, and is passed over", loses=True))
            return
        names = self._names(*path)
        for name in sorted(names, key=lambda name: (name.upper() != INBOX, name)):
            inner = (*path, name)
            if name.startswith(".") or name.endswith(".msf"):
                continue
            if name.endswith(_INSIDE):
                yield from self._below(inner, account, (*above, name.removesuffix(_INSIDE)))
            elif self._is_mbox(inner):
                yield _Place(inner, account, (*above, name), is_mbox=True)
            elif "cur" in (inside := self._names(*inner)) and "tmp" in inside and self._names(*inner, "cur"):
                yield _Place(inner, account, (*above, name), is_mbox=False)

    def _is_mbox(self, path: tuple[str, ...]) -> bool:
        """Whether it is a file that begins as one."""
        try:
            descriptor = self._tree.descriptor(*path)
        except OSError:
            return False
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return is_file and os.pread(descriptor, len(fromlines.FROM), 0) == fromlines.FROM
        finally:
            os.close(descriptor)

    def _names(self, *path: str) -> list[str]:
        names, complaint = self._tree.names_or_complaint(*path)
        if complaint is not None and complaint not in self._complaints:
            self._complaints.append(complaint)
        return names

    # --- letters ----------------------------------------------------------------------------------------------------

    def _count(self, place: _Place) -> int:
        if not place.is_mbox:
            return len(self._files(place))
        with closing(self._mbox(place)) as box:
            return box.total

    def _mbox(self, place: _Place) -> Mbox:
        path = self._tree.root.joinpath(*place.path)
        file = self._tree.descriptor(*place.path)
        return Mbox(path, folder=self._folder(place), file=file, is_dated_by_header=True)

    def _files(self, place: _Place) -> list[str]:
        return sorted(name for name in self._names(*place.path, "cur") if not name.startswith("."))

    def _letter(self, path: tuple[str, ...], folder: str) -> Iterator[Found | Complaint]:
        """One that lies in a file of its own, with the same fields above it."""
        where = str(self._tree.root.joinpath(*path))
        try:
            facts, portions = self._tree.open(*path)
            first = next(portions, b"")
        except (OSError, Unfit) as error:
            why = getattr(error, "strerror", None) or str(error)
            yield Complaint(where, f"cannot be read: {why}", loses=True)
            return
        if first.startswith(fromlines.FROM):
            first = first.partition(b"\n")[2]
        head = header.header_of(first[:HEAD_OCTETS])
        if fromlines.is_deleted(head):
            yield Complaint(where, "is deleted and waits to be cut out; it is passed over")
            return
        if fromlines.is_partial(head):
            yield Complaint(where, "was not pulled as a whole by the program that wrote it; it comes as it is")
        date = dates.date_of(head, facts.st_mtime)
        octets = canonical(chain((fromlines.without(_NOTES, first),), portions))
        unique_id = header.first(head, b"X-UIDL")
        named = unique_id.decode("ascii", "backslashreplace") if unique_id else None
        yield Found(where, None, named, lambda: Opened(date, octets), fromlines.flags_of(head), folder)
