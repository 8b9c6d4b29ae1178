"""Every key and every mark, on one page."""

from __future__ import annotations

from collections.abc import Sequence

from postoffice.tui.cells import fitted
from postoffice.tui.face import Paged
from postoffice.tui.keys import ALWAYS, ATTACHMENTS, CHOOSING, LETTER, LINKS, LIST, MARKING, MOVING, Key, bindings
from postoffice.tui.look import BOLD, DOT, FLAGGED, KEY, PLAIN, WARNING, Line
from postoffice.tui.page import Page

_MARKS = (
    (("•", DOT), "not read yet"),
    (("!", FLAGGED), "flagged"),
    (("@", PLAIN), "something is attached"),
    (("! …", WARNING), "in a letter: a warning; look twice"),
)


class Help(Paged):
    """All of it."""

    KEYS = MOVING
    BINDINGS = bindings(ALWAYS, MOVING)

    def __init__(self) -> None:
        super().__init__()
        self.page = Page(_lines())
        self.head.say("Help")

    def action_help(self) -> None:
        """It is open."""


def _lines() -> list[Line]:
    shared = {*MARKING, *MOVING}
    lines: list[Line] = []
    for title, keys in (
        ("In the list", [key for key in LIST if key not in shared]),
        ("In a letter", [key for key in LETTER if key not in shared]),
        ("In the list and in a letter", MARKING),
        ("Among folders", [key for key in CHOOSING if key not in shared]),
        ("Among links", [key for key in LINKS if key not in shared]),
        ("Among attachments", [key for key in ATTACHMENTS if key not in shared]),
        ("To move", MOVING),
        ("Everywhere", ALWAYS),
    ):
        lines += _table(title, keys)
    lines += [[("Marks", BOLD)]]
    return lines + [[("  ", PLAIN), (fitted(mark, 11), style), (f" {what}", PLAIN)] for (mark, style), what in _MARKS]


def _table(title: str, keys: Sequence[Key]) -> list[Line]:
    rows: list[Line] = [[("  ", PLAIN), (fitted(key.shown, 11), KEY), (f" {key.what}", PLAIN)] for key in keys]
    return [[(title, BOLD)], *rows, []]
