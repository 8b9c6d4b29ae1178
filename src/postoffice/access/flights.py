"""Letters on their way to the client, read several at a time: a statement for one costs as much as reading five.

Letters whose RETR came together are read together. A client that asks for one after the other (lock-step) is read
ahead for, once it took two in a row. What is read ahead waits in memory for its RETR: a little for each session, and no
more than so much for all of a process, so sessions that stop half-way do not add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Final

from postoffice.access.maildrop import Maildrop
from postoffice.errors import Refusal, StoreError
from postoffice.protocols.pop3.server import LONG_RUN
from postoffice.store.model import SMALL_OCTETS, Piece, Small

FLIGHT_OCTETS: Final = 512 * 1024
"""What is read together and leaves in one write. Half of it costs a tenth more; a slow reader holds as much."""

FLIGHT_LETTERS: Final = 64
_FLIGHT: Final = (FLIGHT_OCTETS, FLIGHT_LETTERS)

AHEAD_OCTETS: Final = 64 * 1024
"""What is read ahead for a session at first. Each time that its client takes all of it twice as much is, up to
`MOST_AHEAD_OCTETS`, while all sessions together have little."""

MOST_AHEAD_OCTETS: Final = 256 * 1024

AHEAD_IN_ALL_OCTETS: Final = 16 * 1024 * 1024
"""The same for all sessions of a process. Beyond it letters are read one by one."""

_CONTENT: Final = itemgetter(1)
_NOTHING: Final[Small] = (b"", None)


class Flights:
    """The first pieces of a session's letters. `leave` gives back what was read ahead and not asked for.

    `ready` are letters that are here from their first octet to their last: what stands above each, and its content, in
    wire form. `take` takes them out.
    """

    __slots__ = ("_ahead_octets", "_followed", "_maildrop", "_room", "ready")

    _in_all = 0

    def __init__(self, maildrop: Maildrop) -> None:
        self._maildrop = maildrop
        self.ready: dict[int, Small] = {}
        self._ahead_octets = 0
        self._room = AHEAD_OCTETS
        self._followed = 0  # the letter that comes next if the client goes on as it did

    def take(self, numbers: Sequence[int]) -> list[Small]:
        """Letters that are ready, in their order."""
        self._followed = numbers[-1] + 1
        return list(map(self.ready.pop, numbers))

    async def first(self, number: int, following: Sequence[int]) -> Piece:
        """The first piece of a letter; `following` are the letters whose RETR is here already.

        Raises `NoSuchLetter`, or a `Refusal` where the letter is gone.
        """
        view = self._maildrop.view
        if number not in self.ready and view.octets(number) < SMALL_OCTETS:
            self.leave()
            numbers = view.together(number, following, *_FLIGHT)
            if len(numbers) == 1 and number == self._followed:
                numbers = [number, *self._ahead(number)]
            else:
                self._room = AHEAD_OCTETS
            await self._have(numbers)
        self._followed = number + 1
        above, content = self.ready.pop(number, _NOTHING)
        if content is not None:
            return Piece(above + content if above else content, more=False)
        [piece] = await self._maildrop.read([number])
        if piece is None:
            raise Refusal(permanent=False, status="2.0", public=f"message {number} is gone, log in again")
        return piece

    async def read_on(self, numbers: Sequence[int]) -> None:
        """Read these letters, or as many as are a flight, while their RETRs wait. If that cannot be, or if they are
        large, `first` will see to it, letter by letter."""
        view = self._maildrop.view
        if numbers[0] in view and len(together := view.together(numbers[0], numbers[1:], *_FLIGHT)) >= LONG_RUN:
            self.leave()
            with suppress(StoreError):
                await self._have(together)

    def leave(self) -> None:
        Flights._in_all -= self._ahead_octets
        self._ahead_octets = 0
        self.ready.clear()

    async def _have(self, numbers: Sequence[int]) -> None:
        """Read letters. Those that are small, and shown as they are, can be sent as they are."""
        view = self._maildrop.view
        letters = await self._maildrop.read_small(numbers)
        self.ready = dict(zip(numbers, letters, strict=True))
        if None in map(_CONTENT, letters) or view.has_surrogates:
            self.ready = {
                number: letter
                for number, letter in self.ready.items()
                if letter[1] is not None and not view.is_surrogate(number)
            }

    def _ahead(self, number: int) -> Sequence[int]:
        """Those that will be asked for next, as many as may be read ahead."""
        view = self._maildrop.view
        if number + 1 not in view:
            return []
        room = min(self._room, AHEAD_IN_ALL_OCTETS - Flights._in_all)
        numbers = view.together(number + 1, range(number + 2, number + 1 + FLIGHT_LETTERS), room, FLIGHT_LETTERS)
        octets = sum(view.sizes(numbers))
        if octets > room:
            return []
        self._ahead_octets = octets
        Flights._in_all += octets
        if 2 * Flights._in_all < AHEAD_IN_ALL_OCTETS:
            self._room = min(2 * self._room, MOST_AHEAD_OCTETS)
        return numbers
