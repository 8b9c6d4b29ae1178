"""A question asked in a thread of its own, with the index brought up to date before; it can be stopped at any time."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.errors import PostofficeError, UsageError
from postoffice.tui.cells import tame
from postoffice.tui.listings import Kind, Listing
from postoffice.tui.look import DIM, FOUND, Piece

if TYPE_CHECKING:
    from postoffice.database.key import Key
    from postoffice.home.search.face import Result

SHOWN: Final = 100
"""How many of the letters that were found are shown, the best ones: who needs more asks more closely."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found. `warning` says why the index may lack letters, empty if it does not."""

    asked: str
    listing: Listing
    letters: int
    is_cut: bool
    warning: str = ""


class Stopped(PostofficeError):
    """Nobody waits for the answer any more."""


class Finding:
    """One question to one file."""

    def __init__(self, file: Path, key: Key | None, asked: str, told: Callable[[int, int], None]) -> None:
        """`told` hears, from the thread, of how many letters were put into the index, of how many."""
        self._file = file
        self._key = key
        self._asked = asked
        self._told = told
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """The thread ends after the letters that it is busy with; what it put into the index stays there."""
        self._is_stopped.set()

    async def answer(self) -> Answer:
        """UsageError if the question means nothing, Stopped after `stop`."""
        from postoffice.home.search.query import read_question

        read_question(self._asked)
        return await asyncio.to_thread(lambda: asyncio.run(self._answered()))

    async def _answered(self) -> Answer:
        from postoffice.home.search.face import Search

        search, warning = Search(self._file, self._key), ""
        try:
            try:
                await search.catch_up(self._hear)
            except UsageError as error:
                warning = str(error)
            results = await search.find(self._asked, SHOWN)
        finally:
            await search.close()
        keys = array("q", (one.hit.key for one in results.shown))
        numbers = [one.hit.number for one in results.shown]
        snippets = {one.hit.key: _marked(one) for one in results.shown}
        folders = {one.hit.key: one.hit.folder for one in results.shown}
        listing = Listing(Kind.FOUND, keys, numbers, snippets=snippets, folders=folders)
        return Answer(self._asked, listing, results.letters, results.is_cut, warning)

    def _hear(self, done: int, letters: int) -> None:
        if self._is_stopped.is_set():
            raise Stopped("the search was stopped")
        self._told(done, letters)


def _marked(one: Result) -> list[Piece]:
    """The line in which it was found; what was looked for stands out."""
    pieces: list[Piece] = []
    position = 0
    for first, last in one.snippet.marked:
        pieces += [(tame(one.snippet.text[position:first]), DIM), (tame(one.snippet.text[first:last]), FOUND)]
        position = last
    return [*pieces, (tame(one.snippet.text[position:]), DIM)]
