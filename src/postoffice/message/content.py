"""What a letter *is*: immutable octets with canonical CRLF line ends, named by their SHA-256.

A letter is kept in the form in which it travels (wire form: a dot before every line that begins with one, no final
dot line), so that neither delivery nor RETR changes an octet; its name and its size are those of the content
itself, before that (RFC 1939 §11). What an office writes above a letter (Return-Path, Received) is a *prefix* of
the delivery and never touches the content.
"""

import hashlib
from io import IncrementalNewlineDecoder
from operator import methodcaller
from typing import NamedTuple

_BEGINS_WITH_DOT = methodcaller("startswith", b".")

HEAD_OCTETS = 64 * 1024
"""How much of a letter's beginning is looked at: the header, or the part of it that counts."""


class Content(NamedTuple):
    """The facts of one content.

    `octets` counts the content itself, `wire_octets` its wire form. `has_ascii_header` tells whether all octets
    before the first empty line are ASCII, so that the letter needs no surrogate (RFC 6856 §2.1).
    """

    sha256: bytes
    octets: int
    wire_octets: int
    has_dot_lines: bool
    has_ascii_header: bool


class ContentDigest:
    """The SHA-256 of a content, from a letter as it is given out: behind a prefix of so many octets."""

    __slots__ = ("_above", "_hash")

    def __init__(self, prefix_octets: int) -> None:
        self._hash = hashlib.sha256()
        self._above = prefix_octets

    def add(self, plain: bytes) -> None:
        """The next octets of the letter, un-stuffed."""
        self._hash.update(plain[self._above :])
        self._above = max(0, self._above - len(plain))

    def digest(self) -> bytes:
        return self._hash.digest()


class ContentReader:
    """Takes a letter's wire form chunk by chunk and learns the facts of it.

    Chunks are as `DotReader` gives them: a line that begins with a dot lies in one chunk with the CRLF before it.
    `has_bare_line_ends` becomes true with the first LF without CR, or CR without LF; None where nobody looks at them.
    """

    __slots__ = (
        "_dots",
        "_first",
        "_hash",
        "_header_tail",
        "_is_ascii_behind",
        "_octets",
        "_wire_octets",
        "has_bare_line_ends",
        "head",
    )

    def __init__(self, *, looks_at_line_ends: bool = False) -> None:
        self._hash = hashlib.sha256()
        self._octets = 0
        self._wire_octets = 0
        self._dots = False
        self._first = True
        self._header_tail: bytes | None = None  # its last octets, while a header goes on behind the head
        self._is_ascii_behind = True
        self.has_bare_line_ends = False if looks_at_line_ends else None
        self.head = b""

    def add(self, wire: bytes) -> bytes:
        """One more chunk; gives the octets to keep, which differ from it only where the sender forgot a dot."""
        if not wire:
            return wire
        plain = wire
        first, self._first = self._first, False
        if _has_dot_lines(wire, at_line_start=first):
            plain, wire = _restuff(wire, at_line_start=first)
            self._dots = self._dots or _has_dot_lines(wire, at_line_start=first)
        self._hash.update(plain)
        self._octets += len(plain)
        self._wire_octets += len(wire)
        if self.has_bare_line_ends is False:
            self.has_bare_line_ends = _has_bare_line_ends(plain)
        if len(self.head) < HEAD_OCTETS:
            room = HEAD_OCTETS - len(self.head)
            self.head += plain[:room]
            if len(plain) >= room and not self._ends_in_head():
                self._header_tail = self.head[-3:]
                self._look_behind(plain[room:])
        elif self._header_tail is not None:
            self._look_behind(plain)
        return wire

    @property
    def octets(self) -> int:
        """How many octets of the content have come."""
        return self._octets

    def content(self) -> Content:
        is_ascii = self._is_ascii_behind and _header(self.head).isascii()
        return Content(self._hash.digest(), self._octets, self._wire_octets, self._dots, is_ascii)

    def _ends_in_head(self) -> bool:
        return self.head.startswith(b"\r\n") or b"\r\n\r\n" in self.head

    def _look_behind(self, plain: bytes) -> None:
        """A header of more than 64 KiB goes on: is it ASCII, and does it end here?"""
        assert self._header_tail is not None
        joined = self._header_tail + plain
        end = joined.find(b"\r\n\r\n")
        header = joined if end < 0 else joined[:end]
        self._is_ascii_behind = self._is_ascii_behind and header.isascii()
        self._header_tail = None if end >= 0 else joined[-3:]


def read_whole(wire: bytes) -> tuple[Content, bytes, bytes]:
    """The facts of a letter that is here whole, its head, and the octets to keep: what a reader learns, and quicker. Of
    the head no more than the header, with the empty line that ends it, where it has both."""
    if len(wire) > HEAD_OCTETS or not wire:
        reader = ContentReader()
        kept = reader.add(wire)
        return reader.content(), reader.head, kept
    plain = kept = wire
    has_dots = _has_dot_lines(wire, at_line_start=True)
    if has_dots:
        plain, kept = _restuff(wire, at_line_start=True)
        has_dots = kept is wire or _has_dot_lines(kept, at_line_start=True)
    header = _header(plain)
    head = plain[: len(header) + 4] if header else plain
    content = Content(hashlib.sha256(plain).digest(), len(plain), len(kept), has_dots, header.isascii())
    return content, head, kept


def _header(head: bytes) -> bytes:
    """The header as far as it lies in the head."""
    if head.startswith(b"\r\n"):
        return b""
    end = head.find(b"\r\n\r\n")
    return head if end < 0 else head[:end]


def _has_bare_line_ends(plain: bytes) -> bool:
    """What notes the kinds of line ends for text files does it for us, at a fifth of what searching costs."""
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(plain.decode("latin-1"), final=True)
    return decoder.newlines not in (None, "\r\n")


def _has_dot_lines(wire: bytes, *, at_line_start: bool) -> bool:
    return b"\r\n." in wire or (at_line_start and wire.startswith(b"."))


def _restuff(wire: bytes, *, at_line_start: bool) -> tuple[bytes, bytes]:
    """The content of a chunk, and its proper wire form."""
    first, *others = wire.split(b"\r\n.")
    is_stuffed = all(map(_BEGINS_WITH_DOT, others))
    if at_line_start and first.startswith(b"."):
        is_stuffed = is_stuffed and first.startswith(b"..")
        first = first[1:]
    plain = b"\r\n".join([first, *others])
    if is_stuffed:  # as it nearly always is
        return plain, wire
    dotted = [b"." + first if at_line_start and first.startswith(b".") else first]
    dotted += [b"." + other if other.startswith(b".") else other for other in others]
    return plain, b"\r\n".join(dotted)
