"""Letters that servers fail with: dots where lines begin, ends that are missing, octets that are no text.

They are made, not kept. `as_stored` ones can only lie in a Maildir, where nobody touched their line ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_HEAD = b"From: <mrose@example.org>\r\nSubject: %s\r\n\r\n"


@dataclass(frozen=True, slots=True)
class NastyLetter:
    """`what` is a short name for it."""

    what: str
    octets: bytes
    as_stored: bool = False
    copies: int = 1


def nasty_letters() -> Iterator[NastyLetter]:
    """All of them, each with a subject of its own where it has a header."""
    for what, body in _bodies():
        yield NastyLetter(what, _HEAD % what.encode() + body)
    header = b"From: <mrose@example.org>\r\n"
    yield NastyLetter("a header that begins with a dot", b".Odd: yes\r\n" + header + b"\r\nbody\r\n")
    yield NastyLetter("a header and nothing else", header + b"Subject: alone\r\n")
    yield NastyLetter("a header and the blank line", header + b"Subject: blank\r\n\r\n")
    yield NastyLetter("an empty first line", b"\r\nno header at all\r\n")
    yield NastyLetter("8-bit header, UTF-8", header + "Subject: Quê hương\r\n\r\nbody\r\n".encode())
    yield NastyLetter("8-bit header, Latin-1", header + "Subject: café\r\n\r\nbody\r\n".encode("latin-1"))
    yield NastyLetter("twins", _HEAD % b"twins" + b"the same\r\n", copies=2)
    stored = b"From: <mrose@example.org>\r\nSubject: stored with CRLF\r\n\r\nline\r\n.dot\r\n"
    yield NastyLetter("stored with CRLF", stored, as_stored=True)
    yield NastyLetter("stored with CRLF and LF", stored + b"line\nline\r\n", as_stored=True)
    yield NastyLetter("no octets", b"", as_stored=True)


def _bodies() -> Iterator[tuple[str, bytes]]:
    yield "plain", b"body\r\n"
    yield "lines of dots", b".\r\n..\r\n...\r\n.foo\r\nx.\r\n"
    yield "no final line end", b"the last line"
    yield "a last line of one dot", b"text\r\n."
    yield "ends with CRLF . CRLF", b"text\r\n.\r\n"
    yield "NUL and 0xFF", b"a\x00b\xffc\r\n"
    yield "lone CR", b"one\rtwo\r\r\nthree\r\n"
    yield "lone LF", b"one\ntwo\n.three\n\n.\nfour\r\n"
    yield "From at line starts", b"From me\r\n>From you\r\nFrom them\r\n"
    yield "blank lines at the end", b"text\r\n\r\n\r\n\r\n"
    yield "UTF-8", "Quê hương là chùm khế ngọt\r\n".encode()
    yield "a line of 100,000 octets", b"x" * 100_000 + b"\r\n"
    yield "a line of 10,000,000 octets", b"." + b"x" * 9_999_999 + b"\r\n"
    yield "50,000 dotted lines", b".\r\n.dot\r\n" * 25_000
