"""The words of fetchmail's settings: a text without lines, in which a string may be quoted and have escapes.

    poll pop.example.org with proto POP3 user "me" there has password "two words \\x41" is me here, ssl

Its escapes are not C's: `\\233` is decimal, `\\035` octal, `\\xe9` hexadecimal, and none of them puts a quotation mark
into a quotation. The longest word is taken, as lex does: `"a"b` is one word of four signs, and not a quotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SPACE: Final = re.compile(r"(?:[\s,;:]|\#[^\n]*|\\\n)+")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_BARE: Final = re.compile(r"(?:[^\s,;:=\\]|\\(?!\n))+")
_ESCAPE: Final = re.compile(r"\\(\n|x[0-9A-Fa-f]{1,2}|0[0-7]{0,2}|[1-9][0-9]{0,2}|.)", re.DOTALL)
_NAMED: Final = {"n": "\n", "t": "\t", "b": "\b", "r": "\r", "\n": ""}


@dataclass(frozen=True, slots=True)
class Word:
    """One, and the line where it begins. A quoted one is a string whatever it says."""

    text: str
    line: int
    is_quoted: bool = False
    is_equals: bool = False


def words(text: str) -> Iterator[Word]:
    """All words of a file."""
    place, line = 0, 1
    while place < len(text):
        found = _SPACE.match(text, place)
        if found is None:
            quoted, bare = _QUOTED.match(text, place), _BARE.match(text, place)
            if quoted is not None and (bare is None or quoted.end() >= bare.end()):
                found = quoted
                yield Word(_unescaped(quoted[0][1:-1]), line, is_quoted=True)
            elif bare is not None:
                found = bare
                yield Word(_unescaped(bare[0]), line)
            else:
                yield Word("=", line, is_equals=True)
        written = found[0] if found is not None else "="
        line += written.count("\n")
        place += len(written)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    escape = found[1]
    if escape[0] == "x" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    if escape[0] == "0":
        return chr(int(escape, 8) & 255)
    if escape.isdecimal():
        return chr(int(escape) & 255)
    return _NAMED.get(escape, escape)
