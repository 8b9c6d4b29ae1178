"""Text as it is compared: what people type without marks finds what is written with them.

Letters lose their case and their marks (also đ, ø and ł, whose mark is no character of its own), except for the two
voicing marks of Japanese kana, which make other sounds. Chinese, Japanese and Korean are written without blanks between
words, so each of their characters stands alone, and a word of several is looked for as neighbours. Both the letters and
the questions go through here, and it is the same whatever form a text came in (NFC, NFD, half width).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_ALONE: Final = (
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x3035),
    (0x3041, 0x30FF),  # kana
    (0x3100, 0x312F),  # bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),  # Hangul
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Characters of scripts that have no blanks between words, from and to."""

_UNMARKED: Final = {"đ": "d", "ø": "o", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i"}
_VOICING: Final = "\u3099\u309a"
_WORD: Final = re.compile(r"\w+")

BEGINNING: Final = 4
"""A word of so many letters finds the longer ones that begin with it; most of Vietnamese is shorter."""


def folded(text: str) -> str:
    """Lower case, without marks, with blanks around what stands alone. Takes linear time."""
    if text.isascii():
        return text.lower()
    # Marks go first: to bring a million of them into their order takes hours.
    return unicodedata.normalize("NFKC", text.translate(_MARKS)).translate(_CHARACTERS)


def words(text: str) -> list[str]:
    """The words of a text that is folded."""
    return _WORD.findall(text)


def may_go_on(word: str, *, is_asked: bool) -> bool:
    """Whether a folded word also means the longer ones that begin with it, as it does if that is asked for."""
    return (is_asked or len(word) >= BEGINNING) and not any(map(stands_alone, word))


def stands_alone(character: str) -> bool:
    code = ord(character)
    return code >= _ALONE[0][0] and any(first <= code <= last for first, last in _ALONE)


class _Characters(dict[int, str]):
    """Each character folded, when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if 0xD800 <= code <= 0xDFFF:
            folds_to = " "  # half of a pair is no character, and no database takes it
        elif stands_alone(character):
            folds_to = f" {character} "
        else:
            bare = unicodedata.normalize("NFKD", character.casefold()).casefold()
            kept = (one for one in bare if one in _VOICING or not unicodedata.combining(one))
            folds_to = "".join(_UNMARKED.get(one, one) for one in kept)
        self[code] = folds_to
        return folds_to


class _Marks(dict[int, str | int]):
    """Marks of their own are nothing, but for those of kana; everything else is itself."""

    def __missing__(self, code: int) -> str | int:
        character = chr(code)
        is_mark = unicodedata.combining(character) != 0 and character not in _VOICING
        self[code] = folds_to = "" if is_mark else code
        return folds_to


_CHARACTERS: Final = _Characters()
_MARKS: Final = _Marks()
