"""Searching a mailbox file: the question is read, the index is brought up to date, letters are found and shown.

A file has an index from its first search on; every pull into it then adds what came, after its own end, and a search
adds what is missing still. Whoever never searches pays nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postoffice.database.key import Key
from postoffice.errors import UsageError
from postoffice.home.search.places import placed
from postoffice.home.search.query import read_question
from postoffice.home.search.snippet import Snippet, snippet
from postoffice.message.printable import safe
from postoffice.store.embedded.index import Hit, Index

LIMIT: Final = 20

_SHOWN_OCTETS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """One letter that was found: what is printed of it, safe for a terminal."""

    hit: Hit
    sender: str
    subject: str
    names: tuple[str, ...]
    snippet: Snippet


@dataclass(frozen=True, slots=True)
class Results:
    """The best first. `letters` were found in all, or, if `is_cut`, at least so many."""

    shown: tuple[Result, ...]
    letters: int
    is_cut: bool


class Search:
    """In a mailbox file of today's version. Close it."""

    def __init__(self, file: Path, key: Key | None = None) -> None:
        self._file = file
        self._index = Index(file, key)

    async def catch_up(self, told: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """Bring the index up to date; `told` hears of how many letters were added, of how many, after each batch.

        Raises UsageError (77) where that must be and the file cannot be written.
        """
        from postoffice.home.search.extraction import document

        missing, done = await self._index.missing(), 0
        if missing and not os.access(self._file, os.W_OK):
            raise UsageError(f"{self._file}: its index cannot be written: you may not", os.EX_NOPERM)
        while missing and (added := await self._index.add(document)):
            done += added
            told(done, max(missing, done))

    async def rebuild(self, told: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """Make the index anew."""
        await self._index.forget()
        await self.catch_up(told)

    async def find(self, question: str, limit: int = LIMIT) -> Results:
        """In what is indexed. Raises UsageError for a question that means nothing, or a folder that is not there."""
        from postoffice.home.search.extraction import extract

        asked = read_question(question)
        found = await self._index.find(placed(asked.clauses, await self._index.folders()), limit)
        letters = await self._index.letters([hit.key for hit in found.hits], _SHOWN_OCTETS)
        shown = []
        for hit, letter in zip(found.hits, letters, strict=True):
            said = extract(letter)
            line = snippet(safe(said.text), asked.needles)
            shown.append(Result(hit, said.sender, said.subject, said.names, line))
        return Results(tuple(shown), found.letters, found.is_cut)

    async def close(self) -> None:
        await self._index.close()
