"""Every key of the reader, once: what binds it, what the footer shows, what the help and docs/tui.md say of it.

A key that stands first in its table is the last to leave the footer of a narrow terminal; `?` and `q` never do. One
without a `word` works, and stands in the help alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Key:
    """`names` are Textual's, by commas; `shown` is how people see them; `word` the footer's, `what` the help's."""

    names: str
    action: str
    shown: str
    what: str
    word: str = ""


ALWAYS: Final = (
    Key("question_mark,f1", "help", "? F1", "this help", "help"),
    Key("q", "back", "q", "back; out of the list: leave", "quit"),
    Key("escape", "escape", "Esc", "back to the folder, or to the list"),
    Key("ctrl+l", "redraw", "Ctrl-L", "draw the screen anew"),
)

MOVING: Final = (
    Key("down,j", "down", "↓ j", "one down"),
    Key("up,k", "up", "↑ k", "one up"),
    Key("pagedown,space", "turn_down", "PgDn Space", "a page down"),
    Key("pageup,b", "turn_up", "PgUp b", "a page up"),
    Key("home,g", "first", "Home g", "to the beginning"),
    Key("end,G", "last", "End G", "to the end"),
)

MARKING: Final = (
    Key("d,delete", "trash", "d Del", "into the folder Trash, never further", "delete"),
    Key("asterisk", "toggle_flagged", "*", "flagged or not", "flag"),
    Key("u", "toggle_read", "u", "read or unread", "unread"),
    Key("r", "restore", "r", "in Trash: back to INBOX"),
)

LIST: Final = (
    Key("enter,right", "open", "Enter →", "open the letter", "read"),
    Key("slash", "search", "/", "search; the same questions as `postoffice search`", "search"),
    Key("f", "folders", "f", "folders, with how many letters are there and unread", "folders"),
    Key("t", "threads", "t", "conversations together, or one letter after the other", "threads"),
    *MARKING,
    Key("L", "lock", "L", "lock a locked file again, and forget its key"),
    Key("n,tab", "next_unread", "n Tab", "to the next unread letter", "next"),
    *MOVING,
)

LETTER: Final = (
    Key("n,right", "next", "n →", "the next letter of the list", "next"),
    Key("p,left", "previous", "p ←", "the letter before it in the list", "previous"),
    Key("a", "attachments", "a", "attachments: look at them, save them", "attached"),
    Key("l", "links", "l", "every link with its whole address", "links"),
    Key("h", "headers", "h", "every line of the header, or the usual ones", "headers"),
    *MARKING,
    *MOVING,
)

UNLOCKING: Final = (
    Key("enter", "unlock", "Enter", "open it", "unlock"),
    Key("escape", "escape", "Esc", "leave"),
)

CHOOSING: Final = (
    Key("enter,right", "choose", "Enter →", "open this one", "open"),
    *MOVING,
)

LINKS: Final = (
    Key("enter", "copy", "Enter", "copy the address, where the terminal lets programs do so", "copy"),
    *MOVING,
)

ATTACHMENTS: Final = (
    Key("enter,s", "save", "Enter s", "save this one into a folder", "save"),
    Key("A", "save_all", "A", "save all of them", "all"),
    *MOVING,
)


def bindings(*tables: tuple[Key, ...]) -> list[BindingType]:
    """For a screen of Textual's.

    Each key is done with before the next one is looked at (`priority`), also where many come at once, as over a slow
    line: else what is typed behind a `/` would be taken for keys of the list.
    """
    return [Binding(key.names, key.action, key.word, show=False, priority=True) for table in tables for key in table]
