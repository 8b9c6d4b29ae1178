"""Where in a letter the words are: a line of its text, as written, with the places of what was looked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from postoffice.home.search.folding import folded, stands_alone, words
from postoffice.home.search.query import Needle

LOOK_CHARACTERS: Final = 100_000
SHOWN_CHARACTERS: Final = 160
BEFORE_CHARACTERS: Final = 40

_WORD: Final = re.compile(r"\w[\w\u0300-\u036f\u3099\u309a]*")
_BLANKS: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """`marked` are the places in `text`, from and to, in order."""

    text: str
    marked: tuple[tuple[int, int], ...] = ()


def snippet(text: str, needles: Sequence[Needle]) -> Snippet:
    """The line that has most of what was looked for; the beginning of the text if there is none of it."""
    text = _BLANKS.sub(" ", text[:LOOK_CHARACTERS]).strip()
    places = _places(text, needles)
    begin = _best(places)
    if begin > BEFORE_CHARACTERS:
        blank = text.find(" ", begin - BEFORE_CHARACTERS, begin)
        begin = blank + 1 if blank >= 0 else begin - BEFORE_CHARACTERS // 2
    else:
        begin = 0
    end = begin + SHOWN_CHARACTERS
    if end < len(text):
        blank = text.rfind(" ", end - BEFORE_CHARACTERS, end)
        end = blank if blank > begin else end
    head, tail = "…" if begin else "", "…" if end < len(text) else ""
    shift = len(head) - begin
    marked = tuple((first + shift, last + shift) for first, last, _ in places if first >= begin and last <= end)
    return Snippet(f"{head}{text[begin:end]}{tail}", marked)


def _places(text: str, needles: Sequence[Needle]) -> list[tuple[int, int, int]]:
    """Where the needles are: from, to, which one."""
    firsts = {needle.words[0] for needle in needles}
    beginnings = tuple(needle.words[0] for needle in needles if needle.begins and len(needle.words) == 1)
    folds: list[str] = []
    spans: list[tuple[int, int]] = []
    for found in _WORD.finditer(text):
        word = found[0]
        if word.isascii():
            folds.append(word.lower())
            spans.append(found.span())
        else:
            for first, last in _alone(word):
                some = words(folded(word[first:last]))
                folds += some
                spans += [(found.start() + first, found.start() + last)] * len(some)
    places = []
    for index, fold in enumerate(folds):
        if fold not in firsts and not (beginnings and fold.startswith(beginnings)):
            continue
        for which, needle in enumerate(needles):
            if _is_at(folds, index, needle):
                places.append((spans[index][0], spans[index + len(needle.words) - 1][1], which))
                break
    return _apart(places)


def _alone(word: str) -> list[tuple[int, int]]:
    """A run of characters in pieces that are words: what stands alone, and what is between."""
    cuts = [0]
    for index, character in enumerate(word):
        if stands_alone(character):
            cuts += [index, index + 1]
        elif character in "\u3099\u309a" and cuts[-1] == index:
            cuts[-1] = index + 1
    cuts.append(len(word))
    return [(first, last) for first, last in pairwise(cuts) if first < last]


def _is_at(folds: Sequence[str], index: int, needle: Needle) -> bool:
    there = folds[index : index + len(needle.words)]
    if len(there) < len(needle.words) or list(needle.words[:-1]) != there[:-1]:
        return False
    return there[-1] == needle.words[-1] or (needle.begins and there[-1].startswith(needle.words[-1]))


def _apart(places: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Without those that begin inside of the one before."""
    kept: list[tuple[int, int, int]] = []
    for place in places:
        if not kept or place[0] >= kept[-1][1]:
            kept.append(place)
    return kept


def _best(places: Sequence[tuple[int, int, int]]) -> int:
    """Where the line begins that has most of the needles."""
    best, most = (places[0][0] if places else 0), 0
    for index, (first, _, _) in enumerate(places):
        seen = set()
        for begin, _, which in places[index : index + 20]:
            if begin - first > SHOWN_CHARACTERS - BEFORE_CHARACTERS:
                break
            seen.add(which)
        if len(seen) > most:
            best, most = first, len(seen)
    return best
