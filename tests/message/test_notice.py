"""A notice is a delivery status notification that programs and people can read (RFC 3464, RFC 6533)."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage, Message
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.notice import Action, Fate, Notice, compose

HEAD = (
    "Received: from x\r\n\tby y\r\nFrom: alice@a.example\r\nSubject: Hẹn gặp\r\nMessage-ID: <1@a.example>\r\n\r\nbody"
).encode()
NOTICE = Notice(
    host="mx.a.example",
    sender="alice@a.example",
    action=Action.FAILED,
    fates=(
        Fate("bob@b.example", "5.1.1", "550 5.1.1 no such user", "mx.b.example"),
        Fate("carol@b.example", "4.4.1", "no answer"),
    ),
    head=HEAD,
    message_id="<n1@mx.a.example>",
    now=1_800_000_000.0,
    accepted=1_799_000_000.0,
)


def parsed(notice: Notice) -> EmailMessage:
    octets = compose(notice)
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.isascii() or notice.needs_smtputf8
    letter = email.message_from_bytes(octets, policy=email.policy.SMTPUTF8)
    assert letter.get_content_type() == "multipart/report"
    assert letter.get_param("report-type") == "delivery-status"
    assert not letter.defects
    assert len(list(letter.iter_parts())) == 3
    return letter


def words(letter: EmailMessage) -> str:
    text = next(letter.iter_parts()).get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")


def status_blocks(letter: EmailMessage) -> list[Message]:
    return cast(list[Message], list(letter.iter_parts())[1].get_payload())


def test_programs_read_what_became_of_each_recipient() -> None:
    letter = parsed(NOTICE)
    about_letter, bob, carol = status_blocks(letter)[:3]
    assert about_letter.items() == [
        ("Reporting-MTA", "dns; mx.a.example"),
        ("Arrival-Date", "Sun, 03 Jan 2027 18:13:20 +0000"),
    ]
    assert bob.items() == [
        ("Final-Recipient", "rfc822; bob@b.example"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.b.example"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 no such user"),
        ("Last-Attempt-Date", "Fri, 15 Jan 2027 08:00:00 +0000"),
    ]
    assert carol["Final-Recipient"] == "rfc822; carol@b.example"
    assert carol["Status"] == "4.4.1"
    assert len(status_blocks(letter)) == 3


def test_people_read_it_in_plain_words() -> None:
    text = words(parsed(NOTICE))
    assert "Hẹn gặp" in text
    assert "could not be delivered to:\n\n    bob@b.example\n      mx.b.example said: 550 5.1.1 no such user\n" in text


def test_nobody_answers_it_automatically() -> None:
    letter = parsed(NOTICE)
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["From"] == "Mail delivery <MAILER-DAEMON@mx.a.example>"
    assert letter["To"] == "<alice@a.example>" or letter["To"] == "alice@a.example"
    assert letter["Message-ID"] == "<n1@mx.a.example>"
    assert letter["In-Reply-To"] == letter["References"] == "<1@a.example>"


def test_the_header_of_the_letter_comes_back_and_nothing_of_its_body() -> None:
    part = list(parsed(NOTICE).iter_parts())[2]
    assert part.get_content_type() == "text/rfc822-headers"
    returned = cast(bytes, part.get_payload(decode=True))
    assert returned == HEAD.partition(b"\r\n\r\n")[0] + b"\r\n"


def test_a_delay_says_how_long_it_will_be_tried() -> None:
    delayed = replace(NOTICE, action=Action.DELAYED, until=1_800_400_000.0)
    letter = parsed(delayed)
    assert letter["Subject"] == "Your letter is delayed"
    assert status_blocks(letter)[1]["Action"] == "delayed"
    assert status_blocks(letter)[1]["Will-Retry-Until"] == "Tue, 19 Jan 2027 23:06:40 +0000"
    assert "until Tue, 19 Jan 2027 23:06:40 +0000" in words(letter)


def test_an_ascii_sender_gets_utf8_recipients_in_seven_bits() -> None:
    letter = parsed(replace(NOTICE, fates=(Fate("bính+x@b.example", "5.6.7", "không"),)))
    assert status_blocks(letter)[1]["Final-Recipient"] == r"utf-8; b\x{ED}nh\x{2B}x@b.example"


def test_a_utf8_sender_gets_the_global_types() -> None:
    notice = replace(NOTICE, sender="bính@a.example", fates=(Fate("quỳnh@b.example", "5.1.1"),))
    assert notice.needs_smtputf8
    octets = compose(notice)
    assert "To: <bính@a.example>\r\n".encode() in octets
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in octets
    assert b"Content-Type: message/global-headers\r\n" in octets
    assert "\r\n\r\nFinal-Recipient: utf-8; quỳnh@b.example\r\n".encode() in octets
    parsed(notice)


@pytest.mark.parametrize(
    "sender", ["alice@a.example", "bính@a.example", '"a b\\"@,"@[IPv6:::1]', "a" * 64 + "@" + "b" * 63]
)
@given(
    head=st.binary(max_size=300)
    | st.sampled_from([b"X: " + b"y" * 3000, b"A: 1\nB: 2\r\r\n\0C: 3", b"Message-ID: <[>\r\n", b"From x\r\n.\r\n"]),
    said=st.text(max_size=2000),
)
def test_whatever_the_letter_and_the_other_side_say_the_notice_is_sound(sender: str, head: bytes, said: str) -> None:
    fates = (Fate("bob@b.example", "5.0.0", said, said[:50]),)
    letter = parsed(replace(NOTICE, sender=sender, head=head, fates=fates))
    assert re.fullmatch(r"<?.+@.+>?", letter["To"])
    assert len(letter["To"].addresses) == 1


@given(st.from_regex(rb"<[!-;=?-~]{1,100}>", fullmatch=True))
def test_any_message_id_is_referred_to_as_it_was(message_id: bytes) -> None:
    octets = compose(replace(NOTICE, head=b"Message-ID: " + message_id + b"\r\n"))
    assert b"In-Reply-To:" in octets
    assert message_id in octets.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"")
