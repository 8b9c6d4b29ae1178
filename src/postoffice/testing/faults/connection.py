"""Conversations that end where they should not, and servers that do not hear what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from postoffice.testing.peer import Leaves, Leaving, Pop3Peer, Session, wire

MEETING_SECONDS = 3.0
"""How long a session waits for another that may never come."""


class CutShort(Session):
    """The first session ends in the middle of a letter."""

    def __init__(self, peer: Pop3Peer, how: Leaving, index: int = 3) -> None:
        super().__init__(peer)
        self._how = how
        self._cut_index = index

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        if self.number == 1 and index == self._cut_index:
            whole = b"+OK\r\n" + wire(self.maildrop[index][1])
            self.peer.reached.set()
            raise Leaves(whole[: len(whole) // 2], self._how)
        return super().retrieved(index)


class QuitLost(Session):
    """The first QUIT does what it must, and its +OK never comes."""

    def _quit(self, argument: str) -> bytes:
        answer = super()._quit(argument)
        if self.number == 1:
            raise Leaves
        return answer


class QuitRefused(Session):
    """The first QUIT that has something to remove removes nothing (RFC 1939 §6)."""

    def _quit(self, argument: str) -> bytes:
        if self.number == 1 and self.marked:
            self.is_over = True
            return b"-ERR some deleted messages not removed\r\n"
        return super()._quit(argument)


class NoCloseNotify(Session):
    """Behind QUIT it closes without a close_notify, as many servers do."""

    def _quit(self, argument: str) -> bytes:
        raise Leaves(super()._quit(argument), Leaving.ABORTED)


class DropsAhead(Session):
    """It announces PIPELINING, and forgets what comes behind a command in one piece."""

    def taken(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        return lines[:1]


class MixesAhead(Session):
    """It announces PIPELINING, and the answers of two RETR that came in one piece get into each other."""

    def __init__(self, peer: Pop3Peer) -> None:
        super().__init__(peer)
        self._mixed: list[bytes] = []

    def taken(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        asked = [int(line.split()[1]) - 1 for line in lines if line.startswith(b"RETR ")]
        if len(asked) > 1:
            first, second = (b"+OK\r\n" + wire(self.maildrop[index][1]) + b".\r\n" for index in asked[:2])
            half = first.index(b"\r\n", len(first) // 2) + 2
            self._mixed = [first[:half] + second, first[half:]]
        return lines

    def retrieved(self, index: int) -> bytes | Iterable[bytes]:
        return self._mixed.pop(0) if self._mixed else super().retrieved(index)


class CapaTellsMoreInside(Session):
    """UIDL, TOP and PIPELINING are announced behind the login only, as by Gmail."""

    def capabilities(self) -> Sequence[str]:
        return super().capabilities() if self.is_inside else ("USER",)


class CapaTellsLessInside(DropsAhead):
    """PIPELINING is announced before the login, and neither announced nor done behind it."""

    def capabilities(self) -> Sequence[str]:
        return [name for name in super().capabilities() if not (self.is_inside and name == "PIPELINING")]

    def taken(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        return super().taken(lines) if self.is_inside else lines


class MeetsAnother(Session):
    """It locks nothing, and shows its maildrop when two are there at once."""

    async def before(self, line: str) -> None:
        if self.number > 1:
            self.peer.reached.set()
        elif line.startswith(("UIDL", "LIST")):
            await asyncio.to_thread(self.peer.reached.wait, MEETING_SECONDS)
