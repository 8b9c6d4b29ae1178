"""How things look: the sixteen colours of the terminal itself, bold, dim and reverse. No colour says something alone.

With NO_COLOR the colours go and the rest stays: unread is bold and has a dot, what is chosen is reversed, a warning
begins with an exclamation mark.
"""

from __future__ import annotations

from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from postoffice.tui.cells import columns, fitted

PLAIN: Final = Style()
DIM: Final = Style(dim=True)
BOLD: Final = Style(bold=True)
CHOSEN: Final = Style(reverse=True)
EVEN: Final = Style(dim=False, color="default")
BAR: Final = Style(bold=True)
KEY: Final = Style(bold=True, color="cyan")
DOT: Final = Style(bold=True, color="cyan")
FLAGGED: Final = Style(bold=True, color="yellow")
WARNING: Final = Style(bold=True, color="yellow")
QUOTED: Final = Style(color="cyan")
FOUND: Final = Style(bold=True, underline=True)

Piece = tuple[str, Style]
"""A tame text, and how it looks."""

Line = list[Piece]


def strip_of(pieces: list[Piece], width: int, base: Style = PLAIN) -> Strip:
    """Exactly so wide: what does not fit is cut, what is left is blank. What is reversed has one colour."""
    segments, left = [], width
    over = EVEN if base.reverse else PLAIN
    for text, style in pieces:
        shown = text if columns(text) <= left else fitted(text, left)
        if shown:
            segments.append(Segment(shown, base + style + over))
        left -= columns(shown)
        if left <= 0:
            break
    if left > 0:
        segments.append(Segment(" " * left, base))
    return Strip(segments, width)


def in_the_middle(lines: list[str], y: int, width: int, height: int) -> Strip:
    """Line `y` of a page on which there is nothing but these few lines: the first one plain, the others dim."""
    index = y - max((height - len(lines)) // 2 - 1, 0)
    if not 0 <= index < len(lines):
        return strip_of([], width)
    text = fitted(lines[index], width).rstrip()
    return strip_of([(" " * ((width - columns(text)) // 2) + text, DIM if index else PLAIN)], width)
