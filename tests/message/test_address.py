"""Addresses as SMTP speaks them (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postoffice.errors import Refusal
from postoffice.message.address import (
    Address,
    parse_address,
    parse_domain,
    parse_forward_path,
    parse_path,
    parse_reverse_path,
)

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
WIDE = st.characters(min_codepoint=0xA0, exclude_categories=("Cs", "Zl", "Zp"))
atoms = st.text(st.sampled_from(ATEXT) | WIDE, min_size=1, max_size=6)
dot_strings = st.lists(atoms, min_size=1, max_size=3).map(".".join)
quoted = st.text(st.characters(min_codepoint=32, max_codepoint=126) | WIDE, max_size=10).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
locals_ = (dot_strings | quoted).filter(lambda local: len(local.encode()) <= 64)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
literals = st.ip_addresses(v=4).map(lambda ip: f"[{ip}]") | st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip}]")
domains = st.lists(labels, min_size=1, max_size=4).map(".".join) | literals
addresses = st.builds(Address, locals_, domains)


def refused(octets: bytes, *, utf8: bool = False) -> str:
    with pytest.raises(Refusal) as caught:
        parse_forward_path(octets, utf8=utf8)
    assert caught.value.permanent
    assert "\r" not in str(caught.value)
    return caught.value.status


@given(addresses)
def test_what_is_written_is_read_again(address: Address) -> None:
    assert parse_address(str(address)) == address
    assert parse_path(f"<{address}> SIZE=1".encode(), utf8=True) == (address, b" SIZE=1")


@given(addresses)
def test_the_spelling_for_look_up_is_an_address_that_normalizes_to_itself(address: Address) -> None:
    normal = address.normalized()
    again = normal
    if len(normal.encode()) < 64:
        again = parse_address(normal).normalized()
    assert again == normal


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: f"<{text}>".encode(errors="replace")))
@example(b'<"\\')
@example("<a@\u3002>".encode())
@example("<a@\u200d.b>".encode())
def test_any_octets_are_a_path_or_a_refusal(octets: bytes) -> None:
    try:
        path, rest = parse_path(octets, utf8=True)
    except Refusal:
        return
    assert octets.endswith(rest)
    assert path is None or not re.search(r"[\x00-\x1f\x7f-\x9f]", str(path))


@pytest.mark.parametrize(
    ("octets", "path"),
    [
        (b"<alice@a.example>", "alice@a.example"),
        (b"<Alice@A.EXAMPLE>", "Alice@a.example"),
        (b"<@one.example,@two.example:joe@three.example>", "joe@three.example"),
        (b'<"a b\\"c"@a.example>', '"a b\\"c"@a.example'),
        (b'<""@a.example>', '""@a.example'),
        (b"<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        (b"<a@[ipv6:2001:DB8:0::1]>", "a@[IPv6:2001:db8::1]"),
        (b"<a@xn--th-e0a.example>", "a@xn--th-e0a.example"),
        (b" <a@localhost>", "a@localhost"),
        ("<bính@THƯ.example>".encode(), "bính@xn--th-e0a.example"),
        ("<a@thư。example>".encode(), "a@xn--th-e0a.example"),
    ],
)
def test_a_path_is_read_with_its_route_dropped_and_its_domain_in_a_labels(octets: bytes, path: str) -> None:
    read, rest = parse_path(octets, utf8=True)
    assert str(read) == path
    assert rest == b""


def test_the_null_path_is_for_senders_only() -> None:
    assert parse_reverse_path(b"<> BODY=8BITMIME") == (None, b" BODY=8BITMIME")
    assert refused(b"<>") == "1.3"


def test_the_bare_postmaster_is_for_recipients_only() -> None:
    assert parse_forward_path(b"<PostMaster>") == (Address("PostMaster", ""), b"")
    assert Address("PostMaster", "").normalized() == "postmaster"
    with pytest.raises(Refusal) as caught:
        parse_reverse_path(b"<postmaster>")
    assert caught.value.status == "1.7"
    assert refused(b"<alice>") == "1.3"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<",
        b"a@b",
        b"<a@b",
        b"<a@b>x",
        b"<a@b>\tx",
        b"<a@b>\n",
        b"<a..b@c>",
        b"<.a@c>",
        b"<a.@c>",
        b"<a b@c>",
        b"<a@b@c>",
        b"<a@>",
        b"<@b>",
        b'<"a@b>',
        b'<"a"b@c>',
        b'<"a\r\nb"@c>',
        b"<a\0@b>",
        b"<a@b_c>",
        b"<@route:>",
        b"<a\xff@b>",
        "<a\u0085@b>".encode(),
        "<a\u2028@b>".encode(),
    ],
)
def test_what_the_grammar_does_not_know_is_bad_syntax(octets: bytes) -> None:
    assert refused(octets, utf8=True) == "1.3"
    with pytest.raises(Refusal) as caught:
        parse_reverse_path(octets, utf8=True)
    assert caught.value.status == "1.7"


@pytest.mark.parametrize(
    "octets",
    [
        b"<a@-b>",
        b"<a@b->",
        b"<a@b..c>",
        b"<a@b.>",
        b"<a@" + b"x" * 64 + b">",
        b"<a@[127.0.0.256]>",
        b"<a@[IPv6:1::2::3]>",
        b"<a@[IPv6:127.0.0.1]>",
        b"<a@[x]>",
        "<a@☃..example>".encode(),
        "<a@-ư.example>".encode(),
    ],
)
def test_a_domain_that_cannot_exist_is_told_from_bad_syntax(octets: bytes) -> None:
    assert refused(octets, utf8=True) == "1.2"
    with pytest.raises(Refusal) as caught:
        parse_reverse_path(octets, utf8=True)
    assert caught.value.status == "1.8"


def test_the_limits_count_octets_and_are_exact() -> None:
    label = "x" * 63
    domain = ".".join([label, label, "y" * 61])
    assert parse_address("a" * 64 + "@" + domain).local == "a" * 64
    assert len(f"<{'a' * 64}@{domain}>") == 256
    assert refused(f"<{'a' * 64}@{domain}y>".encode()) == "1.3"
    assert refused(b"<" + b"a" * 65 + b"@b>") == "1.3"
    assert parse_address("ư" * 32 + "@b")
    assert refused(f"<{'ư' * 33}@b>".encode(), utf8=True) == "1.3"
    with pytest.raises(Refusal):
        parse_domain(".".join([label] * 4 + ["x"]))


def test_utf8_needs_to_be_agreed_on() -> None:
    assert refused("<bính@a.example>".encode()) == "6.7"
    assert refused("<binh@thư.example>".encode()) == "6.7"
    assert parse_address("bính@a.example").needs_smtputf8
    assert not parse_address("binh@thư.example").needs_smtputf8


@pytest.mark.parametrize(
    ("sent", "looked_up"),
    [
        ("Alice@A.example", "alice@a.example"),
        ('"Alice"@a.example', "alice@a.example"),
        ('"al\\ice"@a.example', "alice@a.example"),
        ('"a\\ b"@a.example', '"a b"@a.example'),
        ('"a@b"@a.example', '"a@b"@a.example'),
        ("BI\u0301NH@a.example", "b\u00ednh@a.example"),
    ],
)
def test_one_mailbox_has_one_spelling(sent: str, looked_up: str) -> None:
    assert parse_address(sent).normalized() == looked_up


@pytest.mark.parametrize("text", ["", "alice", "<a@b>", "a@b> x", "@r:a@b", "a@b\n", "a\udcff@b", "postmaster"])
def test_what_people_type_is_a_whole_mailbox_or_refused(text: str) -> None:
    with pytest.raises(Refusal):
        parse_address(text)
