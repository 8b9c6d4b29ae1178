"""Letters that were written to stop whoever takes them apart are taken apart, in bounded time, and never raise."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.home.conftest import Fill
from tests.home.test_search_finds import numbers

from postoffice.home.search.extraction import TEXT_CHARACTERS, extract
from postoffice.home.search.folding import folded
from postoffice.message.mime.parts import PARTS, parts

MIB = 1024 * 1024
SECONDS = 20
"""Each takes less than two, but for a machine on which others work; a square of the octets would take hours."""

HOSTILE = {
    "50,000 parts": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\nhello\r\n" * 50_000,
    "2,000 nestings": b"Subject: deep\r\n"
    + b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(2000)),
    "2,000 letters inside": b"Content-Type: message/rfc822\r\n\r\n" * 2000 + b"a\n" * (3 * MIB),
    "100,000 fields": b"".join(b"X-H%d: x\r\n" % n for n in range(100_000)) + b"\r\nbody",
    "one field": b"Content-Type: text/plain" + b";a" * (4 * MIB) + b"\r\n\r\nbody",
    "one folded field": b"Subject: x\r\n" + b" y\r\n" * (2 * MIB),
    "tags": b"Content-Type: text/html\r\n\r\n" + b"<" * (8 * MIB),
    "comments": b"Content-Type: text/html\r\n\r\n" + b"<!--" * (2 * MIB),
    "lines": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"\n" * (8 * MIB),
    "almost delimiters": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + (b"\n--x" + b" " * 8000 + b"z") * 1000,
    "marks": b"Content-Type: text/plain; charset=utf-8\r\n\r\na" + "\u0301\u0323".encode() * (2 * MIB),
    "what grows": b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "\ufdfa".encode() * MIB,
    "padding": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=\n" * (4 * MIB),
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 4000 + b"\r\n\r\nx",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_it_is_made_of(name: str) -> None:
    began = time.monotonic()
    said = extract(HOSTILE[name][: 8 * MIB])
    said.document()
    assert time.monotonic() - began < SECONDS
    assert len(said.text) <= TEXT_CHARACTERS


def test_parts_beyond_the_bound_are_passed_over() -> None:
    assert len(list(parts(HOSTILE["50,000 parts"]))) == PARTS - 1  # the whole is one of them


def test_what_stands_before_the_trouble_is_found() -> None:
    assert extract(HOSTILE["2,000 nestings"]).subject == "deep"
    assert extract(HOSTILE["one field"]).text == "body"


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    extract(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + octets).document()
    extract(octets).document()


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)).split() == folded(text).split()
    folded(text).encode()


CHARSETS = (
    (b"utf-8", "quoted-printable", "công nợ"),
    (b"gb2312", "base64", "发票"),
    (b"shift_jis", "8bit", "東京"),
    (b"x-unknown", "8bit", "công nợ"),
    (b"utf-7", "8bit", "a"),
)


@pytest.mark.parametrize(("charset", "encoding", "text"), CHARSETS)
async def test_text_is_read_as_it_is_labelled(fill: Fill, charset: bytes, encoding: str, text: str) -> None:
    import binascii

    codec = "utf-8" if charset.startswith(b"x-") else charset.decode()
    octets = text.encode(codec)
    match encoding:
        case "quoted-printable":
            octets = binascii.b2a_qp(octets)
        case "base64":
            octets = binascii.b2a_base64(octets)
    head = b"Content-Type: text/plain; charset=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n"
    path = await fill([head % (charset, encoding.encode()) + octets + b"\r\n"])
    assert await numbers(path, text) == {1}


async def test_half_of_a_pair_is_no_reason_to_stop(fill: Fill) -> None:
    path = await fill([b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA- word\r\n"])
    assert await numbers(path, "word") == {1}
