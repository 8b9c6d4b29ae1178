"""What a scanner says of a letter, and what it is asked by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from postoffice.errors import PostofficeError
from postoffice.message.printable import safe

NAME_CHARACTERS: Final = 200
"""So many characters of what a scanner says are kept."""


@dataclass(frozen=True, slots=True)
class Clean:
    """It found nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """It found what it calls by this name."""

    name: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """It does not look at so many octets, or not into all of them; `because` in its words."""

    because: str


Answer = Clean | Found | TooLarge


class NoAnswer(PostofficeError):
    """Nobody knows whether the letter is clean. `is_away`: nor would be known of another one now."""

    def __init__(self, because: str, *, is_away: bool = False) -> None:
        super().__init__(because)
        self.is_away = is_away


class Scanner(Protocol):
    """`name` is what people call it by. May be asked about several letters at once."""

    @property
    def name(self) -> str: ...

    async def signatures(self, seconds: float) -> str:
        """The version of what it knows, empty if it does not say. Raises NoAnswer, also after so many seconds."""
        ...

    async def scan(self, letter: AsyncIterator[bytes], seconds: float) -> Answer:
        """Whether the octets of a letter are clean. Raises NoAnswer, also after so many seconds."""
        ...


def named(words: str) -> str:
    """What a scanner said, in one line that is safe to print and to keep; never empty."""
    return safe(" ".join(words.split()))[:NAME_CHARACTERS] or "something without a name"
