"""A content is what the sender meant, whatever dots he forgot; and a line end that is no CRLF is found."""

from __future__ import annotations

import hashlib
import re

from hypothesis import example, given
from hypothesis import strategies as st

from postoffice.message.content import HEAD_OCTETS, ContentReader, read_whole
from postoffice.message.header import header_of
from postoffice.protocols.dots import has_dot_lines, stuff, unstuff

_PIECES = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"\r\n."]), max_size=12)
_OCTETS = _PIECES.map(b"".join)


@given(_OCTETS)
@example(b".\r\n..\r\n.a\r\n\r\n.")
def test_what_is_kept_is_the_proper_wire_form_of_the_content(wire: bytes) -> None:
    reader = ContentReader()
    kept = reader.add(wire)
    plain = unstuff(wire)
    assert kept == stuff(plain)
    facts = reader.content()
    assert (facts.sha256, facts.octets, facts.wire_octets) == (hashlib.sha256(plain).digest(), len(plain), len(kept))
    assert facts.has_dot_lines == has_dot_lines(kept)


@given(_PIECES)
@example([b"a\r\n", b".\r\nb\r\n", b"..\r\n"])
def test_it_is_the_same_in_portions(pieces: list[bytes]) -> None:
    """They end where those of `DotReader` do: never between a CRLF and the dot behind it."""
    portions = [b"\r\n." + piece for piece in pieces]
    whole, one_by_one = ContentReader(), ContentReader()
    kept = whole.add(b"".join(portions))
    assert b"".join([one_by_one.add(portion) for portion in portions]) == kept
    assert one_by_one.content() == whole.content()


@given(_OCTETS)
@example(b"\r\n.\r\n\r\n")
@example(b"Subject: \xe9\r\n\r\n.a\r\n\r\n\xe9")
@example(b"Subject: a\r\n\r\n" + b"..\r\n" * HEAD_OCTETS)
def test_who_has_it_whole_learns_the_same(wire: bytes) -> None:
    reader = ContentReader()
    kept = reader.add(wire)
    content, head, whole = read_whole(wire)
    assert (content, whole) == (reader.content(), kept)
    assert reader.head.startswith(head)
    assert header_of(head) == header_of(reader.head), "the head lacks a part of the header"


@given(_OCTETS)
def test_a_bare_line_end_is_found(octets: bytes) -> None:
    reader = ContentReader(looks_at_line_ends=True)
    reader.add(octets)
    assert reader.has_bare_line_ends == bool(re.search(rb"(?<!\r)\n|\r(?!\n)", unstuff(octets)))


@given(_OCTETS)
def test_a_header_ends_at_the_first_empty_line(head: bytes) -> None:
    lines = head.split(b"\n")
    empty = [index for index, line in enumerate(lines[:-1]) if line in (b"", b"\r")]
    assert header_of(head) == (b"".join([line + b"\n" for line in lines[: empty[0]]]) if empty else head)
