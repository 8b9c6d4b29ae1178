"""The parts of a letter (RFC 2046), found by their boundaries alone, in time that grows with its octets and no faster.

    letter in portions ──▶ Outline ──▶ each part: what it is, where it stands, where its octets begin and end

Letters are taken apart that were written to stop whoever does: depth, parts and the length of what describes them are
bounded, and what lies beyond is passed over. An outline holds a header of 64 KiB and one line back, however large a
letter is, so the place of an attachment is known without its octets.

A line ends a part if it is the delimiter of any multipart that is open, the outermost first, as if the letter were cut
at the delimiters of the whole before its parts are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from postoffice.message import header
from postoffice.message.charsets import text_of
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.mime.decoding import decoded
from postoffice.message.mime.describing import BOUNDARY_OCTETS, Description, describe

PARTS: Final = 1000
NESTINGS: Final = 50

HEADS_OCTETS: Final = 1024 * 1024
LEAST_HEAD_OCTETS: Final = 2048
"""So much of the headers of all parts is looked at together; behind that, so much of each."""

LETTER: Final = "message/rfc822"
_LETTERS: Final = (LETTER, "message/global")
_LINE_OCTETS: Final = BOUNDARY_OCTETS + 1000
_EVENT_OCTETS: Final = 4  # of the longest one, with the CR before it
_HEAD_EVENT: Final = re.compile(rb"\n(?:(\r?\n)|--)")
_META_OCTETS: Final = 2048
_META_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_PLAIN_ENCODINGS: Final = ("", "7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that holds no parts, or a letter inside of a letter, which holds them and is one itself.

    `place` counts from 1 on each level, as IMAP does (RFC 9051 §6.4.5): (2, 1) is the first part of the second part.
    `within` are the kinds of what it lies in, of the same length. Its encoded octets are `begin` to `end` of the
    letter. `letter` is where they are; an `Outline` leaves it empty.
    """

    description: Description
    place: tuple[int, ...]
    within: tuple[str, ...]
    begin: int
    end: int
    letter: bytes = field(default=b"", repr=False)

    @property
    def kind(self) -> str:
        return self.description.kind

    @property
    def name(self) -> str:
        """That of a file, as its sender wrote it, decoded; empty if there is none."""
        return self.description.name

    @property
    def content_id(self) -> str:
        """By which HTML names it (RFC 2392), without the angles."""
        return self.description.content_id

    @property
    def is_attached(self) -> bool:
        return self.description.disposition == "attachment" or bool(self.name)

    @property
    def is_letter(self) -> bool:
        """Whether the parts that follow, of longer places, lie in it."""
        return self.kind in _LETTERS and self.description.encoding in _PLAIN_ENCODINGS

    @property
    def encoded(self) -> bytes:
        return self.letter[self.begin : self.end]

    def beginning(self, octets: int) -> bytes:
        """So many of its encoded octets."""
        return self.letter[self.begin : min(self.end, self.begin + octets)]

    def content(self) -> bytes:
        """Its octets as a file."""
        return decoded(self.encoded, self.description.encoding)

    def text(self, octets: int) -> str:
        """The text of its first so many encoded octets. As labelled, and if that cannot be, as well as it goes."""
        content = decoded(self.beginning(octets), self.description.encoding)
        charset = self.description.charset
        if not charset and self.kind == "text/html" and (found := _META_CHARSET.search(content[:_META_OCTETS])):
            charset = found[1].decode()
        return text_of(content, charset)


class Allowance:
    """How much of headers is looked at: of few ones all, of thousands that are long their beginnings."""

    def __init__(self) -> None:
        self._octets = HEADS_OCTETS

    def of(self, octets: bytes) -> bytes:
        """The beginning of what is a header, or begins with one."""
        head = header.header_of(octets[: max(min(self._octets, HEAD_OCTETS), LEAST_HEAD_OCTETS)])
        self._octets -= len(head)
        return head


def _common(delimiters: Sequence[bytes]) -> bytes:
    """What all of them begin with."""
    first, last = min(delimiters), max(delimiters)
    size = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:size]


def parts(letter: bytes) -> Iterator[Part]:
    """Every part of a letter, or of its beginning, in order."""
    outline = Outline()
    outline.feed(letter)
    for part in outline.end():
        yield replace(part, letter=letter)


@dataclass(slots=True)
class _Open:
    """Something that has begun and not ended. `slot` is its place in the list of what was found."""

    place: tuple[int, ...]
    within: tuple[str, ...]
    slot: int
    default: str
    begin: int
    description: Description = field(default_factory=Description)
    delimiter: bytes = b""
    children: int = 0
    has_ended: bool = False


