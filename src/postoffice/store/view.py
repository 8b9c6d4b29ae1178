"""Who sees which letters under which numbers.

A POP3 session sees the maildrop as it was at login (RFC 1939 §5): letters are numbered from 1, a number never moves,
and DELE only marks; what comes meanwhile is seen by the next session. `FrozenView` is that numbering, with nothing
of the protocol but its listings. (`LiveView`, the numbering of IMAP that moves with EXPUNGE, comes with IMAP.)

What is told of a whole snapshot is reckoned once and kept while the snapshot lives, because most sessions ask for
it and delete nothing before. Sizes are those of the letters as this reader gets them: with surrogates for letters
whose header is not ASCII, or without (RFC 6856 §2.1).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from weakref import WeakKeyDictionary

from postoffice.store.model import Snapshot


@dataclass(slots=True)
class _Ready:
    """What was reckoned of a snapshot so far, for one kind of readers."""

    octets: array[int]
    total_octets: int
    scan_listing: bytes | None = None
    unique_id_listing: bytes | None = None


_ready: WeakKeyDictionary[Snapshot, _Ready] = WeakKeyDictionary()
_ready_with_surrogates: WeakKeyDictionary[Snapshot, _Ready] = WeakKeyDictionary()
_NONE: Mapping[int, int] = {}
_SCAN = "%d %d\r\n"
_UNIQUE_ID = "%d %s\r\n"
LINES_AT_ONCE = 1000
"""How many lines of a listing are made together."""


class NoSuchLetter(LookupError):
    """The number names no letter, or one that is marked as deleted; `str()` is a sentence for the client."""


class FrozenView:
    """The letters of a snapshot by their numbers, and which of them are marked as deleted.

    Whatever takes a number and gives a fact raises `NoSuchLetter` (RFC 1939 §5: a deleted letter has no facts).
    """

    __slots__ = ("_deleted", "_deleted_octets", "_ready", "_surrogates", "snapshot")

    def __init__(self, snapshot: Snapshot, *, with_surrogates: bool = False) -> None:
        self.snapshot = snapshot
        self._deleted: set[int] = set()
        self._deleted_octets = 0
        self._surrogates = snapshot.surrogates if with_surrogates else _NONE
        known = _ready_with_surrogates if self._surrogates else _ready
        ready = known.get(snapshot)
        if ready is None:
            octets = _with_surrogates(snapshot) if self._surrogates else snapshot.octets
            known[snapshot] = ready = _Ready(octets, sum(octets))
        self._ready = ready

    def __contains__(self, number: int) -> bool:
        """Whether a letter has this number and is not marked as deleted."""
        return 1 <= number <= len(self.snapshot.keys) and number not in self._deleted

    def __iter__(self) -> Iterator[int]:
        """The numbers not marked as deleted, ascending."""
        numbers = self._numbers
        return (number for number in numbers if number not in self._deleted) if self._deleted else iter(numbers)

    def together(self, number: int, following: Sequence[int], octets: int, letters: int) -> Sequence[int]:
        """A letter and those of `following` that are here too, until there are so many or they have more octets."""
        sizes = self._ready.octets
        if run := self._run([number, *following[: letters - 1]]):
            fitting = bisect_right(list(accumulate(sizes[run])), octets)
            return range(number, number + max(fitting, 1))
        numbers = {number: None}  # in their order
        room = octets - sizes[self._index(number)]
        for each in following:
            if each not in self or each in numbers or len(numbers) >= letters:
                break
            room -= sizes[each - 1]
            if room < 0:
                break
            numbers[each] = None
        return list(numbers)

    @property
    def count(self) -> int:
        """How many letters are not marked as deleted."""
        return len(self.snapshot.keys) - len(self._deleted)

    @property
    def total_octets(self) -> int:
        """The sum of the octets of letters not marked as deleted (RFC 1939 §5, STAT)."""
        return self._ready.total_octets - self._deleted_octets

    def keys(self, numbers: Sequence[int]) -> Sequence[int]:
        """What the store calls these letters."""
        keys = self.snapshot.keys
        if run := self._run(numbers):
            return keys[run]
        return [keys[self._index(number)] for number in numbers]

    def sizes(self, numbers: Sequence[int]) -> Sequence[int]:
        """The octets of each."""
        if run := self._run(numbers):
            return self._ready.octets[run]
        return [self.octets(number) for number in numbers]

    def octets(self, number: int) -> int:
        return self._ready.octets[self._index(number)]

    @property
    def has_surrogates(self) -> bool:
        """Whether this reader may get surrogates at all."""
        return bool(self._surrogates)

    def is_surrogate(self, number: int) -> bool:
        """Whether this reader gets a surrogate of the letter, which has so many octets."""
        return bool(self._surrogates) and self.snapshot.keys[self._index(number)] in self._surrogates

    def unique_id(self, number: int) -> str:
        return self.snapshot.unique_ids[self._index(number)]

    def is_deleted(self, number: int) -> bool:
        """Whether the letter is marked as deleted; false for a number of no letter."""
        return number in self._deleted

    def delete(self, number: int) -> None:
        """Mark a letter as deleted (RFC 1939 §5, DELE). A second time is `NoSuchLetter`."""
        self._deleted_octets += self.octets(number)
        self._deleted.add(number)

    def undelete_all(self) -> None:
        """Forget all marks (RFC 1939 §5, RSET)."""
        self._deleted.clear()
        self._deleted_octets = 0

    def deleted_keys(self) -> list[int]:
        """The keys of the letters marked as deleted, in their order: what UPDATE removes (RFC 1939 §6)."""
        return [self.snapshot.keys[number - 1] for number in sorted(self._deleted)]

    def scan_listing(self) -> bytes:
        """All lines of LIST (RFC 1939 §5), without the final dot line."""
        if self._deleted:
            return _listing(_SCAN, *self._left(self._ready.octets))
        if self._ready.scan_listing is None:
            self._ready.scan_listing = _listing(_SCAN, self._numbers, self._ready.octets)
        return self._ready.scan_listing

    def unique_id_listing(self) -> bytes:
        """All lines of UIDL (RFC 1939 §7), without the final dot line."""
        if self._deleted:
            return _listing(_UNIQUE_ID, *self._left(self.snapshot.unique_ids))
        if self._ready.unique_id_listing is None:
            self._ready.unique_id_listing = _listing(_UNIQUE_ID, self._numbers, self.snapshot.unique_ids)
        return self._ready.unique_id_listing

    @property
    def _numbers(self) -> range:
        return range(1, len(self.snapshot.keys) + 1)

    def _left(self, column: Sequence[object]) -> tuple[list[int], list[object]]:
        """The letters that are not marked, and what a column says of them."""
        numbers = list(self)
        return numbers, [column[number - 1] for number in numbers]

    def _run(self, numbers: Sequence[int]) -> slice | None:
        """Where several are that follow each other, if nothing is marked: as most clients ask for letters."""
        if len(numbers) < 2 or self._deleted:
            return None
        first, end = numbers[0], numbers[0] + len(numbers)
        if numbers[-1] != end - 1 or not 1 <= first < end <= len(self.snapshot.keys) + 1:
            return None
        if type(numbers) is not range and list(numbers) != list(range(first, end)):
            return None
        return slice(first - 1, end - 1)

    def _index(self, number: int) -> int:
        if number in self:
            return number - 1
        if number in self._deleted:
            raise NoSuchLetter(f"message {number} already deleted")
        raise NoSuchLetter(f"no such message, only {len(self.snapshot.keys)} in maildrop")


def _with_surrogates(snapshot: Snapshot) -> array[int]:
    """The column of sizes with those of surrogates."""
    sizes, surrogates = snapshot.octets, snapshot.surrogates
    return array("q", [surrogates.get(key, octets) for key, octets in zip(snapshot.keys, sizes, strict=True)])


def _listing(line: str, numbers: Sequence[int], facts: Sequence[object]) -> bytes:
    """A line for each number and its fact. Many by one format, in half the time of a string for each, but not so many
    that they need memory that nobody has touched yet."""
    portions = []
    for at in range(0, len(numbers), LINES_AT_ONCE):
        some = numbers[at : at + LINES_AT_ONCE]
        words: list[object] = [None] * (2 * len(some))
        words[::2] = some
        words[1::2] = facts[at : at + LINES_AT_ONCE]
        portions.append(line * len(some) % tuple(words))
    return "".join(portions).encode("ascii")
