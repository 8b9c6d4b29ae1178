"""A letter is shown to a person by its text, whatever its sender made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.mime.view import View, view

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b'Content-Type: multipart/alternative; boundary="a longer one"\r\n',
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html; charset=x\xff\r\n",
        b"Content-Type: text/plain; charset=utf-7\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Disposition: attachment; filename*=utf-9'x'%ff%1b\r\n",
        b"Subject: =?utf-8?b?G1sy?=\r\n",
        b"From: =?utf-8?q?=E2=80=AE?= <x@xn--80ak6aa92e.com>\r\n",
        b"\r\n",
        b"--b\r\n",
        b"--a longer one\r\n",
        b"--b--\r\n",
        b"--a longer one--",
        b"<p>=3D=\x1b[2J<script",
        b"<table><tr><td>a<td><a href='javascript:\x9b31m'>b</a>",
        b"<a href=\"http://x\xe2\x80\xaey/\">z</a><img alt='\x07'>",
        b"\xff\xfe\x00",
        b"=",
    ]
)


def said(shown: View) -> list[str]:
    """Every text of a view."""
    words = [shown.text, *(value for _, value in shown.fields), *shown.warnings]
    for one in shown.attachments:
        words += [one.name, one.kind, *one.warnings]
    for link in shown.links:
        words += [link.text, link.address, *link.warnings]
    return words


@given(st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=200))
def test_any_octets_are_shown_safely(octets: bytes) -> None:
    assert not any(UNSAFE.search(text) for text in said(view(octets)))
    assert not any(UNSAFE.search(text) for text in said(view(octets, prefers_html=True)))


@pytest.mark.parametrize("depth", [2000, 20_000])
@pytest.mark.parametrize("kind", [b'multipart/mixed; boundary="b%d"\r\n\r\n--b%d', b"message/rfc822\r\n"])
def test_of_what_is_nested_too_deep_the_rest_is_one_attachment(kind: bytes, depth: int) -> None:
    shown = view(
        b"Subject: deep\r\n"
        + b"".join(b"Content-Type: " + kind.replace(b"%d", b"%d" % level) + b"\r\n" for level in range(depth))
        + b"\r\nthe end\r\n"
    )
    assert shown.fields == (("Subject", "deep"),)
    assert shown.attachments or "the end" in shown.text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (b"<p>Hello <b>Bob</b></p><p>1 &lt; 2 &amp; 3</p>", "Hello Bob\n\n1 < 2 & 3\n"),
        (b"a<!-- <p>no > no --> b<br>c", "a b\nc\n"),
        (b"<head><title>no</title></head><style>no{}</style>yes<script>if(a<b)no</script> yes", "yes yes\n"),
        (b"1 < 2 and <3", "1 < 2 and <3\n"),
    ],
)
def test_a_letter_of_html_alone_is_shown_without_its_tags(html: bytes, text: str) -> None:
    assert view(b"Content-Type: text/html\r\n\r\n" + html) == View((), text)


def test_text_is_decoded_by_its_charset_and_encoding() -> None:
    octets = (
        b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9"
    )
    assert view(octets).text == "café\n"


def letter(kind: str, *parts: str) -> bytes:
    """A multipart of parts that are written with their headers."""
    body = "".join(f"--x\r\n{part}\r\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary=x\r\n\r\n{body}--x--\r\n".encode()


PLAIN = "Content-Type: text/plain\r\n\r\nplain words"
HTML = "Content-Type: text/html\r\n\r\n<p>words of <b>HTML</b></p>"
STUB = "Content-Type: text/plain\r\n\r\nSee the other form."
LONG = "Content-Type: text/html\r\n\r\n<p>" + "many words " * 60
BLANK = "Content-Type: text/plain\r\n\r\n \r\n"
FOOTER = "Content-Type: text/plain\r\n\r\nthe list says bye"


@pytest.mark.parametrize(
    ("octets", "there", "missing"),
    [
        (letter("alternative", PLAIN, HTML), ["plain words"], ["HTML"]),
        (letter("alternative", HTML, PLAIN), ["plain words"], ["HTML"]),
        (letter("alternative", BLANK, HTML), ["words of HTML"], []),
        (letter("alternative", STUB, LONG), ["many words"], ["See the other"]),
        (letter("mixed", HTML, FOOTER), ["words of HTML", "the list says bye"], []),
        (letter("mixed", PLAIN, FOOTER), ["plain words", "the list says bye"], []),
    ],
)
def test_of_alternatives_one_is_shown_and_of_other_parts_all(
    octets: bytes, there: Sequence[str], missing: Sequence[str]
) -> None:
    text = view(octets).text
    assert all(words in text for words in there)
    assert not any(words in text for words in missing)


def test_html_is_shown_where_that_is_asked_for() -> None:
    assert "words of HTML" in view(letter("alternative", PLAIN, HTML), prefers_html=True).text


def test_a_letter_in_a_letter_is_shown_below_its_fields_and_is_a_file_as_well() -> None:
    inner = "Content-Type: message/rfc822\r\n\r\nFrom: an@a.example\r\nSubject: inside\r\n\r\nit says"
    shown = view(letter("mixed", PLAIN, inner))
    assert shown.text.split("\n\n") == ["plain words", "-" * 20 + "\nFrom: an@a.example\nSubject: inside", "it says\n"]
    assert [(one.number, one.name, one.kind) for one in shown.attachments] == [(1, "inside", "message/rfc822")]


def test_what_is_attached_is_listed_with_its_size_as_a_file() -> None:
    file = (
        "Content-Type: image/png; name*=utf-8''%E1%BA%A3nh.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo="
    )
    [attachment] = view(letter("mixed", PLAIN, file)).attachments
    assert (attachment.number, attachment.name, attachment.kind, attachment.octets) == (1, "ảnh.png", "image/png", 8)
    assert attachment.warnings == ()


def test_the_only_text_is_shown_even_if_it_has_a_name() -> None:
    shown = view(b"Content-Type: text/plain; name=a.txt\r\n\r\nhello\r\n")
    assert shown.text == "hello\n"
    assert [one.name for one in shown.attachments] == ["a.txt"]


@pytest.mark.parametrize(
    "octets",
    [
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno delimiter anywhere\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\nno delimiter anywhere\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno delimiter anywhere\r\n--x--\r\n",
        b"no delimiter anywhere\r\n",
        b"Content-Type: nonsense\r\n\r\nno delimiter anywhere\r\n",
        b"Content-Type: text/plain; charset=no-such-charset\r\n\r\nno delimiter anywhere\r\n",
        b"Content-Transfer-Encoding: no-such-encoding\r\n\r\nno delimiter anywhere\r\n",
    ],
)
def test_what_is_badly_described_is_shown_all_the_same(octets: bytes) -> None:
    assert "no delimiter anywhere" in view(octets).text


def test_a_sender_with_the_name_of_another_is_told() -> None:
    shown = view(b'From: "service@bank.example" <x@evil.test>\r\n\r\nhello\r\n')
    assert shown.warnings == ("The sender is called service@bank.example, and writes from x@evil.test.",)


def test_a_field_of_a_megabyte_is_shown_shortened() -> None:
    shown = view(b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\nhello\r\n")
    assert len(shown.fields[0][1]) < 3000
