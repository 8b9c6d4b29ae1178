"""Which letters stand in the list, in which order: those of a folder, its threads, what was found.

A listing is a few columns of numbers, whatever the letters are: a hundred thousand of them are 1.6 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from postoffice.store.model import Snapshot
from postoffice.tui.look import Piece


class Kind(Enum):
    FOLDER = "folder"
    THREADS = "threads"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Listing:
    """`keys` from the top of the screen down, and the `numbers` that `ls` gives them. `depths` says how far a letter
    stands below the first one of its thread; `snippets` have the line in which something was found, by key, and
    `folders` where that letter lies."""

    kind: Kind
    keys: array[int]
    numbers: Sequence[int]
    depths: Sequence[int] = ()
    snippets: Mapping[int, list[Piece]] = field(default_factory=dict)
    folders: Mapping[int, str] = field(default_factory=dict)

    def position(self, key: int) -> int | None:
        try:
            return self.keys.index(key)
        except ValueError:
            return None

    def without(self, key: int) -> Listing:
        """The same, but for one letter."""
        position = self.position(key)
        if position is None:
            return self
        numbers, depths = list(self.numbers), list(self.depths)
        del numbers[position], depths[position : position + 1]
        return replace(self, keys=self.keys[:position] + self.keys[position + 1 :], numbers=numbers, depths=depths)

    def brought_up(self, snapshot: Snapshot) -> Listing:
        """The same, in the same order, without letters that are gone, with the numbers that they have now."""
        now = {key: number for number, key in enumerate(snapshot.keys, 1)}
        there = [position for position, key in enumerate(self.keys) if key in now]
        keys = array("q", (self.keys[position] for position in there))
        depths = array("B", (self.depths[position] for position in there)) if self.depths else ()
        return replace(self, keys=keys, numbers=array("q", (now[key] for key in keys)), depths=depths)


def of_folder(snapshot: Snapshot) -> Listing:
    """The latest letter first."""
    return Listing(Kind.FOLDER, snapshot.keys[::-1], range(len(snapshot.keys), 0, -1))


EMPTY = Listing(Kind.FOLDER, array("q"), ())