class Outline:
    """Takes a letter in portions and learns where its parts are.

    `is_cut` becomes true where there are more parts, or deeper ones, than are looked for.
    """

    def __init__(self) -> None:
        self._data = b"\n"  # as if a line had ended right before the letter
        self._offset = -1  # where in the letter the data begin
        self._position = 0  # what is before was looked at
        self._found: list[Part | None] = [None]
        self._stack = [_Open((), (), 0, "text/plain", 0)]
        self._delimiters: dict[bytes, int] = {}  # those of multiparts that are open, and where these are on the stack
        self._wanted = b""
        self._begun = 1
        self._in_header = True
        self._head = bytearray()
        self._allowance = Allowance()
        self._head_from = 1  # where in the data the header goes on that is not in `_head` yet
        self.is_cut = False

    @property
    def is_full(self) -> bool:
        """Nothing more is looked for."""
        return self._begun > PARTS

    def feed(self, octets: bytes) -> None:
        self._data += octets
        self._look(is_last=False)

    def end(self) -> list[Part]:
        """The letter ends here. All of its parts, in order."""
        self._look(is_last=True)
        end = self._offset + len(self._data)
        if self._in_header:
            self._take_head(self._data, len(self._data))
            self._head_ends(end)
        self._close(0, end)
        return [part for part in self._found if part is not None]

    def _look(self, *, is_last: bool) -> None:
        data, position = self._data, self._position
        keep = len(data)
        while not self.is_full:
            at, body = self._next_event(data, position)
            if at < 0:
                break
            if body:
                self._take_head(data, at + 1)
                self._head_ends(self._offset + body)
                position = body - 1
                continue
            line_end = data.find(b"\n", at + 1, at + _LINE_OCTETS)
            if line_end < 0:
                if not is_last and len(data) - at < _LINE_OCTETS:
                    keep = max(at - 1, 0)
                    break
                line_end = min(len(data), at + _LINE_OCTETS)
            position = line_end
            self._at_line(data, at, line_end)
        # What may begin something stays, with the octet before it.
        keep = max(min(keep, len(data) - max(_EVENT_OCTETS, len(self._wanted) + 1)), 0)
        position = max(position, keep)
        if self._in_header:
            self._take_head(data, keep)
            self._head_from -= keep
        self._data, self._offset, self._position = data[keep:], self._offset + keep, position - keep

    def _next_event(self, data: bytes, position: int) -> tuple[int, int]:
        """The line feed before a line that may be a delimiter, and 0; or that before an empty line that ends a header,
        and where the body begins. -1 if there is neither."""
        if not self._in_header:
            return (data.find(self._wanted, position) if self._wanted else -1), 0
        found = _HEAD_EVENT.search(data, position)
        return (found.start(), found.end() if found[1] else 0) if found else (-1, 0)

    def _want(self) -> None:
        """In bodies only lines are looked at that begin as all delimiters do."""
        self._wanted = b"\n" + _common(list(self._delimiters)) if self._delimiters else b""

    def _take_head(self, data: bytes, end: int) -> None:
        """The data up to `end` are of the header."""
        room = HEAD_OCTETS - len(self._head)
        if room > 0 and end > self._head_from:
            self._head += data[self._head_from : min(end, self._head_from + room)]
        self._head_from = max(self._head_from, end)

    def _at_line(self, data: bytes, at: int, line_end: int) -> None:
        """A line that begins with two hyphens, behind the line feed at `at`."""
        line = data[at + 1 : line_end].rstrip(b" \t\r")
        index, ends = self._delimiters.get(line), False
        if index is None and line.endswith(b"--"):
            index, ends = self._delimiters.get(line[:-2]), True
        if index is None:
            return
        end = self._offset + (at - 1 if at and data[at - 1 : at] == b"\r" else at)
        if self._in_header:
            self._take_head(data, at + 1)
            self._head_ends(end)
        self._in_header = False
        self._close(index + 1, end)
        around = self._stack[-1]
        if ends:
            del self._delimiters[around.delimiter]
            self._want()
            around.delimiter, around.has_ended = b"", True
            return
        self._begun += 1
        if self.is_full:
            self.is_cut = True
            return
        around.children += 1
        default = LETTER if around.description.kind == "multipart/digest" else "text/plain"
        place, within = (*around.place, around.children), (*around.within, around.description.kind)
        head_from = min(line_end + 1, len(data))
        self._begin(_Open(place, within, len(self._found), default, self._offset + head_from), head_from)

    def _begin(self, one: _Open, head_from: int) -> None:
        self._found.append(None)
        self._stack.append(one)
        self._in_header = True
        self._head.clear()
        self._head_from = head_from

    def _head_ends(self, body: int) -> None:
        """The header of the innermost is known; `body` is where in the letter its body begins."""
        one, head = self._stack[-1], self._allowance.of(bytes(self._head))
        self._in_header = False
        one.description = description = describe(head, one.default)
        is_whole = not one.place or one.within[-1] in _LETTERS
        if is_whole and head.strip() and next(header.fields(head), None) is None:
            return  # a letter without a header: all of it is its text
        one.begin = body
        if description.boundary:
            if self._goes_deeper(one):
                one.delimiter = b"--" + description.boundary
                self._delimiters.setdefault(one.delimiter, len(self._stack) - 1)
                self._want()
        elif description.kind in _LETTERS and description.encoding in _PLAIN_ENCODINGS and self._goes_deeper(one):
            self._begun += 1
            inner = _Open((*one.place, 1), (*one.within, description.kind), len(self._found), "text/plain", body)
            self._begin(inner, body - self._offset)

    def _goes_deeper(self, one: _Open) -> bool:
        may = len(one.place) < NESTINGS and not self.is_full
        self.is_cut = self.is_cut or not may
        return may

    def _close(self, depth: int, end: int) -> None:
        """Everything from this depth of the stack on ends here."""
        while len(self._stack) > depth:
            one = self._stack.pop()
            if one.delimiter and self._delimiters.get(one.delimiter) == len(self._stack):
                del self._delimiters[one.delimiter]
                self._want()
            if one.children or one.has_ended:
                continue
            description = one.description
            if description.kind.startswith("multipart/") and len(one.place) < NESTINGS:
                # It names no delimiter, or one that is not there: what it holds is shown as it is.
                description = replace(description, kind="text/plain", encoding="", charset="")
            self._found[one.slot] = Part(description, one.place, one.within, one.begin, max(one.begin, end))
