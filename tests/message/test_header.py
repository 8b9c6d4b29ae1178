"""A header is read as it is (RFC 5322 §2.2), and shown so that nothing in it can harm who reads it."""

from __future__ import annotations

import re
from email.header import Header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postoffice.message.header import Field, count, decoded, fields, first, header_of, name_and_address, unfolded
from postoffice.message.printable import safe

HEAD = (
    b"Received: from a\r\n\tby b; now\r\nsubject : one\r\n two\r\nnot a field\r\n its continuation\r\n"
    b"RECEIVED: from c\r\nReceived-SPF: pass\r\nX:\r\n\r\nReceived: in the body\r\n"
)

pieces = st.sampled_from(
    [
        b"Received",
        b"received",
        b":",
        b" ",
        b"\t",
        b"\r\n",
        b"\n",
        b"\r",
        b"x",
        b"\0",
        b"\xff",
        b"Subject: =?utf-8?q?=41?=",
    ]
)
heads = st.lists(pieces, max_size=30).map(b"".join) | st.binary(max_size=200)
words = st.sampled_from(
    [
        "=?utf-8?q?a_=C6?=",
        "=?utf-8?b?xJE=?=",
        "=?x?b?!?=",
        " ",
        "\r\n ",
        "é",
        "=?unicode_escape?q?=5Cq?=",
        "=?idna?q?a?=",
    ]
)


def test_fields_come_in_order_with_their_folding() -> None:
    assert list(fields(HEAD)) == [
        Field(b"Received", b" from a\r\n\tby b; now"),
        Field(b"subject", b" one\r\n two"),
        Field(b"RECEIVED", b" from c"),
        Field(b"Received-SPF", b" pass"),
        Field(b"X", b""),
    ]


def test_a_name_is_found_in_any_case_and_only_as_a_whole() -> None:
    assert count(HEAD, b"Received") == 2
    assert count(HEAD, b"SUBJECT") == 1
    assert count(HEAD, b"eceived") == 0
    assert first(HEAD, b"Subject") == b"one two"
    assert first(HEAD, b"received") == b"from a\tby b; now"
    assert first(HEAD, b"Date") is None
    assert first(HEAD, b"x") == b""


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_the_header_ends_at_the_first_empty_line(end: bytes) -> None:
    assert header_of(b"A: 1" + end + b"B: 2" + end + end + b"C: 3") == b"A: 1" + end + b"B: 2" + end
    assert header_of(end + b"C: 3") == b""
    assert header_of(b"A: 1") == b"A: 1"
    assert header_of(b"") == b""


@given(heads)
@example(b"\r\n\r\nReceived: x")
@example(b"Received\t : x\n")
def test_counting_and_reading_agree_on_any_octets(head: bytes) -> None:
    named = [field for field in fields(head) if field.name.lower() == b"received"]
    assert count(head, b"Received") == len(named)
    assert first(head, b"RECEIVED") == (unfolded(named[0].value).strip(b" \t\r\n") if named else None)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        ("bằng UTF-8".encode(), "bằng UTF-8"),
        (b"caf\xe9", "café"),
        (b"=?utf-8?q?Th=C6=B0_g=E1=BB=ADi?= x", "Thư gửi x"),
        (b"=?UTF-8?B?VGjGsA==?=", "Thư"),
        (b"=?UTF-8?B?VGjGsA?=", "Thư"),
        (b"=?utf-8?q?=C6?=\r\n =?utf-8?q?=B0?=", "ư"),
        (b"=?utf-8?q?a?= =?iso-8859-1?q?=E9?= b", "aé b"),
        (b"=?utf-8*vi?q?=C6=B0?=", "ư"),
        (b"=?gb2312?b?lkY=?=", "朏"),
        (b"=?iso-2022-jp?b?GyRCJUYlOSVIGyhC?=", "テスト"),
        (b"=?no-such-charset?q?=C6=B0?=", "ư"),
        (b"=?utf-8?b?A?=", "=?utf-8?b?A?="),
        (b"=?utf-8?x?A?=", "=?utf-8?x?A?="),
        (b"a\x1b[31m\x07b", "a\ufffd[31m\ufffdb"),
        (b"=?utf-8?q?a=0D=0Ab=1B?=", "a b\ufffd"),
        ("a\u202eb\u2066".encode(), "a\ufffdb\ufffd"),
    ],
)
def test_a_subject_is_shown_as_its_writer_meant_it(raw: bytes, text: str) -> None:
    assert decoded(b"Subject: " + raw + b"\r\n\r\n", b"Subject") == text


@given(
    st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=120).map(
        lambda t: " ".join(t.split())
    )
)
def test_what_the_standard_library_encodes_is_decoded(text: str) -> None:
    raw = Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n").encode("ascii")
    assert decoded(b"Subject: " + raw + b"\r\n", b"Subject") == safe(text)


@given(heads | st.lists(words, max_size=12).map(lambda parts: "".join(parts).encode()))
def test_any_octets_are_shown_as_one_harmless_line(value: bytes) -> None:
    text = decoded(b"Subject: " + value, b"Subject")
    text.encode()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)


def test_a_letter_without_the_field_shows_nothing() -> None:
    assert decoded(b"", b"Subject") == ""


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("An Nguyễn <an@a.example>, b@b.example", ("An Nguyễn", "an@a.example")),
        ("an@a.example (An)", ("An", "an@a.example")),
        ("(" * 50_000, ("", "")),
        ("a:" * 25_000, ("", "")),
        ("", ("", "")),
    ],
)
def test_who_is_meant_by_a_field(written: str, found: tuple[str, str]) -> None:
    assert name_and_address(written) == found


@given(st.text(alphabet='()<>:;,@"\\[]. a', max_size=200) | st.text())
def test_who_is_meant_by_any_field(written: str) -> None:
    name_and_address(written)
