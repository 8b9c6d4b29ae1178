"""Many short texts in one, as SQLite gives them: put together, with a space between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

LONG_CHARACTERS = 100_000
"""From here on it pays to leave them together."""

WORDS_AT_ONCE = 1000


def words(text: str) -> Sequence[str]:
    """The words of a text that has one at least. Those of a long one stay in it, if all are of one length."""
    if len(text) >= LONG_CHARACTERS:
        length = text.find(" ") % len(text)
        count, rest = divmod(len(text) + 1, length + 1)
        if not rest and text[length :: length + 1] == " " * (count - 1) and text.count(" ") == count - 1:
            return EvenWords(text, length)
    return text.split(" ")


class EvenWords(Sequence[str]):
    """Words of one length in one text: a hundred thousand unique-ids are 3 MB, and would be 9 as strings."""

    __slots__ = ("_length", "_text")

    def __init__(self, text: str, length: int) -> None:
        self._text = text
        self._length = length

    def __len__(self) -> int:
        return (len(self._text) + 1) // (self._length + 1)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...

    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        places = range(len(self))[at]
        if isinstance(places, int):
            begin = places * (self._length + 1)
            return self._text[begin : begin + self._length]
        if places.step != 1 or not places:
            return [self[place] for place in places]
        step = self._length + 1
        return self._text[places.start * step : places.stop * step - 1].split(" ")

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), WORDS_AT_ONCE):
            yield from self[at : at + WORDS_AT_ONCE]
