"""What a program leaves to its post is mended; what it wrote itself stays."""

from __future__ import annotations

import pytest

from postoffice.message.draft import Author, draft

AUTHOR = Author("www-data@a.example", "Web server")
USUAL = (
    b"From: Web server <www-data@a.example>\r\n"
    b"Date: Fri, 13 Feb 2009 23:31:30 +0000\r\n"
    b"Message-ID: <token@a.example>\r\n"
)
WHOLE = b"From: x@b.example\r\nDate: now\r\nMessage-Id: <1@b.example>\r\n"


def letter(octets: bytes) -> bytes:
    return draft(octets).letter(AUTHOR, "a.example", 1234567890.0, "token")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (b"", USUAL + b"\r\n"),
        (b"\n", USUAL + b"\r\n"),
        (b"hello\n", USUAL + b"\r\nhello\r\n"),
        (b"hello", USUAL + b"\r\nhello\r\n"),
        (b"\nSubject: x\n", USUAL + b"\r\nSubject: x\r\n"),
        (b"Subject: x\n\nhello\n.\n", b"Subject: x\r\n" + USUAL + b"\r\nhello\r\n.\r\n"),
        (b"Subject: x\nhello\n", b"Subject: x\r\n" + USUAL + b"\r\nhello\r\n"),
        (b"Subject: x", b"Subject: x\r\n" + USUAL + b"\r\n"),
        (b"From bob Sat Jan  3 01:05:34 1996\nSubject: x\n\n", b"Subject: x\r\n" + USUAL + b"\r\n"),
        (b"Subject: x\r\n\nPHP\r\nmixes\n", b"Subject: x\r\n" + USUAL + b"\r\nPHP\r\nmixes\r\n"),
        (b"\n10%\r20%\r\n", USUAL + b"\r\n10%\r\n20%\r\n"),
        (b"Subject: a\n long one\n\n", b"Subject: a\r\n long one\r\n" + USUAL + b"\r\n"),
    ],
)
def test_line_ends_and_missing_fields_are_mended(written: bytes, sent: bytes) -> None:
    assert letter(written) == sent


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        (b"To: root", b"To: root@a.example"),
        (b"To: root (Cron Daemon)", b"To: Cron Daemon <root@a.example>"),
        (b"Cc: root,\n <eve@e.example>", b"Cc: root@a.example,\r\n\teve@e.example"),
        (b'Reply-To: "Doe, J." <jd>', b'Reply-To: "Doe, J." <jd@a.example>'),
        (b"Resent-To: root", b"Resent-To: root@a.example"),
        (b'to: "Doe, J." <jd@e.example> (him)', b'to: "Doe, J." <jd@e.example> (him)'),
        (b"To: undisclosed-recipients:;", b"To: undisclosed-recipients:;"),
        (b"To:", b"To:"),
        (b"To: \xff\xfe <root>", b"To: =?utf-8?b?77+977+9?= <root@a.example>"),
        (b"Subject: root", b"Subject: root"),
    ],
)
def test_names_without_a_domain_get_one_and_whole_addresses_stay(field: bytes, sent: bytes) -> None:
    assert letter(WHOLE.replace(b"\r\n", b"\n") + field + b"\n\nx\n") == WHOLE + sent + b"\r\n\r\nx\r\n"


def test_who_gets_a_blind_copy_is_nobody_elses_business() -> None:
    dropped = b"Bcc: x@e.example,\n y@e.example\nRETURN-PATH: <>\nContent-Length: 7\nResent-Bcc: z\n"
    assert letter(WHOLE + dropped + b"\nBcc: stays\n") == WHOLE + b"\r\nBcc: stays\r\n"


@pytest.mark.parametrize(
    ("header", "recipients"),
    [
        (
            b'To: a@x, "B, b" <b@x>\nCc: c (see)\nBcc: friends: d@x, e@x;\nFrom: f@x\n',
            ["a@x", "b@x", "c", "d@x", "e@x"],
        ),
        (b"To: a@x\nResent-To: b@x\nResent-Bcc: c@x\n", ["b@x", "c@x"]),
        (b"To: undisclosed-recipients:;\n", []),
        (b"\nTo: a@x\n", []),
        ("To: chữ@x\n".encode(), ["chữ@x"]),
        (b"To: a@x,, b@x;\n", ["a@x", "b@x"]),
        (b"To: a@x, <b@>\n", ["a@x, <b@>"]),
        (b"To: a@x b@x\n", ["a@x b@x"]),
        (b"To: <b\xff@x>\n", ["b\udcff@x"]),
    ],
)
def test_recipients_are_read_from_the_header(header: bytes, recipients: list[str]) -> None:
    assert draft(header + b"\nTo: nobody@x\n").recipients() == recipients


def test_a_letter_that_lacks_nothing_is_not_touched() -> None:
    whole = WHOLE + b"To: a@x.example\r\nX-Odd:  spaces  \r\n\r\n \r\n..\r\n.\r\n"
    assert letter(whole) == whole


def test_a_name_cannot_smuggle_a_field() -> None:
    made = draft(b"x\n").letter(Author("a@a.example", "x\r\nBcc: y@e.example"), "a.example", 0.0, "token")
    assert made.startswith(b'From: "x  Bcc: y@e.example" <a@a.example>\r\nDate: ')
