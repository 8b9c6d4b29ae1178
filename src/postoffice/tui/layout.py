"""A letter as lines of a page. Pure: what it says comes from `message`, how wide it is from the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from postoffice.client.reading import LOOK_OCTETS, View, view
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.tui.cells import fitted, tame, wrapped
from postoffice.tui.look import BOLD, DIM, PLAIN, QUOTED, WARNING, Line, Piece

READING_COLUMNS: Final = 100
"""Lines are not longer than that: nobody reads across a whole wall."""

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
    head = octets[:HEAD_OCTETS]
    headers = tuple(
        (header.safe(header.text_of(field.name, "utf-8")), header.safe(header.text_of(value, "utf-8")))
        for field in header.fields(head)
        for value in (header.unfolded(field.value).strip(b" \t\r\n"),)
    )
    return Content(view(octets[:LOOK_OCTETS]), headers, len(octets), is_whole)


class Layout:
    """One letter at one width."""

    LOOK_OCTETS: ClassVar[int] = LOOK_OCTETS

    def __init__(self, content: Content, width: int, *, shows_headers: bool) -> None:
        self._content = content
        self._width = min(width, READING_COLUMNS)
        self._shows_headers = shows_headers

    def lines(self) -> list[Line]:
        return [*self._fields(), *self._warnings(), [], *self._text(), *self._attachments(), *self._end()]

    def _fields(self) -> Iterator[Line]:
        for name, value in self._content.headers if self._shows_headers else self._content.view.fields:
            room = self._width - _NAME_COLUMNS
            first, *others = wrapped(tame(value), room)
            label = tame(name)
            style = BOLD if name == "Subject" else PLAIN
            if self._shows_headers and len(label) >= _NAME_COLUMNS:
                yield [(label, DIM)]
                others, first = [first, *others], ""
            if first or not others:
                yield [(fitted(label, _NAME_COLUMNS), DIM), (first, style)]
            for line in others:
                yield [(" " * _NAME_COLUMNS, PLAIN), (line, style)]

    def _warnings(self) -> Iterator[Line]:
        return iter(())

    def _text(self) -> Iterator[Line]:
        lines = self._content.view.text.rstrip("\n").split("\n")
        for line in lines:
            tamed = tame(line)
            style = QUOTED if tamed.startswith(">") else PLAIN
            for piece in wrapped(tamed, self._width):
                yield [(piece, style)]

    def _attachments(self) -> Iterator[Line]:
        attachments = self._content.view.attachments
        if attachments:
            yield []
            yield [("Attached", DIM), ("  a looks at them and saves them", DIM)]
        for number, one in enumerate(attachments, 1):
            pieces: list[Piece] = [(f"{number:>3}  ", DIM), (tame(one.name), PLAIN)]
            yield [*pieces, (f"  {tame(one.kind)}, {size(one.octets)}", DIM)]

    def _end(self) -> Iterator[Line]:
        if not self._content.is_whole:
            yield []
            yield [(f"! only the first {size(self._content.octets)} are shown", WARNING)]


def size(octets: int) -> str:
    """For people: `812 octets`, `14 kB`, `3.2 MB`."""
    if octets < 1000:
        return f"{octets} octet{'' if octets == 1 else 's'}"
    for unit in ("kB", "MB"):
        octets_in_unit = octets / (1000 if unit == "kB" else 1_000_000)
        if octets_in_unit < 1000:
            return f"{octets_in_unit:.1f} {unit}" if octets_in_unit < 10 else f"{octets_in_unit:.0f} {unit}"
    return f"{octets / 1_000_000_000:.1f} GB"
