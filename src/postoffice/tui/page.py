"""A text of any length, drawn line by line; what is chosen in it, if something can be chosen, is a whole entry."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.strip import Strip
from textual.widget import Widget

from postoffice.tui.look import CHOSEN, PLAIN, Line, in_the_middle, strip_of


class Page(Widget, can_focus=True):
    """Lines to scroll through."""

    DEFAULT_CSS = "Page { height: 1fr; padding: 1 1 0 1; }"

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        super().__init__()
        self.lines = lines
        self.top = 0

    def show(self, lines: Sequence[Line], top: int = 0) -> None:
        self.lines = lines
        self.scroll_lines_to(top)

    def scroll_lines_to(self, top: int) -> None:
        """Line `top` uppermost, as far as there are lines to fill the page."""
        self.top = max(min(top, len(self.lines) - self.page_lines), 0)
        self.refresh()

    @property
    def page_lines(self) -> int:
        return max(self.content_size.height, 1)

    def on_resize(self, event: events.Resize) -> None:
        self.scroll_lines_to(self.top)

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        index = self.top + y
        return strip_of(self.lines[index] if index < len(self.lines) else [], width)


class Choice(Page):
    """Entries of one or more lines each, one of which is chosen."""

    DEFAULT_CSS = "Choice { padding: 1 0 0 0; }"

    def __init__(self, nothing: Sequence[str]) -> None:
        super().__init__()
        self.nothing = list(nothing)
        self.chosen = 0
        self._starts: list[int] = []

    def offer(self, entries: Sequence[Sequence[Line]], chosen: int = 0) -> None:
        """Show these, with one of them chosen."""
        self._starts = []
        lines: list[Line] = []
        for entry in entries:
            self._starts.append(len(lines))
            lines += entry
        self.lines = lines
        self.choose(chosen)

    def choose(self, index: int) -> None:
        """The nearest one if there is none so far."""
        self.chosen = max(min(index, len(self._starts) - 1), 0)
        if self._starts:
            start, end = self._span()
            self.scroll_lines_to(min(max(self.top, end - self.page_lines), start))

    @property
    def entry_columns(self) -> int:
        """How wide an entry may be."""
        return self.content_size.width - 2

    def _span(self) -> tuple[int, int]:
        after = [*self._starts[1:], len(self.lines)]
        return self._starts[self.chosen], after[self.chosen]

    def on_resize(self, event: events.Resize) -> None:
        self.choose(self.chosen)

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        if not self._starts:
            return in_the_middle(self.nothing, y, width, height)
        index = self.top + y
        start, end = self._span()
        line = self.lines[index] if index < len(self.lines) else []
        return strip_of([(" ", PLAIN), *line], width, CHOSEN if start <= index < end else PLAIN)
