"""The line above (where one is), the line for what there is to say, and the line below (which keys there are)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from postoffice.tui.cells import columns, fitted, tame, wrapped
from postoffice.tui.keys import ALWAYS, Key
from postoffice.tui.look import BAR, DIM, KEY, PLAIN, WARNING, Line, Piece, strip_of

MOST_LINES: Final = 4
MOST_COLUMNS: Final = 78
"""Of a sentence that is said before the screen is there."""


class Head(Widget):
    """What is shown, at the left; where it stands, at the right."""

    DEFAULT_CSS = "Head { height: 1; padding: 0 1; }"

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.title = title
        self.facts = ""
        self.place = ""

    def say(self, title: str, facts: str = "", place: str = "") -> None:
        self.title, self.facts, self.place = tame(title), tame(facts), tame(place)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        left = f"{self.title}  {self.facts}" if self.facts else self.title
        room = width - columns(self.place) - 2
        if room < 12:
            return strip_of([(fitted(self.title, width), BAR)], width)
        title = self.title if columns(self.title) <= room else fitted(self.title, room)
        facts = fitted(left, room)[len(title) :] if columns(self.title) <= room else ""
        return strip_of([(title, BAR), (facts + "  ", PLAIN), (self.place, DIM)], width)


class Said(Widget):
    """A sentence about what happened, until the next key, on as many lines as it needs; else one line for a word about
    what is chosen, mostly empty."""

    DEFAULT_CSS = "Said { height: 1; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._sentence: list[Line] = []
        self._hint: list[Piece] = []

    def tell(self, sentence: str) -> None:
        self._say(sentence, PLAIN)

    def warn(self, sentence: str) -> None:
        """Something did not go well."""
        self._say(f"! {sentence}", WARNING)

    def forget(self) -> None:
        self._sentence = []
        self._fit()

    def hint(self, pieces: Sequence[Piece]) -> None:
        """Shown while no sentence is."""
        self._hint = list(pieces)
        self.refresh()

    def _say(self, sentence: str, style: Style) -> None:
        width = self.content_size.width or MOST_COLUMNS
        self._sentence = [[(line, style)] for line in wrapped(tame(sentence), width)[:MOST_LINES]]
        self._fit()

    def _fit(self) -> None:
        self.styles.height = max(len(self._sentence), 1)
        self.refresh()

    @property
    def text(self) -> str:
        lines = self._sentence or [self._hint]
        return " ".join("".join(text for text, _ in line) for line in lines)

    def render_line(self, y: int) -> Strip:
        lines = self._sentence or [self._hint]
        return strip_of(lines[y] if y < len(lines) else [], self.content_size.width)


class Foot(Widget):
    """The keys of this screen, as many as there is room for; help and the way back always."""

    DEFAULT_CSS = "Foot { height: 1; padding: 0 1; }"

    def __init__(self, keys: Sequence[Key], last: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys
        self._last = list(last)
        self._writing = ""

    def while_writing(self, word: str) -> None:
        """What Enter does while something is written; empty: nothing is written any more."""
        self._writing = word
        self.refresh()

    def say(self, back: str) -> None:
        """Where `q` leads now."""
        self._last[-1] = (self._last[-1][0], back)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        if self._writing:
            return strip_of([("↵", KEY), (f" {self._writing}  ", PLAIN), ("Esc", KEY), (" leave it", PLAIN)], width)
        last = self._last
        room = width - sum(columns(shown) + columns(word) + 3 for shown, word in last) + 2
        shown = []
        for key in self._keys:
            name = key.shown.split()[0].replace("Enter", "↵")
            wide = columns(name) + columns(key.word) + 3
            if key.word and key not in ALWAYS and wide <= room:
                room -= wide
                shown.append((name, key.word))
        pieces: list[Piece] = []
        for name, word in (*shown, *last):
            pieces += [("  " if pieces else "", PLAIN), (name, KEY), (f" {word}", PLAIN)]
        return strip_of(pieces, width)
