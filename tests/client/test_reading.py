"""A letter is shown to a person by its text, whatever its sender made of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.client.reading import View, view

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html; charset=x\xff\r\n",
        b"Content-Type: text/plain; charset=utf-7\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Disposition: attachment; filename*=utf-9'x'%ff%1b\r\n",
        b"Subject: =?utf-8?b?G1sy?=\r\n",
        b"\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"<p>=3D=\x1b[2J<script",
        b"\xff\xfe\x00",
        b"=",
    ]
)


@given(st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=200))
def test_any_octets_are_shown_safely(octets: bytes) -> None:
    shown = view(octets)
    words = [shown.text, *(value for _, value in shown.fields), *(one.name + one.kind for one in shown.attachments)]
    assert not any(UNSAFE.search(text) for text in words)


@pytest.mark.parametrize("depth", [2000, 20_000])
@pytest.mark.parametrize("kind", [b'multipart/mixed; boundary="b%d"\r\n\r\n--b%d', b"message/rfc822\r\n"])
def test_what_is_nested_too_deep_is_shown_as_it_is(kind: bytes, depth: int) -> None:
    shown = view(
        b"Subject: deep\r\n"
        + b"".join(b"Content-Type: " + kind.replace(b"%d", b"%d" % level) + b"\r\n" for level in range(depth))
        + b"the end\r\n"
    )
    assert shown.is_raw
    assert shown.fields == (("Subject", "deep"),)
    assert "the end" in shown.text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (b"<p>Hello <b>Bob</b></p><p>1 &lt; 2 &amp; 3</p>", "Hello Bob\n\n1 < 2 & 3\n"),
        (b"a<!-- <p>no > no --> b<br>c", "a b\nc\n"),
        (b"<head><title>no</title></head><style>no{}</style>yes<script>if(a<b)no</script> yes", "yes yes\n"),
        (b"1 < 2 and <3", "1 < 2 and <3\n"),
        (b"<p", "\n"),
    ],
)
def test_a_letter_of_html_alone_is_shown_without_its_tags(html: bytes, text: str) -> None:
    assert view(b"Content-Type: text/html\r\n\r\n" + html) == View((), text)


def test_text_is_decoded_by_its_charset_and_encoding() -> None:
    octets = (
        b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9"
    )
    assert view(octets).text == "café"
