"""Letters that are hard to carry, and servers that carry them badly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from postoffice.testing.peer import Pop3Peer, Session

LETTER_OCTETS = 15_000

_LINE_OCTETS = 128
_PORTION_LINES = 8192
_VAST_PORTIONS = 2049


def letter(name: str, octets: int = LETTER_OCTETS) -> bytes:
    """One of about so many octets, unlike any other by name."""
    head = (
        f"From: alice@a.example\r\nTo: bob@b.example\r\nSubject: letter {name}\r\n"
        f"Date: Sat, 28 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{name}@a.example>\r\n\r\n"
    ).encode()
    line = f"this is a line of the letter {name}, and there are many of its kind\r\n".encode()
    return head + line * max(1, (octets - len(head)) // len(line))


def some(count: int = 5, octets: int = LETTER_OCTETS) -> dict[str, bytes]:
    """So many ordinary letters by unique-id, each a little larger than the one before it."""
    return {f"id-{number}": letter(str(number), octets + 100 * number) for number in range(1, count + 1)}


def second_is(body: bytes) -> dict[str, bytes]:
    """Five letters; the second has this body."""
    letters = some()
    return letters | {"id-2": letter("2", 0) + body}


_VAST_HEAD = letter("vast", 0)
VAST_OCTETS = len(_VAST_HEAD) + _VAST_PORTIONS * _PORTION_LINES * _LINE_OCTETS
"""More than 31 bits count."""

long_line = partial(second_is, b"x" * 2_000_000 + b"\r\nand the line behind it\r\n")
any_octets = partial(second_is, b"a NUL \0, eight bits \xe9\xff, a bare\nLF\r\nand the line behind them\r\n" * 20)
no_line_end = partial(second_is, b"and at its end no line ends")
dot_lines = partial(second_is, b".one dot\r\nno dot\r\n" * 20)
lone_dot = partial(second_is, b"before the dot\r\n.\r\n" + b"behind the dot\r\n" * 500)


class Refused(Session):
    """RETR of the second letter is refused, always, or until it is repaired."""

    def __init__(self, peer: Pop3Peer, words: bytes, *, can_be_repaired: bool = False) -> None:
        super().__init__(peer)
        self._words = words
        self._can_be_repaired = can_be_repaired

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        is_repaired = self._can_be_repaired and self.peer.is_repaired
        if self.maildrop[index][0] == "id-2" and not is_repaired:
            return b"-ERR %b\r\n" % self._words
        return super().retrieved(index)


class NotStuffed(Session):
    """Lines that begin with a dot are sent as they are."""

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        return b"+OK\r\n" + self.maildrop[index][1] + b".\r\n"


class Vast(Session):
    """The letter `vast` has more than 2 GiB, made while it is sent."""

    def octets(self, index: int) -> int:
        return VAST_OCTETS if self.maildrop[index][0] == "vast" else super().octets(index)

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        if self.maildrop[index][0] != "vast":
            return super().retrieved(index)
        return (portion for part in ((b"+OK\r\n",), vast_portions(), (b".\r\n",)) for portion in part)


def vast_portions() -> Iterator[bytes]:
    """The octets of the vast letter, in a mebibyte each; no line begins with a dot."""
    yield _VAST_HEAD
    for portion in range(_VAST_PORTIONS):
        first = portion * _PORTION_LINES
        yield b"".join(b"%0*d\r\n" % (_LINE_OCTETS - 2, line) for line in range(first, first + _PORTION_LINES))
