"""The dot convention: only CRLF . CRLF ends a letter, in whatever portions it comes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postoffice.protocols.dots import END, DotReader, has_dot_lines, stuff, unstuff

WIRE_LIKE = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"x", END]), max_size=24).map(b"".join)
CUTS = st.lists(st.integers(0, 80), max_size=12)


def portions(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    return [octets[a:b] for a, b in itertools.pairwise(places)]


def read(pieces: list[bytes]) -> tuple[list[bytes], bytes | None]:
    """The chunks until the end was seen, and what came behind it."""
    reader = DotReader()
    chunks: list[bytes] = []
    for index, piece in enumerate(pieces):
        chunk = reader.feed(piece)
        if chunk:
            chunks.append(chunk)
        if reader.rest is not None:
            return chunks, reader.rest + b"".join(pieces[index + 1 :])
    return chunks, None


def expected(wire: bytes) -> tuple[bytes, bytes] | None:
    """The definition, on the whole: the letter begins as if a CRLF stood before it."""
    end = (b"\r\n" + wire).find(END)
    if end < 0:
        return None
    return wire[:end], wire[end + 3 :]


@given(WIRE_LIKE, CUTS)
@example(b"\r\n\r\n.x\r\n.\r\nrest", [2, 4])
@example(b".\r\nrest", [1, 2])
@example(b"\r\r\n.\r\n", [1, 3])
def test_any_split_finds_the_same_end(wire: bytes, cuts: list[int]) -> None:
    chunks, rest = read(portions(wire, cuts))
    whole = expected(wire)
    if whole is None:
        assert rest is None
        assert wire.startswith(b"".join(chunks))
        assert len(wire) - len(b"".join(chunks)) <= 4
    else:
        assert (b"".join(chunks), rest) == whole


@given(WIRE_LIKE)
def test_octet_by_octet_finds_the_same_end(wire: bytes) -> None:
    chunks, rest = read([wire[i : i + 1] for i in range(len(wire))])
    whole = expected(wire)
    assert (None if rest is None else (b"".join(chunks), rest)) == whole


@given(WIRE_LIKE, CUTS)
@example(b"\r\n\r\n.x\r\n.\r\n", [4])
@example(b"x\r\r\n.x\r\n.\r\n", [4])
def test_no_chunk_tears_a_line_end_or_a_dot_from_its_line_end(wire: bytes, cuts: list[int]) -> None:
    chunks, _ = read(portions(wire, cuts))
    for before, after in itertools.pairwise(chunks):
        assert not (before.endswith(b"\r") and after.startswith(b"\n"))
        assert not (before.endswith(b"\r\n") and after.startswith(b"."))


@pytest.mark.parametrize(
    "almost",
    [
        b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n\n.\n\n", b"\r\r\n.\n",
        b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n..\r\n", b"\r\n. \r\n", b"\n\r.\n\r", b"\r\n.\r\r\n",
    ],
)  # fmt: skip
def test_nothing_but_crlf_dot_crlf_ends_a_letter(almost: bytes) -> None:
    wire = b"first" + almost + b"MAIL FROM:<smuggler@evil.example>"
    chunks, rest = read([wire + END])
    assert rest == b""
    assert b"".join(chunks) == wire + b"\r\n"


@given(WIRE_LIKE)
def test_unstuffing_undoes_stuffing(plain: bytes) -> None:
    assert unstuff(stuff(plain)) == plain


@given(WIRE_LIKE)
def test_a_stuffed_letter_never_holds_its_own_end(plain: bytes) -> None:
    plain += b"\r\n"
    chunks, rest = read([stuff(plain) + b".\r\n"])
    assert rest == b""
    assert unstuff(b"".join(chunks)) == plain


@given(WIRE_LIKE)
def test_letters_without_dot_lines_are_their_own_wire_form(plain: bytes) -> None:
    assert has_dot_lines(plain) is (stuff(plain) != plain)


def test_an_empty_letter_is_a_dot_line_and_nothing_else() -> None:
    assert read([b".\r\nQUIT\r\n"]) == ([], b"QUIT\r\n")
