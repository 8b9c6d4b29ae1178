"""Text for a terminal: what every terminal draws equally wide, cut and wrapped by its columns.

Terminals do not agree about joined emoji, variation selectors, flags, skin tones and stacks of marks; where the
programs on both ends of a line count differently, columns go astray and old characters stay. Those are taken apart or
away before anything is measured, and what could steer a terminal or turn a line around is replaced: after `tame`, the
width of a text is the sum of the widths of its characters.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from rich.cells import cell_len

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS: Final = "…"

MARKS: Final = 3
"""How many marks are kept on one character: no language needs more."""

COMPOSED_MARKS: Final = 30
"""How many are looked at, as in the Stream-Safe Text Format (UAX #15 §13)."""

NO_BEGINNING: Final = frozenset("。、，．：；！？）］｝」』】〉》ーっゃゅょッャュョ")
"""With which no line begins (JIS X 4051)."""

_REGIONAL_A: Final = 0x1F1E6
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JAMO: Final = range(0x1160, 0x1200)  # vowels and finals that did not come together to a syllable


class _Tamed(dict[int, "int | str | None"]):
    """For `str.translate`: what stands in the place of each character; remembered, at most one entry for each."""

    def __missing__(self, code: int) -> int | str | None:
        self[code] = made = _tamed(code)
        return made


def _tamed(code: int) -> int | str | None:
    character = chr(code)
    if _REGIONAL_A <= code < _REGIONAL_A + 26:
        return chr(ord("A") + code - _REGIONAL_A)
    if character in _BIDI or code in _JAMO:
        return REPLACEMENT
    if 0x1F3FB <= code <= 0x1F3FF or 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE01FF:
        return None
    match unicodedata.category(character):
        case "Cf" | "Me":
            return None
        case "Cc" | "Cs" | "Co" | "Cn":
            return REPLACEMENT
        case "Zl" | "Zp":
            return " "
        case "Zs" if code != 0x3000:
            return " "
        case "Mn" | "Mc":  # vowels of Indic scripts are among them
            return code
        case _:
            return code if columns_of(character) > 0 else REPLACEMENT


_TABLE: Final = _Tamed()


@lru_cache(maxsize=8192)
def columns_of(character: str) -> int:
    """How many columns one character takes: 0, 1 or 2."""
    return cell_len(character)


def tame(text: str) -> str:
    """One line in the form that is drawn: composed, without anything that steers, joins or turns around."""
    if text.isascii() and text.isprintable():
        return text
    text = _composed(text.expandtabs(4)).translate(_TABLE)
    return text if all(map(columns_of, set(text))) else _with_few_marks(text)


def _composed(text: str) -> str:
    """In NFC. Marks on one character are brought into an order in time that grows with their square, so beyond
    `COMPOSED_MARKS` they go before."""
    marks = {one for one in set(text) if unicodedata.category(one).startswith("M")}
    if marks:
        kept: list[str] = []
        run = 0
        for character in text:
            run = run + 1 if character in marks else 0
            if run <= COMPOSED_MARKS:
                kept.append(character)
        text = "".join(kept)
    return unicodedata.normalize("NFC", text)


def _with_few_marks(text: str) -> str:
    """No mark without a character before it, and not many on one."""
    kept: list[str] = []
    marks = MARKS  # at the beginning of a line there is nothing to stand on
    for character in text:
        if columns_of(character):
            marks = 0
        elif marks >= MARKS:
            continue
        else:
            marks += 1
        kept.append(character)
    return "".join(kept)


def columns(text: str) -> int:
    """Of a text that is tame."""
    return len(text) if _is_even(text) else sum(map(columns_of, text))


def _is_even(text: str) -> bool:
    """Whether each character takes one column; most texts do, and are cut and counted without a look at each."""
    return text.isascii() or all(columns_of(character) == 1 for character in set(text))


def fitted(text: str, width: int) -> str:
    """A tame text in exactly `width` columns: with blanks behind it, or cut, with an ellipsis at its end."""
    if width <= 0:
        return ""
    head = _begin(text, width)
    if len(head) == len(text):
        return text + " " * (width - columns(text))
    kept = _begin(head, width - 1)
    return kept + ELLIPSIS + " " * (width - 1 - columns(kept))


def _begin(text: str, width: int) -> str:
    """As much of it as fits, with the marks on its last character; the whole if all fits."""
    if text.isascii():
        return text[:width]
    used = 0
    for index, character in enumerate(text):
        used += columns_of(character)
        if used > width:
            return text[:index]
    return text


def wrapped(text: str, width: int) -> list[str]:
    """A tame text in lines of at most `width` columns, parted at blanks where there are some, in linear time.

    Quoted lines go on as quoted ones. One that is empty is one empty line.
    """
    width = max(width, 4)
    if len(text) * 2 <= width or columns(text) <= width:
        return [text]
    quote = _quote_of(text, width)
    lines, start = [], 0
    end_of = _end_of_even_line if _is_even(text) else _end_of_line
    while start < len(text):
        head = quote if start else ""
        end = end_of(text, start, width - len(head))
        lines.append(head + text[start:end].rstrip(" "))
        start = end
        while start < len(text) and text[start] == " ":
            start += 1
    return lines


def _quote_of(text: str, width: int) -> str:
    """`> > ` at the beginning of a line, unless it leaves no room."""
    length = 0
    while length < len(text) and text[length] in "> ":
        length += 1
    quote = text[:length]
    return quote if ">" in quote and length <= width // 2 else ""


def _end_of_even_line(text: str, start: int, width: int) -> int:
    end = start + width
    if end >= len(text) or text[end] == " ":
        return min(end, len(text))
    blank = text.rfind(" ", start + 1, end)
    return blank if blank > start else end


def _end_of_line(text: str, start: int, width: int) -> int:
    """Where the line that begins at `start` ends; at least one character later."""
    used, blank, index = 0, -1, start
    while index < len(text):
        character = text[index]
        wide = columns_of(character)
        if used + wide > width:
            break
        if (character == " " and used) or wide == 2:  # between ideographs a line may end anywhere
            blank = index
        used += wide
        index += 1
    else:
        return len(text)
    if text[index] == " " or columns_of(text[index]) == 2:
        return max(index - (text[index] in NO_BEGINNING and index > start + 1), start + 1)
    if blank > start:
        return blank if text[blank] == " " else blank + _cluster(text, blank)
    return max(index, start + 1)


def _cluster(text: str, index: int) -> int:
    """How many characters the one at `index` is, with its marks."""
    end = index + 1
    while end < len(text) and not columns_of(text[end]):
        end += 1
    return end - index
