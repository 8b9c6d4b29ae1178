"""A letter has the same parts in whatever portions it comes, and each part has the octets between its delimiters."""

from __future__ import annotations

import base64
import binascii
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.message.mime.test_view import PIECES

from postoffice.message.mime.decoding import decoded, decoder
from postoffice.message.mime.describing import describe
from postoffice.message.mime.parts import Outline, parts

LETTERS = st.lists(PIECES, max_size=30).map(b"".join)


@given(LETTERS, st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_portions_do_not_count(octets: bytes, sizes: list[int]) -> None:
    outline, position, number = Outline(), 0, 0
    while position < len(octets):
        size = sizes[number % len(sizes)]
        outline.feed(octets[position : position + size])
        position, number = position + size, number + 1
    whole = list(parts(octets))
    assert [(one.place, one.kind, one.begin, one.end) for one in outline.end()] == [
        (one.place, one.kind, one.begin, one.end) for one in whole
    ]
    assert all(0 <= one.begin <= one.end <= len(octets) for one in whole)


NESTED = (
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n"
    b"--a\r\n\r\none\r\n"
    b'--a\r\nContent-Type: multipart/alternative; boundary="b c"\r\n\r\n'
    b"--b c\r\nContent-Type: text/plain\r\n\r\ntwo\r\n.\r\n"
    b"--b c  \r\nContent-Type: text/html\r\n\r\n<p>two\r\n"
    b"--b c--\r\nepilogue\r\n"
    b"--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nthree\r\n"
    b"--a--\r\n--a\r\n\r\nnothing\r\n"
)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_places_kinds_and_octets(line_end: bytes) -> None:
    found = list(parts(NESTED.replace(b"\r\n", line_end)))
    assert [(one.place, one.kind, one.encoded.replace(b"\r\n", b"\n")) for one in found] == [
        ((1,), "text/plain", b"one"),
        ((2, 1), "text/plain", b"two\n."),
        ((2, 2), "text/html", b"<p>two"),
        ((3,), "message/rfc822", b"Subject: in\n\nthree"),
        ((3, 1), "text/plain", b"three"),
    ]
    assert found[1].within == ("multipart/mixed", "multipart/alternative")


def test_the_delimiter_of_what_is_around_ends_what_is_not_closed() -> None:
    octets = NESTED.replace(b"--b c--\r\nepilogue\r\n", b"")
    assert [one.place for one in parts(octets)] == [(1,), (2, 1), (2, 2), (3,), (3, 1)]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'Content-Type: a/b; name="x.txt"', "x.txt"),
        (b"Content-Type: a/b; name=x.txt", "x.txt"),
        (b'Content-Disposition: attachment; filename="a \\"b\\".txt"', 'a "b".txt'),
        (b"Content-Disposition: attachment; filename*=utf-8'vi'%E1%BA%A3nh.png; filename=x", "ảnh.png"),
        (b"Content-Disposition: attachment;\r\n filename*0*=iso-8859-1''caf%E9;\r\n filename*1=.txt", "café.txt"),
        (b'Content-Disposition: attachment; filename="=?utf-8?B?4bqjbmg=?=.png"', "ảnh.png"),
        ('Content-Disposition: attachment; filename="ảnh.png"'.encode(), "ảnh.png"),
        (b'Content-Type: a/b; name="y"\r\nContent-Disposition: inline; filename="x"', "x"),
        (b"Content-Type: a/b; name", ""),
        (b"Content-Type: a/b; name*5*=x; name*=", "x"),
        (b"Content-Type: a/b", ""),
    ],
)
def test_names(head: bytes, name: str) -> None:
    assert describe(head + b"\r\n").name == name


@pytest.mark.parametrize(
    ("head", "kind", "boundary"),
    [
        (b'Content-Type: Multipart/Mixed; boundary="a b "', "multipart/mixed", b"a b"),
        (b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b", "multipart/mixed", b"ab"),
        (b"Content-Type: multipart/mixed; boundary*=us-ascii''a%20b", "multipart/mixed", b"a b"),
        (b"Content-Type: multipart/mixed; charset*0=x; boundary=a", "multipart/mixed", b"a"),
        (b"Content-Type: text", "text/plain", b""),
        (b"Content-Type: ;x/y", "text/plain", b""),
        (b"Content-Type:\r\n text/html ; charset=x", "text/html", b""),
    ],
)
def test_kinds_and_boundaries(head: bytes, kind: str, boundary: bytes) -> None:
    description = describe(head + b"\r\n")
    assert (description.kind, description.boundary) == (kind, boundary)


@given(st.binary(max_size=300))
def test_any_description(head: bytes) -> None:
    describe(b"Content-Type: multipart/x; " + head)
    describe(head)


ENCODINGS = st.sampled_from(["base64", "quoted-printable", "x-uuencode", "8bit", "no-such"])


@given(
    st.binary(max_size=200) | st.text(alphabet="AB=\n\r +/", max_size=80).map(str.encode), ENCODINGS, st.integers(1, 9)
)
def test_encodings_in_portions(octets: bytes, encoding: str, size: int) -> None:
    one = decoder(encoding)
    found = b"".join(one.feed(octets[at : at + size]) for at in range(0, len(octets), size)) + one.end()
    if encoding != "base64" or octets.count(b"=") < 2:
        assert found == decoded(octets, encoding)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_quoted_printable_in_portions_is_what_it_is_as_a_whole(size: int) -> None:
    for length in range(5):
        for octets in map(bytes, product(b"=\r\n4A ", repeat=length)):
            one = decoder("quoted-printable")
            found = b"".join(one.feed(octets[at : at + size]) for at in range(0, length, size)) + one.end()
            assert found == binascii.a2b_qp(octets), octets


@given(st.binary(max_size=300), st.integers(1, 90))
def test_what_is_well_encoded_comes_back(octets: bytes, size: int) -> None:
    lines = [octets[at : at + 45] for at in range(0, len(octets), 45)]
    uuencoded = b"begin 644 x\n" + b"".join(binascii.b2a_uu(line) for line in lines) + b"`\nend\n"
    for encoding, encoded in (
        ("base64", base64.encodebytes(octets)),
        ("quoted-printable", binascii.b2a_qp(octets, istext=False)),
        ("x-uuencode", uuencoded),
    ):
        one = decoder(encoding)
        found = b"".join(one.feed(encoded[at : at + size]) for at in range(0, len(encoded), size)) + one.end()
        assert found == octets


def test_base64_that_was_encoded_piece_by_piece() -> None:
    assert decoded(b"YQ==\r\nYg==\r\nYw==", "base64") == b"abc"
