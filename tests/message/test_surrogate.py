"""What a reader is shown who did not ask for UTF-8 (RFC 6856 §2.1, RFC 6857)."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.content import HEAD_OCTETS
from postoffice.message.surrogate import growth, surrogate


def shown(field: str | bytes) -> bytes:
    """The surrogate of one field."""
    octets = (field if isinstance(field, bytes) else field.encode()) + b"\r\n"
    made = surrogate(octets + b"\r\nbody\r\n")
    assert made is not None
    assert (made.octets, made.goes_on) == (len(octets), False)
    assert made.header.isascii()
    assert len(made.header) != len(octets)
    return made.header


def read(header: bytes) -> EmailMessage:
    """As Python's own library reads it."""
    return email.message_from_bytes(header + b"\r\nbody\r\n", policy=email.policy.default)


def test_free_text_becomes_encoded_words_and_the_rest_of_it_stays() -> None:
    header = shown("Subject: Re: a long and plain beginning, then Quê hương là chùm khế ngọt, and a plain end of it")
    assert b"Re: a long and plain beginning, then" in header
    assert b"and a plain end of it" in header
    assert read(header)["Subject"] == (
        "Re: a long and plain beginning, then Quê hương là chùm khế ngọt, and a plain end of it"
    )


def test_lines_with_encoded_words_are_short() -> None:
    for line in shown("Subject: " + "dài " * 3 + "Việt Nam đất nước ta ơi " * 40).split(b"\r\n"):
        assert len(line) <= 76


def test_no_encoded_word_ends_inside_of_a_character() -> None:
    for part in shown("Subject: " + "ế𝄞" * 40).split():
        if part.startswith(b"=?"):
            (decoded,) = email.header.decode_header(part.decode())
            cast(bytes, decoded[0]).decode()


def test_octets_that_are_no_utf8_are_labelled_so() -> None:
    assert shown(b"Subject: caf\xe9") == b"Subject: =?unknown-8bit?b?Y2Fm6Q==?=\r\n"


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("Bùi Giáng <a@b.example>", [("Bùi Giáng", "a@b.example")]),
        ('"Bùi, \\"G\\"" <a@b.example>, c@d.example', [('Bùi, "G"', "a@b.example"), ("", "c@d.example")]),
        ("a@b.example (Bùi (và) Giáng)", [("Bùi (và) Giáng", "a@b.example")]),
        ("c@d.example (a, b), Ý <e@f.example>", [("", "c@d.example"), ("Ý", "e@f.example")]),
        ("a@b.example,\r\n Ý <c@d.example>", [("", "a@b.example"), ("Ý", "c@d.example")]),
    ],
)
def test_names_become_encoded_words_and_addresses_stay(written: str, names: list[tuple[str, str]]) -> None:
    addresses = read(shown(f"To: {written}"))["To"].addresses
    assert [(address.display_name, address.addr_spec) for address in addresses] == names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ái@b.example", "ái@b.example"),
        ("Nguyễn Ái <ái@b.example>", "Nguyễn Ái <ái@b.example>"),
        ("Nhóm: ái@b.ex, c@d.ex;", "Nhóm: ái@b.ex, c@d.ex;"),
        ("<a@b.example> <ái@c.example>", "<a@b.example> <ái@c.example>"),
    ],
)
def test_an_address_that_is_not_ascii_is_an_empty_group(written: str, name: str) -> None:
    (group,) = read(shown(f"From: {written}"))["From"].groups
    assert (group.display_name, group.addresses) == (name, ())


def test_a_group_of_ascii_addresses_keeps_them() -> None:
    (group,) = read(shown("To: Nhóm: a@b.example, c@d.example;"))["To"].groups
    assert group.display_name == "Nhóm"
    assert [address.addr_spec for address in group.addresses] == ["a@b.example", "c@d.example"]


def test_parameters_are_percent_encoded() -> None:
    for name in ("đơn.pdf", "đơn xin việc làm tại công ty trách nhiệm hữu hạn một thành viên.pdf", 'a;"é'):
        quoted = name.replace('"', '\\"')
        header = shown(f'Content-Disposition: attachment; filename="{quoted}"; size=12')
        assert read(header).get_filename() == name
        assert read(header)["Content-Disposition"].params["size"] == "12"


@pytest.mark.parametrize("written", ["Message-ID: <é@b.example>", "Received: from é by b", "Content-Type: té/x; a=b"])
def test_a_field_where_no_encoded_word_may_stand_gets_another_name(written: str) -> None:
    name, _, value = written.partition(": ")
    header = shown(written)
    assert header.startswith(b"Downgraded-" + name.encode() + b": =?utf-8?b?")
    assert read(header)[f"Downgraded-{name}"] == value


def test_fields_that_are_ascii_stay_to_the_octet() -> None:
    before, after = b"X-Odd :\t two\r\n   lines\r\n.dotted: 1\r\n", b"Subject:none\r\n"
    made = surrogate(before + "From: Ý <a@b.example>\r\n".encode() + after)
    assert made is not None
    assert made.header.startswith(before)
    assert made.header.endswith(after)


@pytest.mark.parametrize(
    "letter",
    [
        b"",
        b"Subject: x\r\n\r\n\xc3\xa9\r\n",
        b"\r\n\xc3\xa9\r\n",
        b"\xc3\xa9 is no field\r\nSubject: \xc3\xa9\r\n",
        b" folded at the start \xc3\xa9\r\nSubject: x\r\n",
        b"Subject: x\r\nno field \xc3\xa9\r\n\r\nbody\r\n",
    ],
)
def test_a_letter_without_such_a_field_needs_none(letter: bytes) -> None:
    assert surrogate(letter) is None
    assert growth(letter) == 0


def test_a_line_of_a_mail_file_does_not_end_the_header() -> None:
    made = surrogate(b"From a@b.example Mon\r\n>From c\r\nX: \xff\r\n")
    assert made is not None
    assert made.header.startswith(b"From a@b.example Mon\r\n>From c\r\nX: =?unknown-8bit?b?/w==?=\r\n")


def test_a_header_of_more_than_64_kib_is_told_to_go_on() -> None:
    field = b"X: " + b"y" * 95 + b"\r\n"
    made = surrogate((field * 1000)[:HEAD_OCTETS])
    assert made is not None
    assert made.goes_on
    assert made.octets == HEAD_OCTETS // len(field) * len(field)
    assert made.header.startswith(field * (HEAD_OCTETS // len(field)))
    assert made.header[made.octets :].startswith(b"Comments: ")


PIECES = rb"From Subject Content-Type Received : , ; < > ( ) \" \\ a@b x= * . =?".split(b" ")
PIECES += [b"\xc3\xa9", b"\xe2", b"\xff", b"\x00", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n "]


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_whatever_a_header_holds_its_surrogate_is_ascii_and_parses_as_fields(octets: bytes) -> None:
    head = b"To: \xc3\xa9 " + octets + b"\r\n"
    made = surrogate(head)
    assert made is not None
    assert made.header.isascii()
    assert len(made.header) != made.octets
    assert growth(head) == len(made.header) - made.octets
    assert surrogate(made.header) is None, "a surrogate needs none"
    assert b"\r\n\r\n" not in made.header, "an empty line would end the header"
