"""Lines come out the same in whatever portions they come in, and memory is bounded."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.protocols.lines import BARE_LF, NEED_DATA, TOO_LONG, LineReader, Oddity

OCTETS = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"word", b" ", b"\x00", b"a line of some length"]), max_size=24
).map(b"".join)
CUTS = st.lists(st.integers(0, 200), max_size=12)
LIMIT = 16


def portions(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    return [octets[a:b] for a, b in itertools.pairwise(places)]


def taken(reader: LineReader) -> list[bytes | Oddity]:
    lines: list[bytes | Oddity] = []
    while (line := reader.take()) is not NEED_DATA:
        lines.append(line)
    return lines


def expected(octets: bytes, strict: bool) -> list[bytes | Oddity]:
    """The definition, on the whole."""
    lines: list[bytes | Oddity] = []
    for line in octets.split(b"\n")[:-1]:
        if len(line) + 1 > LIMIT:
            lines.append(TOO_LONG)
        elif line.endswith(b"\r"):
            lines.append(line[:-1])
        else:
            lines.append(BARE_LF if strict else line)
    return lines


@given(OCTETS, CUTS, st.booleans())
def test_any_split_gives_the_same_lines(octets: bytes, cuts: list[int], strict: bool) -> None:
    reader = LineReader(LIMIT, strict=strict)
    lines: list[bytes | Oddity] = []
    for piece in portions(octets, cuts):
        reader.receive(piece)
        lines += taken(reader)
        assert len(reader) < LIMIT
    assert lines == expected(octets, strict)


@given(OCTETS, CUTS, st.booleans())
def test_portions_that_pile_up_give_the_same_lines(octets: bytes, cuts: list[int], strict: bool) -> None:
    reader = LineReader(LIMIT, strict=strict)
    for piece in portions(octets, cuts):
        reader.receive(piece)
    assert taken(reader) == expected(octets, strict)


@given(OCTETS, st.integers(0, 10))
def test_what_was_not_taken_comes_out_whole(octets: bytes, lines: int) -> None:
    reader = LineReader(1 << 20)
    reader.receive(octets)
    for _ in range(min(lines, octets.count(b"\n"))):
        reader.take()
    rest = b"\n".join(octets.split(b"\n")[min(lines, octets.count(b"\n")) :])
    assert len(reader) == len(rest)
    assert reader.take_all() == rest
    assert len(reader) == 0
    assert reader.take() is NEED_DATA


@pytest.mark.parametrize(("size", "fits"), [(LIMIT, True), (LIMIT + 1, False)])
def test_the_limit_counts_the_line_end(size: int, fits: bool) -> None:
    text = b"x" * (size - 2)
    for pieces in ([text + b"\r\n"], [text, b"\r", b"\n"], [text[:5], text[5:] + b"\r", b"\n"]):
        reader = LineReader(LIMIT, strict=True)
        lines = []
        for piece in pieces:
            reader.receive(piece)
            lines += taken(reader)
        assert lines == [text if fits else TOO_LONG]


def test_an_endless_line_is_thrown_away_as_it_comes() -> None:
    reader = LineReader(LIMIT)
    for _ in range(1000):
        reader.receive(b"x" * 1000)
        assert reader.take() is NEED_DATA
        assert len(reader) == 0
    reader.receive(b"\r\nNOOP\r\n")
    assert taken(reader) == [TOO_LONG, b"NOOP"]
