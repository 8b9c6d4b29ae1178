"""How letters leave a maildrop: RETR and TOP (RFC 1939 §5, §7).

    small      read together, as many as were asked for together, and answered together (`flights`)
    large      by the kernel, from the file that its content has for itself; or piece by piece, as the client takes it

A letter that has begun can only come to its end, or the session does: nothing else would tell the client.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from postoffice.access.flights import Flights
from postoffice.access.maildrop import Maildrop
from postoffice.errors import Disconnected, Refusal, StoreError
from postoffice.events import event
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.pop3.server import END_OF_LETTER, LONG_RUN, Pop3Server
from postoffice.protocols.pop3.surrogate import SurrogateReader
from postoffice.protocols.pop3.top import TopReader
from postoffice.store.model import CHUNK_OCTETS, Piece

_OK_LETTER: Final = b"+OK %d octets\r\n"


class BrokenOff(Disconnected):
    """A letter could not be sent to its end."""


class Retrieval:
    """The letters of one session. `sent` and `topped` are how many left whole and in part.

    `on_run` hears how many RETRs were answered together, and in how many seconds.
    """

    __slots__ = ("_dialogue", "_machine", "_maildrop", "_on_run", "_view", "flights", "sent", "topped")

    def __init__(
        self, dialogue: Dialogue[Pop3Server], maildrop: Maildrop, on_run: Callable[[int, float], None]
    ) -> None:
        self._dialogue = dialogue
        self._machine = dialogue.machine
        self._maildrop = maildrop
        self._view = maildrop.view
        self._on_run = on_run
        self.flights = Flights(maildrop)
        self.sent = self.topped = 0

    async def retr(self, number: int) -> None:
        """Send a letter, and those behind it whose RETRs are here already."""
        if self._view.octets(number) <= CHUNK_OCTETS or not await self._send_file(number):
            await self._send_pieces(number)
        self.sent += 1
        if self.flights.ready and self.send_ready() >= LONG_RUN:
            await self.send_run()

    async def _send_file(self, number: int) -> bool:
        """Send a large letter from its content's own file; False if that has none, or is shown in other words."""
        if self._view.is_surrogate(number):
            return False
        found = await self._maildrop.content_file(number)
        if found is None:
            return False
        with found:
            self._begin(number)
            self._dialogue.send(found.above)
            try:
                await self._dialogue.send_file(found.descriptor, found.octets)
            except OSError as error:
                raise self._broken_off(error) from error
        self._dialogue.send(END_OF_LETTER)
        return True

    async def _send_pieces(self, number: int) -> None:
        piece = await self.flights.first(number, self._machine.upcoming_letters())
        surrogate = SurrogateReader() if self._view.is_surrogate(number) else None
        self._begin(number)
        self._dialogue.send(surrogate.feed(piece.wire) if surrogate else piece.wire)
        more, index = piece.more, 0
        del piece  # while the next one is fetched, nobody needs it but the connection
        while more:
            index += 1
            piece = await self._next_piece(number, index)
            self._dialogue.send(surrogate.feed(piece.wire) if surrogate else piece.wire)
            more = piece.more
            del piece
        self._dialogue.send(END_OF_LETTER)

    def _begin(self, number: int) -> None:
        self._dialogue.send(self._machine.ok_letter(f"{self._view.octets(number)} octets"))

    async def send_run(self) -> None:
        """As long as RETRs follow that are here already: read what they ask for together, and answer it together."""
        while len(following := self._machine.upcoming_letters()) >= LONG_RUN:
            if self._dialogue.is_full:
                await self._dialogue.flush()
            begun = perf_counter()
            await self.flights.read_on(following)
            if self.send_ready(perf_counter() - begun) < LONG_RUN:
                return

    def send_ready(self, seconds: float = 0.0) -> int:
        """Letters that are here and asked for next, without a look at each RETR as a command of its own. It took
        `seconds` to get them. Gives how many they are."""
        begun = perf_counter()
        numbers = self._machine.take_letters(self.flights.ready)
        if not numbers:
            return 0
        count = len(numbers)
        if count == 1:  # as for every letter of who asks for them one by one
            ((above, wire),) = self.flights.take(numbers)
            assert wire is not None, "it is ready"
            replies = [_OK_LETTER % self._view.octets(numbers[0]), above, wire, END_OF_LETTER]
        else:
            replies = [END_OF_LETTER] * (4 * count)
            replies[::4] = [_OK_LETTER % octets for octets in self._view.sizes(numbers)]
            replies[1::4], replies[2::4] = zip(*self.flights.take(numbers), strict=True)
        self._dialogue.send_all(replies)
        self.sent += count
        self._on_run(count, seconds + perf_counter() - begun)
        return count

    async def top(self, number: int, lines: int) -> None:
        """Send what stands above a letter's text, and so many lines of it."""
        piece = await self._piece(number, 0)
        top = TopReader(lines)
        surrogate = SurrogateReader() if self._view.is_surrogate(number) else None
        self._dialogue.send(self._machine.ok_letter("top of message follows"))
        self._dialogue.send(top.feed(surrogate.feed(piece.wire) if surrogate else piece.wire))
        index = 0
        while piece.more and not top.is_complete:
            index += 1
            piece = await self._next_piece(number, index)
            self._dialogue.send(top.feed(surrogate.feed(piece.wire) if surrogate else piece.wire))
        self._dialogue.send(END_OF_LETTER)
        self.topped += 1

    def leave(self) -> None:
        """Give back what was read ahead."""
        self.flights.leave()

    async def _piece(self, number: int, index: int) -> Piece:
        [piece] = await self._maildrop.read([number], index)
        if piece is None:
            raise Refusal(permanent=False, status="2.0", public=f"message {number} is gone, log in again")
        return piece

    async def _next_piece(self, number: int, index: int) -> Piece:
        """A further piece of a letter that is being sent."""
        await self._dialogue.flush()
        try:
            return await self._piece(number, index)
        except (Refusal, StoreError) as error:
            raise self._broken_off(error) from error

    def _broken_off(self, error: Exception) -> BrokenOff:
        event("pop3.failed", command="RETR", peer=self._dialogue.peer[0], error=str(error))
        return BrokenOff("letter broken off")
