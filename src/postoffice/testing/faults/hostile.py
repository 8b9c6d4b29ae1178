"""Servers that mean harm. What has no end has one here, far behind where any program must have noticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from postoffice.testing.peer import Pop3Peer, Session

ENDLESS_OCTETS = 96 * 1024 * 1024
"""Whoever takes so much of what has no end would take more."""

_PORTION = 64 * 1024


def endless(peer: Pop3Peer, beginning: bytes, portion: bytes) -> Iterator[bytes]:
    """A portion again and again."""
    yield beginning
    for _ in range(ENDLESS_OCTETS // len(portion)):
        yield portion
    peer.took_all = True


class EndlessGreeting(Session):
    """The greeting is a line that has no end."""

    def greeting(self) -> bytes | Iterable[bytes]:
        return endless(self.peer, b"+OK ", b"x" * _PORTION)


class EndlessListing(Session):
    """UIDL tells of letters for ever."""

    def _uidl(self, argument: str) -> bytes | Iterable[bytes]:
        return super()._uidl(argument) if argument else self._without_end()

    def _without_end(self) -> Iterator[bytes]:
        yield b"+OK\r\n"
        octets = number = 0
        while octets < ENDLESS_OCTETS:
            lines = b"".join(b"%d %070d\r\n" % (one, one) for one in range(number + 1, number + 4001))
            yield lines
            octets, number = octets + len(lines), number + 4000
        self.peer.took_all = True


class EndlessBody(Session):
    """The second letter has no end."""

    def __init__(self, peer: Pop3Peer, portion: bytes) -> None:
        super().__init__(peer)
        self._portion = portion

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        if self.maildrop[index][0] != "id-2":
            return super().retrieved(index)
        return endless(self.peer, b"+OK\r\n" + self.maildrop[index][1], self._portion)


class Injects(Session):
    """Behind the +OK to STLS come answers in clear, as somebody in between may put them there (RFC 2595 §4)."""

    def _stls(self, argument: str) -> bytes:
        return super()._stls(argument) + b"+OK injected\r\nUSER\r\nUIDL\r\n.\r\n"


class SaysYes(Session):
    """+OK to everything, and nothing behind it."""

    def answer(self, line: str) -> bytes | Iterable[bytes]:
        self.is_over = line.upper() == "QUIT"
        return b"+OK\r\n"


LINES = b"a line of a letter that has no end, and no other is like it in this\r\n" * (_PORTION // 70)
ONE_LINE = b"x" * _PORTION
