"""What is known of a maildrop before a row is played, and how it fills the gaps of the row.

{user} {password}            the account                    {plain}            both, as SASL PLAIN has them
{count} {total} {next}       messages, their octets, the number behind the last
{count but 2} {total but 2}  without message 2
{octets 2} {id 2}            of one message
S: {listing}  S: {ids}       the lines of LIST and UIDL, `but 2` without one of them
S: {letter 1}  S: {top 1 3}  the lines of a letter, and of its header and three lines more
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postoffice.protocols.dots import stuff
from postoffice.protocols.notation import line_text
from postoffice.protocols.pop3.top import TopReader
from postoffice.testing.scenes import Setting

_GAP: Final = re.compile(r"\{([a-z]+)((?: [a-z0-9]+)*)\}")
_LINES: Final = re.compile(r"S: \{(listing|ids|letter|top)((?: [a-z0-9]+)*)\}")


@dataclass(frozen=True, slots=True)
class Facts:
    """`letters` as they were before dots were stuffed, the first is message 1; as many `unique_ids`."""

    user: str
    password: str
    letters: tuple[bytes, ...] = ()
    unique_ids: tuple[str, ...] = ()


def facts_of(setting: Setting) -> Facts:
    """The facts of a scene that is laid out as it stands."""
    address, password = next(iter(setting.passwords.items()))
    letters = tuple(letter.plain for letter in setting.letters)
    return Facts(address.partition("@")[0], password, letters, ("...",) * len(letters))


def fill(row: str, facts: Facts) -> str:
    """The transcript of a row."""
    return "\n".join(_filled(line, facts) for line in row.splitlines()) + "\n"


def _filled(line: str, facts: Facts) -> str:
    if found := _LINES.fullmatch(line):
        make = {"listing": _listing, "ids": _ids, "letter": _letter, "top": _top}[found[1]]
        return "\n".join(f"S: {text}".rstrip() for text in make(facts, found[2].split()))
    return _GAP.sub(lambda found: _word(facts, found[1], found[2].split()), line)


def _word(facts: Facts, name: str, arguments: list[str]) -> str:
    left = _others(facts, arguments)
    words: dict[str, Callable[[], object]] = {
        "user": lambda: facts.user,
        "password": lambda: facts.password,
        "plain": lambda: b64encode(f"\0{facts.user}\0{facts.password}".encode()).decode(),
        "next": lambda: len(facts.letters) + 1,
        "count": lambda: len(left),
        "total": lambda: sum(len(facts.letters[number - 1]) for number in left),
        "octets": lambda: len(facts.letters[int(arguments[0]) - 1]),
        "id": lambda: facts.unique_ids[int(arguments[0]) - 1],
    }
    return str(words[name]())


def _others(facts: Facts, arguments: list[str]) -> list[int]:
    """The numbers of all messages, `but` those that are named."""
    without = arguments[1:] if arguments[:1] == ["but"] else []
    return [number for number in range(1, len(facts.letters) + 1) if str(number) not in without]


def _listing(facts: Facts, arguments: list[str]) -> list[str]:
    return [f"{number} {len(facts.letters[number - 1])}" for number in _others(facts, arguments)]


def _ids(facts: Facts, arguments: list[str]) -> list[str]:
    return [f"{number} {facts.unique_ids[number - 1]}" for number in _others(facts, arguments)]


def _letter(facts: Facts, arguments: list[str]) -> list[str]:
    return _lines(stuff(facts.letters[int(arguments[0]) - 1]))


def _top(facts: Facts, arguments: list[str]) -> list[str]:
    return _lines(TopReader(int(arguments[1])).feed(stuff(facts.letters[int(arguments[0]) - 1])))


def _lines(wire: bytes) -> list[str]:
    """Every line escaped, so that nothing of it is a pattern."""
    lines = wire.split(b"\r\n")[:-1]
    return [line_text(line + b"\r\n").replace("...", r"\x2e\x2e\x2e") for line in lines]
