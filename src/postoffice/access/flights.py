"""Letters on their way to the client, read several at a time: a statement for one costs as much as reading five.

Letters whose RETR came together are read together. A client that asks for one after the other (lock-step) is read
ahead for, once it took two in a row. What is read ahead waits in memory for its RETR: a little for each session, and no
more than so much for all of a process, so sessions that stop half-way do not add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from postoffice.access.maildrop import Maildrop
from postoffice.errors import Refusal
from postoffice.net.dialogue import FLIGHT_OCTETS
from postoffice.store.model import Piece

FLIGHT_LETTERS: Final = 64
AHEAD_OCTETS: Final = 64 * 1024
"""What may be read ahead for a session."""

AHEAD_IN_ALL_OCTETS: Final = 16 * 1024 * 1024
"""The same for all sessions of a process. Beyond it letters are read one by one."""


class Flights:
    """The first pieces of a session's letters. `leave` gives back what was read ahead and not asked for.

    `ready` are letters that are here from their first octet to their last; `take` takes one out.
    """

    __slots__ = ("_ahead_octets", "_followed", "_maildrop", "ready")

    _in_all = 0

    def __init__(self, maildrop: Maildrop) -> None:
        self._maildrop = maildrop
        self.ready: dict[int, Piece] = {}
        self._ahead_octets = 0
        self._followed = 0  # the letter that comes next if the client goes on as it did

    def take(self, numbers: Sequence[int]) -> list[bytes]:
        """Letters that are ready, whole, in wire form."""
        self._followed = numbers[-1] + 1
        take = self.ready.pop
        return [take(number).wire for number in numbers]

    async def first(self, number: int, following: Sequence[int]) -> Piece:
        """The first piece of a letter; `following` are the letters whose RETR is here already.

        Raises `NoSuchLetter`, or a `Refusal` where the letter is gone.
        """
        piece = self.ready.pop(number, None)
        if piece is None:
            self.leave()
            numbers = self._maildrop.view.together(number, following, FLIGHT_OCTETS, FLIGHT_LETTERS)
            if len(numbers) == 1 and number == self._followed:
                numbers += self._ahead(number)
            piece = await self._read(numbers)
        self._followed = number + 1
        return piece

    def leave(self) -> None:
        Flights._in_all -= self._ahead_octets
        self._ahead_octets = 0
        self.ready.clear()

    async def _read(self, numbers: list[int]) -> Piece:
        view = self._maildrop.view
        first, *others = await self._maildrop.read(numbers)
        self.ready = {
            number: piece
            for number, piece in zip(numbers[1:], others, strict=True)
            if piece is not None and not piece.more
        }
        if view.has_surrogates:
            self.ready = {number: piece for number, piece in self.ready.items() if not view.is_surrogate(number)}
        if first is None:
            raise Refusal(permanent=False, status="2.0", public=f"message {numbers[0]} is gone, log in again")
        return first

    def _ahead(self, number: int) -> list[int]:
        """Those that will be asked for next, as many as may be read ahead."""
        view = self._maildrop.view
        if number + 1 not in view:
            return []
        room = min(AHEAD_OCTETS, AHEAD_IN_ALL_OCTETS - Flights._in_all)
        numbers = view.together(number + 1, range(number + 2, number + 1 + FLIGHT_LETTERS), room, FLIGHT_LETTERS)
        octets = sum(view.sizes(numbers))
        if octets > room:
            return []
        self._ahead_octets = octets
        Flights._in_all += octets
        return numbers
