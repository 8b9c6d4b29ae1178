"""A chain of commits (`chain`) is followed: each link from the one before it, and the last one against the letters
that are there, in one moment of the file.

Whether a file goes on from a commit that somebody noted elsewhere is told too: an older file that was put back
does not, nor does one whose chain was reckoned anew.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

import apsw

from postoffice.database.sqlite import Connection
from postoffice.store.embedded.chain import COMMITS, NO_LINK, SHOWN_DIGITS, Commit, everything, has_chain, link_of
from postoffice.store.embedded.rules import REBUILD
from postoffice.store.model import Damage

_NOTED: Final = re.compile(rf"([0-9]{{1,18}})-([0-9a-fA-F]{{{SHOWN_DIGITS},64}})")
_MOST_BEFORE: Final = 4
_HISTORY: Final = "what was done to the letters was altered past our programs; no letter is harmed by that"
_LETTERS: Final = "past our programs a letter came, went, or was altered in more than its flags"
_LOOK_FOR: Final = "look for the file that does: in a pack, in a backup, on another machine"


@dataclass(frozen=True, slots=True)
class Noted:
    """A commit that somebody noted: its number, and how its link begins, in hexadecimal digits."""

    number: int
    digits: str

    @classmethod
    def read(cls, text: str) -> Noted | None:
        """What a person or a program typed; None if it is none."""
        found = _NOTED.fullmatch(text.strip())
        return cls(int(found[1]), found[2].lower()) if found else None

    def __str__(self) -> str:
        return f"{self.number}-{self.digits}"


def chain_findings(
    connection: Connection, where: str, noted: Noted | None = None
) -> Generator[Damage, None, Commit | None]:
    """What is wrong with the chain, in one moment of the file; gives its last commit, None if there is none.

    With a `noted` commit, also whether the file goes on from that. What cannot be read is told by whoever looks at the
    pages.
    """
    last: Commit | None = None
    try:
        with connection:
            if has_chain(connection):
                last = yield from _followed(connection, where)
                if last is not None:
                    yield from _other_letters(connection, f"{where}, the chain of commits", last)
            if noted is not None:
                yield from _not_after(connection, where, noted, last)
    except apsw.Error:
        return last
    return last


def _followed(connection: Connection, where: str) -> Generator[Damage, None, Commit | None]:
    """Each link from the one before it; gives the last commit."""
    number, last = -1, None
    before: tuple[bytes, ...] = (NO_LINK,)
    for row in connection.execute(COMMITS):
        last, missing = Commit(*row), range(number + 1, row[0])
        if missing:
            many = len(missing) > 1
            name = f"commits {missing[0]} to {missing[-1]}" if many else f"commit {missing[0]}"
            yield Damage(f"{where}, {name}", "they are not there" if many else "it is not there", _HISTORY, REBUILD)
            before = ()
        links = [link_of(one, *last[:3]) for one in before]
        is_right = last.link in links or not before
        if not is_right:
            what = "it does not follow from the one before it"
            yield Damage(f"{where}, commit {last.number}", what, _HISTORY, REBUILD)
        before = (last.link,) if is_right else (last.link, *links)[:_MOST_BEFORE]
        number = max(last.number, -1)
    if last is None:
        yield Damage(f"{where}, the chain of commits", "it is empty", _HISTORY, REBUILD)
    return last


def _other_letters(connection: Connection, where: str, last: Commit) -> Iterator[Damage]:
    letters, total = everything(connection)
    if letters != last.letters:
        what = f"there are {letters} letters, and were {last.letters} after the last commit, {last.number}"
    elif total != last.sum:
        what = f"the letters are not those that were there after the last commit, {last.number}"
    else:
        return
    yield Damage(where, what, _LETTERS, REBUILD)


def _not_after(connection: Connection, where: str, noted: Noted, last: Commit | None) -> Iterator[Damage]:
    link = b""
    if last is not None:
        link = connection.execute("SELECT link FROM chain WHERE number = ?", (noted.number,)).get
    if isinstance(link, bytes) and link and link.hex().startswith(noted.digits):
        return
    if last is None:
        what, means = "it has no chain of commits", "it is another file than the one that was noted"
    elif noted.number > last.number:
        what, means = f"it ends at commit {last}", "an older file, or another one, was put in its place"
    else:
        what = f"its commit {noted.number} is another one"
        means = "another file was put in its place, or what was written by then was changed"
    yield Damage(where, f"it does not go on from commit {noted}: {what}", means, _LOOK_FOR)
