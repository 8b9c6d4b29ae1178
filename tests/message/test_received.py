"""The trace that we write (RFC 5321 §4.4) parses, and nothing a client says gets out of its place."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.address import Address, parse_address
from postoffice.message.envelope import Envelope
from postoffice.message.header import fields, unfolded
from postoffice.message.received import Hop, date_time, received, return_path

NOW = 1_800_000_000.25


def one_line(field: bytes) -> str:
    return unfolded(field).decode().removesuffix("\r\n").replace("\t", " ")


def test_the_field_says_from_by_with_id_for_and_when() -> None:
    hop = Hop("client.example", "192.0.2.1", "mx.b.example", is_encrypted=True)
    assert received(hop, "L1", NOW, parse_address("bob@b.example")) == (
        b"Received: from client.example ([192.0.2.1]) by mx.b.example with ESMTPS id L1\r\n"
        b"\tfor <bob@b.example>; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("hop", "utf8", "name"),
    [
        (Hop("a", "", "b", is_extended=False), False, "SMTP"),
        (Hop("a", "", "b"), False, "ESMTP"),
        (Hop("a", "", "b", is_encrypted=True), False, "ESMTPS"),
        (Hop("a", "", "b", is_authenticated=True), False, "ESMTPA"),
        (Hop("a", "", "b", is_encrypted=True, is_authenticated=True), False, "ESMTPSA"),
        (Hop("a", "", "b"), True, "UTF8SMTP"),
        (Hop("a", "", "b", is_encrypted=True, is_authenticated=True), True, "UTF8SMTPSA"),
    ],
)
def test_the_protocol_is_named_as_registered(hop: Hop, utf8: bool, name: str) -> None:
    assert hop.protocol(needs_smtputf8=utf8) == name
    assert f" with {name} id L" in one_line(received(hop, "L", NOW, None, utf8))


def test_recipients_do_not_learn_of_each_other() -> None:
    assert b"for" not in received(Hop("a", "", "b"), "L", NOW)


def test_a_utf8_recipient_stands_only_where_smtputf8_is_spoken() -> None:
    bob = parse_address("bính@b.example")
    assert received(Hop("a", "", "b"), "L", NOW, bob).isascii()
    assert "for <bính@b.example>;" in one_line(received(Hop("a", "", "b"), "L", NOW, bob, True))


def test_an_ipv6_client_is_a_literal_without_its_zone() -> None:
    assert "from c ([IPv6:fe80::1]) by b " in one_line(received(Hop("c", "fe80::1%eth0", "b"), "L", NOW))


@given(st.text(max_size=300))
def test_nothing_a_client_calls_itself_leaves_its_place(name: str) -> None:
    field = received(Hop(name, "192.0.2.1", "mx.b.example"), "L1", NOW, Address("bob", "b.example"))
    assert field.isascii()
    assert [one.name for one in fields(field)] == [b"Received"]
    assert re.fullmatch(
        r"Received: from \S+ \((helo=\S* )?\[192\.0\.2\.1\]\) by mx\.b\.example with ESMTP id L1 "
        r"for <bob@b\.example>; Fri, 15 Jan 2027 08:00:00 \+0000",
        one_line(field),
    )
    inside = one_line(field).partition("(")[2].partition(")")[0]
    assert "(" not in inside
    assert all(line.strip() for line in field.split(b"\r\n")[:-1])


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_lines_are_short_where_names_are(client: int, host: int, local: int) -> None:
    hop = Hop("c" * client, "2001:db8::1234:5678", "h" * host + ".example", is_encrypted=True)
    field = received(hop, "0123456789abcdef", NOW, Address("b" * local, "b.example"))
    assert max(map(len, field.split(b"\r\n"))) < 80
    assert field.endswith(b"\r\n")


@given(st.floats(0, 250_000_000_000))
def test_the_date_is_the_second_it_was(now: float) -> None:
    assert parsedate_to_datetime(date_time(now)) == datetime.fromtimestamp(int(now), UTC)


def test_the_return_path_is_the_reverse_path() -> None:
    assert return_path(None) == b"Return-Path: <>\r\n"
    assert return_path(parse_address('"a b"@A.example')) == b'Return-Path: <"a b"@a.example>\r\n'


def test_an_envelope_without_reverse_path_is_a_notice() -> None:
    alice = parse_address("alice@a.example")
    assert Envelope(None, (alice,)).is_notice
    assert not Envelope(alice, (alice,)).is_notice
