"""A letter as lines of a page. Pure: what it says comes from `message`, how wide it is from the terminal.

From, To, Date, Subject     or every line of the header
! what is wrong with it     of the letter, its links, its attachments: where it is seen before the text is read
the text                    a mark [3] stands where the third link is
links                       each with its whole address
attachments                 each with its size
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postoffice.message import header
from postoffice.message.charsets import text_of
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.mime.view import Attachment, ShownLink, View, view
from postoffice.message.printable import safe
from postoffice.quantities import size
from postoffice.tui.cells import fitted, tame, wrapped
from postoffice.tui.look import BOLD, DIM, KEY, PLAIN, QUOTED, WARNING, Line, Piece

READING_COLUMNS: Final = 100
"""Lines are not longer than that: nobody reads across a whole wall."""

WARNINGS: Final = 8
"""So many stand above the text; all stand beside what they are about."""

SHOWN_CHARACTERS: Final = 1_000_000
"""Of a text: a book has as many."""

HEADER_LINES: Final = 2000
"""Of a hostile header: nobody reads the others."""

_NAME_COLUMNS: Final = 9


@dataclass(frozen=True, slots=True)
class Content:
    """A letter taken apart: what is shown of it, every line of its header, and how much of it was looked at."""

    view: View
    headers: tuple[tuple[str, str], ...]
    octets: int
    is_whole: bool


def content_of(octets: bytes, *, is_whole: bool) -> Content:
    """Never raises, and takes its time for a large letter."""
    headers = []
    for field in header.fields(octets[:HEAD_OCTETS]):
        value = header.unfolded(field.value).strip(b" \t\r\n")
        headers.append((safe(text_of(field.name, "utf-8")), safe(text_of(value, "utf-8"))))
        if len(headers) == HEADER_LINES:
            break
    return Content(view(octets, is_cut=not is_whole), tuple(headers), len(octets), is_whole)


def lines_of(content: Content, width: int, *, shows_headers: bool) -> list[Line]:
    """The whole page at one width."""
    width = min(width, READING_COLUMNS)
    shown = content.view
    lines = list(_fields(content.headers if shows_headers else shown.fields, width, shows_headers=shows_headers))
    lines += _attached_line(shown.attachments, width)
    lines += _warnings(shown, width)
    lines += [[], *_text(shown.text[:SHOWN_CHARACTERS], width)]
    if len(shown.text) > SHOWN_CHARACTERS:
        lines += [[], [(f"! Only the first {SHOWN_CHARACTERS:,} characters of the text are shown.", WARNING)]]
    if shown.links:
        lines += [[], [("Links", BOLD)]]
        lines += [line for link in shown.links for line in link_lines(link, width)]
    if shown.attachments:
        lines += [[], [("Attached", BOLD)]]
        lines += [line for one in shown.attachments for line in attachment_lines(one, width)]
    if not content.is_whole:
        lines += [[], [(f"! This letter is larger: only its first {size(content.octets)} were looked at.", WARNING)]]
    return lines


def _fields(fields: Iterable[tuple[str, str]], width: int, *, shows_headers: bool) -> Iterator[Line]:
    for name, value in fields:
        label, style = tame(name), BOLD if name == "Subject" else PLAIN
        lines = wrapped(tame(value), width - _NAME_COLUMNS)
        if shows_headers and len(label) >= _NAME_COLUMNS:
            yield [(label, DIM)]
        else:
            yield [(fitted(label, _NAME_COLUMNS), DIM), (lines.pop(0), style)]
        for line in lines:
            yield [(" " * _NAME_COLUMNS, PLAIN), (line, style)]


def _attached_line(attachments: Sequence[Attachment], width: int) -> list[Line]:
    """That there is something below, beside the other facts."""
    files = [one for one in attachments if not one.is_inline]
    if not files:
        return []
    names = ", ".join(tame(one.name) for one in files)
    return [[(fitted("Attached", _NAME_COLUMNS), DIM), (fitted(names, width - _NAME_COLUMNS), PLAIN)]]


def _warnings(shown: View, width: int) -> Iterator[Line]:
    sentences = list(shown.warnings)
    sentences += [f"Attachment {one.number}, {one.name}: {what}" for one in shown.attachments for what in one.warnings]
    sentences += [f"Link {one.number}: {what}" for one in shown.links for what in one.warnings]
    if sentences:
        yield []
    for sentence in sentences[:WARNINGS]:
        yield from _warning(sentence, width, 0)
    if len(sentences) > WARNINGS:
        yield [(f"! and {len(sentences) - WARNINGS} more, below", WARNING)]


def _warning(sentence: str, width: int, indent: int) -> Iterator[Line]:
    first, *others = wrapped(tame(sentence), width - indent - 2)
    yield [(" " * indent + "! " + first, WARNING)]
    for line in others:
        yield [(" " * indent + "  " + line, WARNING)]


def _text(text: str, width: int) -> Iterator[Line]:
    for line in text.rstrip("\n").split("\n"):
        tamed = tame(line)
        style = QUOTED if tamed.startswith(">") else PLAIN
        for piece in wrapped(tamed, width):
            yield [(piece, style)]


def link_lines(link: ShownLink, width: int) -> list[Line]:
    """Its number and its whole address, on as many lines as that takes."""
    mark = f"[{link.number}] "
    first, *others = wrapped(tame(link.address), width - len(mark))
    lines: list[Line] = [[(mark, DIM), (first, PLAIN)]]
    lines += [[(" " * len(mark), PLAIN), (line, PLAIN)] for line in others]
    return [*lines, *(line for what in link.warnings for line in _warning(what, width, len(mark)))]


def attachment_lines(one: Attachment, width: int) -> list[Line]:
    """Its number, name, kind and size."""
    mark = f" {one.number}  "
    seen = ", shown above" if one.is_inline else ""
    least = "at least " if one.is_cut else ""
    facts = f"  {tame(one.kind)}, {least}{size(one.octets)}{seen}"
    pieces: list[Piece] = [(mark, KEY), (tame(one.name), PLAIN), (facts, DIM)]
    return [pieces, *(line for what in one.warnings for line in _warning(what, width, len(mark)))]
