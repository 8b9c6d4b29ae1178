"""Octets become text as they are labelled, and as well as it goes where that cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.charsets import text_of


@pytest.mark.parametrize(
    ("octets", "charset", "text"),
    [
        (b"plain", "us-ascii", "plain"),
        ("công nợ".encode(), "utf-8", "công nợ"),
        ("công nợ".encode(), "", "công nợ"),
        (b"\xef\xbb\xbfx", "utf-8", "x"),
        (b"caf\xe9 \x93x\x94", "iso-8859-1", "café “x”"),
        (b"caf\xe9", "utf-8", "café"),
        (b"C\xf4ng n\xfe", "viscii", "Công nợ"),
        (b"\x02n \x80", "VISCII", "Ẳn Ạ"),
        (b"C\xabng n\xee", "x-viet-tcvn5712", "Công nợ"),
        (b"\x01", "TCVN", "Ú"),
        ("東京".encode("iso-2022-jp"), "iso-2022-jp", "東京"),
        ("발표".encode("cp949"), "ks_c_5601-1987", "발표"),
        ("công nợ, một chữ dài".encode()[:-1], "utf-8", "công nợ, một chữ dài"[:-1]),
        ("công nợ một".encode()[:-2], "utf-8", "công nợ m"),
        (b"\xc3\xa9" * 20 + b"\xff", "utf-8", "é" * 20 + "\ufffd"),
        (b"x", "punycode", "x"),
        (b"x", "zip", "x"),
    ],
)
def test_labels(octets: bytes, charset: str, text: str) -> None:
    assert text_of(octets, charset) == text


@given(
    st.binary(max_size=100),
    st.sampled_from(["", "utf-8", "viscii", "tcvn", "utf-7", "utf-16", "hz", "x"]) | st.text(max_size=8),
)
def test_any_octets_and_labels(octets: bytes, charset: str) -> None:
    assert isinstance(text_of(octets, charset), str)
