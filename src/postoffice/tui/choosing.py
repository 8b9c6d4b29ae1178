"""One of several: folders, links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from textual import events
from textual.widget import Widget

from postoffice.tui.cells import fitted, tame, wrapped
from postoffice.tui.face import Paged, told
from postoffice.tui.keys import ALWAYS, CHOOSING, LINKS, bindings
from postoffice.tui.layout import link_lines
from postoffice.tui.look import BOLD, DIM, PLAIN, Line
from postoffice.tui.page import Choice

if TYPE_CHECKING:
    from postoffice.message.mime.view import ShownLink

SHOWN_LINES: Final = 2
"""Of the text of a link."""


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


class Wrapping(Choosing):
    """One whose entries are set anew for each width."""

    def entries(self, width: int) -> list[list[Line]]:
        """The lines of each, of no more than so many columns."""
        raise NotImplementedError

    async def begin(self) -> None:
        self._offer()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._offer)

    def _offer(self) -> None:
        self.page.offer(self.entries(self.page.entry_columns), self.page.chosen)


class Links(Wrapping):
    """Every link of a letter, whole."""

    KEYS = LINKS
    BINDINGS = bindings(ALWAYS, LINKS)

    def __init__(self, links: Sequence[ShownLink]) -> None:
        super().__init__(["No link"])
        self._links = links
        self.head.say("Links", counted(len(links), "link"))

    def entries(self, width: int) -> list[list[Line]]:
        return [self._lines(link, width) for link in self._links]

    def _lines(self, link: ShownLink, width: int) -> list[Line]:
        said = wrapped(f"shown as “{tame(link.text)}”", width - 4)[:SHOWN_LINES] if link.text else []
        return [*link_lines(link, width), *([("    ", PLAIN), (line, DIM)] for line in said)]

    @told
    async def action_copy(self) -> None:
        """By the terminal, wherever it is (OSC 52); many do so, some ask, some do not."""
        self.app.copy_to_clipboard(self._links[self.page.chosen].address)
        self.said.tell("copied, if this terminal lets programs copy; the address was not opened")


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
