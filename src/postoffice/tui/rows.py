"""The list of letters, drawn line by line: it may have any length, and only what is on the screen is asked for.

What is chosen is a letter and not a line: when letters come or go, the same one stays chosen and stays where it is on
the screen, as long as it is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from postoffice.errors import PostofficeError
from postoffice.tui.cells import fitted
from postoffice.tui.listings import EMPTY, Listing
from postoffice.tui.look import BOLD, CHOSEN, DIM, DOT, FLAGGED, PLAIN, Piece, in_the_middle, strip_of
from postoffice.tui.mail import Row

NARROW_COLUMNS: Final = 72
WIDE_COLUMNS: Final = 110
INDENTED: Final = 12
"""How many columns a thread's letters are moved to the right at most."""


class Rows(Widget, can_focus=True):
    """Give it a listing by `show`. `load` brings rows that `row` then gives."""

    class Failed(Message):
        """What is to be seen could not be read."""

        def __init__(self, sentence: str) -> None:
            super().__init__()
            self.sentence = sentence

    class Moved(Message):
        """Another letter is chosen, or none."""

    DEFAULT_CSS = "Rows { height: 1fr; }"

    def __init__(self, row: Callable[[int], Row | None], load: Callable[[Sequence[int]], Awaitable[None]]) -> None:
        super().__init__()
        self._row = row
        self._load = load
        self.listing: Listing = EMPTY
        self.nothing: list[str] = [""]
        self.top = 0
        self.cursor = 0

    # --- what is shown --------------------------------------------------------------------------------------

    @property
    def chosen(self) -> int | None:
        """The key of the letter that is chosen."""
        return self.listing.keys[self.cursor] if self.cursor < len(self.listing.keys) else None

    @property
    def chosen_row(self) -> Row | None:
        return None if self.chosen is None else self._row(self.chosen)

    async def show(self, listing: Listing, key: int | None = None) -> None:
        """Show another listing, with the letter `key` chosen, or that which is now, at the same height if it can be."""
        wanted = self.chosen if key is None else key
        height = self.cursor - self.top
        is_at_top = self.top == 0 and key is None and listing.kind is self.listing.kind
        position = listing.position(wanted) if wanted is not None else None
        self.listing = listing
        self.cursor = min(self.cursor, max(len(listing.keys) - 1, 0)) if position is None else position
        self.top = self.cursor - height
        if is_at_top and self.cursor < self._height:
            self.top = 0  # what came is seen: the chosen letter goes down by it
        await self.settle()

    async def move_to(self, position: int) -> None:
        """Choose another letter; the nearest if there is none there."""
        self.cursor = max(min(position, len(self.listing.keys) - 1), 0)
        await self.settle()

    async def move_by(self, lines: int) -> None:
        await self.move_to(self.cursor + lines)

    async def turn(self, pages: int) -> None:
        """Pages down, or up."""
        self.top += pages * self._height
        await self.move_by(pages * self._height)

    async def settle(self) -> None:
        """The chosen letter on the screen, what is seen at hand, and all of it drawn."""
        highest = max(len(self.listing.keys) - self._height, 0)
        self.top = max(min(self.top, self.cursor, highest), self.cursor - self._height + 1, 0)
        try:
            await self._load(self.listing.keys[self.top : self.top + self._height])
        except PostofficeError as error:
            self.post_message(self.Failed(str(error)))
        self.refresh()
        self.post_message(self.Moved())

    @property
    def _height(self) -> int:
        return max(self.size.height, 1)

    # --- what the terminal does -----------------------------------------------------------------------------

    async def on_resize(self, event: events.Resize) -> None:
        await self.settle()

    # --- drawing --------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if not self.listing.keys:
            return in_the_middle(self.nothing, y, width, height)
        position = self.top + y
        if position >= len(self.listing.keys):
            return strip_of([], width)
        row = self._row(self.listing.keys[position])
        base = CHOSEN if position == self.cursor else PLAIN
        return strip_of([] if row is None else self._pieces(row, position, width), width, base)

    def _pieces(self, row: Row, position: int, width: int) -> list[Piece]:
        weight = PLAIN if row.is_read else BOLD
        marks: list[Piece] = [
            (" ", PLAIN) if row.is_read else ("•", DOT),
            ("!", FLAGGED) if row.is_flagged else (" ", PLAIN),
            (" ", PLAIN),
        ]
        number: list[Piece] = []
        if width >= NARROW_COLUMNS:
            digits = len(str(max(self.listing.numbers[0], self.listing.numbers[-1], 999)))
            number = [(f"{self.listing.numbers[position]:>{digits}}  ", DIM)]
        sender = 14 if width < NARROW_COLUMNS else 18 if width < WIDE_COLUMNS else 26
        return [
            *marks,
            *number,
            (_date(row.date, width) + "  ", DIM),
            (fitted(row.sender, sender), weight),
            (" @ " if row.has_attachments else "   ", PLAIN),
            (self._branch(position), DIM),
            (row.subject, weight),
        ]

    def _branch(self, position: int) -> str:
        if not self.listing.depths or not (depth := self.listing.depths[position]):
            return ""
        return " " * min(2 * (depth - 1), INDENTED) + "└ "


def _date(date: datetime | None, width: int) -> str:
    """Today its time, else the day; both where there is room."""
    room = 16 if width >= WIDE_COLUMNS else 10
    if date is None:
        return " " * room
    if width >= WIDE_COLUMNS:
        return date.strftime("%Y-%m-%d %H:%M")
    is_today = date.date() == datetime.now().astimezone().date()
    return f"{date:%H:%M}".rjust(room) if is_today else f"{date:%Y-%m-%d}"
