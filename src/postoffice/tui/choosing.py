"""One of several: folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.widget import Widget

from postoffice.tui.cells import fitted, tame
from postoffice.tui.face import Paged
from postoffice.tui.keys import ALWAYS, CHOOSING, bindings
from postoffice.tui.look import BOLD, DIM, PLAIN, Line
from postoffice.tui.page import Choice


class Choosing(Paged):
    """A screen on which one entry of a `Choice` is chosen."""

    def __init__(self, nothing: Sequence[str]) -> None:
        super().__init__()
        self.page: Choice = Choice(nothing)

    def body(self) -> list[Widget]:
        return [self.page]

    def action_down(self) -> None:
        self.page.choose(self.page.chosen + 1)

    def action_up(self) -> None:
        self.page.choose(self.page.chosen - 1)

    def action_turn_down(self) -> None:
        self.page.choose(self.page.chosen + self.page.page_lines)

    def action_turn_up(self) -> None:
        self.page.choose(self.page.chosen - self.page.page_lines)

    def action_first(self) -> None:
        self.page.choose(0)

    def action_last(self) -> None:
        self.page.choose(len(self.page.lines))


class Folders(Choosing):
    """The folders of the file, with what is in them; `opened` is told which one to show."""

    KEYS = CHOOSING
    BINDINGS = bindings(ALWAYS, CHOOSING)

    def __init__(self, folders: Sequence[tuple[str, int, int]], now: str, opened: Callable[[str], None]) -> None:
        super().__init__(["No folder"])
        self._names = [name for name, _, _ in folders]
        self._opened = opened
        self.head.say("Folders")
        self._entries = [_entry(*folder) for folder in folders]
        self._now = self._names.index(now) if now in self._names else 0

    async def begin(self) -> None:
        self.page.offer(self._entries, self._now)

    def action_choose(self) -> None:
        self.app.pop_screen()
        self._opened(self._names[self.page.chosen])


def _entry(name: str, letters: int, unread: int) -> list[Line]:
    weight = BOLD if unread else PLAIN
    return [
        [
            (fitted(tame(name), 28), weight),
            (f"{counted(letters, 'letter'):>18}", DIM),
            (f"{grouped(unread) + ' unread' if unread else '':>18}", weight),
        ]
    ]


def counted(count: int, thing: str) -> str:
    """`1 letter`, `12 345 letters`."""
    return f"{grouped(count)} {thing}{'' if count == 1 else 's'}"


def grouped(number: int) -> str:
    """Digits by threes."""
    return f"{number:,}"
