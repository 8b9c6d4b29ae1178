"""The lines that POP3 clients send: octets -> `Command` (RFC 1939 §3, grammar of RFC 2449 §3 and §4).

The grammar is strict: one space between arguments, digits are digits, nothing behind the last argument. Keywords
come in any case. What cannot be a command is a `Invalid` with the text for the -ERR; it never repeats octets of
the other side.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from postoffice.protocols.pop3.commands import Argument, Command
from postoffice.protocols.pop3.table import COMMAND_OCTETS, RULES, Arguments, Keyword


class Invalid(NamedTuple):
    """A line that is no command."""

    because: str


_KEYWORDS = {keyword.value: (keyword, RULES[keyword].arguments) for keyword in Keyword}
_NO_NUL = re.compile(rb"[^\x00\r\n]+")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_TWO_NUMBERS = re.compile(rb"([0-9]{1,18}) ([0-9]{1,18})")
_NAME_AND_DIGEST = re.compile(rb"([^\x00]+) ([0-9a-fA-F]{32})")
_RANGE = re.compile(rb"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*")  # RFC 4647 §2.1
_MECHANISM = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: (=|[A-Za-z0-9+/]+={0,2}))?")


def parse(line: bytes) -> Command | Invalid:
    """The command of a line, given without its end."""
    alone = ALONE.get(line)
    if alone is not None:
        return alone
    word, space, rest = line.partition(b" ")
    known = _KEYWORDS.get(word) or _KEYWORDS.get(word.upper())
    if known is None:
        return Invalid("command line is too long" if len(line) + 2 > COMMAND_OCTETS else "unknown command")
    keyword, kind = known
    if len(line) + 2 > COMMAND_OCTETS and keyword is not Keyword.AUTH:
        return Invalid("command line is too long")
    arguments = _arguments(kind, rest) if space else () if kind in _MAY_BE_EMPTY else None
    if arguments is None:
        return Invalid(f"{keyword.value.decode()} takes {kind.value}")
    return Command(keyword, arguments)


_MAY_BE_EMPTY = frozenset({Arguments.NONE, Arguments.OPTIONAL_NUMBER, Arguments.OPTIONAL_RANGE, Arguments.MECHANISM})
ALONE = {word: Command(keyword) for word, (keyword, kind) in _KEYWORDS.items() if kind in _MAY_BE_EMPTY}
"""What a line is that holds a keyword alone."""


def _arguments(kind: Arguments, rest: bytes) -> tuple[Argument, ...] | None:
    """What stands behind the first space, or None if it is not what the command takes."""
    match kind:
        case Arguments.NUMBER | Arguments.OPTIONAL_NUMBER:
            return (int(rest),) if _NUMBER.fullmatch(rest) else None
        case Arguments.TEXT:
            return (rest,) if _NO_NUL.fullmatch(rest) else None
        case Arguments.NUMBER_AND_COUNT:
            found = _TWO_NUMBERS.fullmatch(rest)
            return (int(found[1]), int(found[2])) if found else None
        case Arguments.NAME_AND_DIGEST:
            found = _NAME_AND_DIGEST.fullmatch(rest)
            return (found[1], found[2]) if found else None
        case Arguments.OPTIONAL_RANGE:
            return (rest,) if _RANGE.fullmatch(rest) else None
        case Arguments.MECHANISM:
            found = _MECHANISM.fullmatch(rest)
            if not found:
                return None
            return (found[1].upper(),) if found[2] is None else (found[1].upper(), found[2])
        case Arguments.NONE:
            return None
