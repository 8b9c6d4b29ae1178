"""What the search of an archive looks into: small files of JavaScript, of which a question loads few.

    search/about.js       how many letters, and at which word, at which letter each of the other files begins
    search/words-0.js     words and the letters that hold them, in the order of words
    search/rows-0.js      what a list shows of 500 letters
    search/texts-0.js     what letters say, by which phrases are looked at closely, and the lines that are shown

A browser reads no file beside a page that lies on a disk, but it runs scripts there; so each file calls `lend` with
what it holds. Words are folded as the search at home folds them; a word of a field stands behind its letter (`f:`,
from). Two characters beside each other of scripts without blanks are a word, too.

    numbers of letters: the differences, each in digits of five bits from the lowest on, the last one marked
"""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from postoffice.home.search.extraction import Extract
from postoffice.home.search.folding import folded, stands_alone, words

FILE_OCTETS: Final = 128 * 1024
ROWS: Final = 500
TEXT_CHARACTERS: Final = 16 * 1024
"""What of a letter a phrase is looked for in; words are looked for in all of it."""

WORD_CHARACTERS: Final = 40
LETTER_WORDS: Final = 20_000
_CHARACTERS: Final = 0x1_F000
"""Behind it no character has a case, and none is a mark."""

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST: Final = 32

Row = tuple[str, str, str, int, int, int]
"""Date, sender, subject, folder, how many attachments, octets."""


def lent(name: str, value: object) -> bytes:
    """A file that gives `value` to whoever asked for it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"lend({json.dumps(name)},{text});\n".encode("utf-8", "replace")


class Words:
    """Which letters hold which words. Numbers of letters ascend."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._last = array("L")
        self._numbers: list[bytearray] = []

    def add(self, number: int, extract: Extract) -> None:
        for word in terms(extract):
            place = self._places.get(word)
            if place is None:
                place = self._places[word] = len(self._numbers)
                self._last.append(0)
                self._numbers.append(bytearray())
            self._numbers[place] += _digits(number - self._last[place])
            self._last[place] = number

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The first word of each file, and the file. They are in the order in which JavaScript compares strings."""
        lines: list[str] = []
        octets = index = 0
        first = ""
        for word in sorted(self._places, key=lambda word: word.encode("utf-16-be")):
            if octets > FILE_OCTETS:
                yield first, lent(f"words-{index}", "\n".join(lines))
                lines, octets, index = [], 0, index + 1
            first = first if lines else word
            lines.append(f"{word} {self._numbers[self._places[word]].decode()}")
            octets += len(lines[-1])
        if lines:
            yield first, lent(f"words-{index}", "\n".join(lines))


def terms(extract: Extract) -> set[str]:
    """All that a letter is found by."""
    found: set[str] = set()
    columns = (
        ("f", extract.sender),
        ("t", extract.recipients),
        ("c", extract.copies),
        ("s", extract.subject),
        ("h", "\n".join(extract.names)),
        ("", extract.text),
    )
    for column, text in columns:
        here = set(_terms(text))
        found |= here
        if column:
            found |= {f"{column}:{word}" for word in here}
    if extract.names:
        found.add("h:")
    return found


def _terms(text: str) -> Iterable[str]:
    there = [word for word in words(folded(text)) if len(word) <= WORD_CHARACTERS]
    yield from list(dict.fromkeys(there))[:LETTER_WORDS]
    pairs = {one + other for one, other in pairwise(there) if len(one) == len(other) == 1 and _are_alone(one, other)}
    yield from list(pairs)[:LETTER_WORDS]


def _are_alone(one: str, other: str) -> bool:
    return stands_alone(one) and stands_alone(other)


def _digits(number: int) -> bytes:
    found = ""
    while number >= _LAST:
        found += _DIGITS[number % _LAST]
        number //= _LAST
    return (found + _DIGITS[number + _LAST]).encode()


@dataclass(slots=True)
class _Growing:
    """A file that is not full yet."""

    entries: list[object]
    octets: int = 0


class Shown:
    """What the search shows: rows and texts, in the order of letters. Each verb gives the files that are full."""

    def __init__(self) -> None:
        self.texts_from: list[int] = []
        self._rows = _Growing([])
        self._row_files = 0
        self._texts = _Growing([])

    def add(self, number: int, row: Row, extract: Extract) -> Iterator[tuple[str, bytes]]:
        self._rows.entries.append(row)
        if len(self._rows.entries) == ROWS:
            yield self._end_rows()
        if not self._texts.entries:
            self.texts_from.append(number)
        text = extract.text[:TEXT_CHARACTERS]
        others = (extract.sender, extract.recipients, extract.copies, extract.subject, "\n".join(extract.names))
        entry = (*others, text, int(len(text) < len(extract.text)))
        self._texts.entries.append(entry)
        self._texts.octets += len(text.encode("utf-8", "replace")) + sum(map(len, others))
        if self._texts.octets > FILE_OCTETS:
            yield self._end_texts()

    def end(self) -> Iterator[tuple[str, bytes]]:
        if self._rows.entries:
            yield self._end_rows()
        if self._texts.entries:
            yield self._end_texts()

    def _end_rows(self) -> tuple[str, bytes]:
        name = f"rows-{self._row_files}"
        self._row_files += 1
        rows, self._rows = self._rows, _Growing([])
        return name, lent(name, rows.entries)

    def _end_texts(self) -> tuple[str, bytes]:
        name = f"texts-{len(self.texts_from) - 1}"
        texts, self._texts = self._texts, _Growing([])
        return name, lent(name, texts.entries)


def folding() -> dict[str, object]:
    """What a browser does not know of how words are folded here: see `home.search.folding`, which this must be as."""
    casefolds = {
        chr(code): chr(code).casefold()
        for code in range(0x80, _CHARACTERS)
        if chr(code).casefold() != chr(code).lower()
    }
    return {
        "casefolds": casefolds,
        "marks": _ranges(code for code in range(_CHARACTERS) if unicodedata.combining(chr(code))),
    }


def _ranges(codes: Iterable[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found
