"""Letters that were made to stop whoever takes them apart, and the program that reads them with little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MIB: Final = 1024 * 1024


def _headed(fields: bytes, body: bytes) -> bytes:
    return b"From: a@a.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n" + fields + b"\r\n" + body


def _parts(fields: bytes, body: bytes = b"x") -> bytes:
    """990 of them, of one kind."""
    part = b"--x\r\n" + fields + b"\r\n" + body + b"\r\n"
    return _headed(b"Content-Type: multipart/mixed; boundary=x\r\n", part * 990)


def _html(body: bytes) -> bytes:
    return _headed(b"Content-Type: text/html\r\n", body)


HOSTILE: Final[dict[str, Callable[[], bytes]]] = {
    "50,000 parts": lambda: _headed(b"Content-Type: multipart/mixed; boundary=x\r\n", b"--x\r\n\r\nhello\r\n" * 50_000),
    "50,000 attachments": lambda: _headed(
        b"Content-Type: multipart/mixed; boundary=x\r\n", b"--x\r\nContent-Type: a/b; name=a.exe\r\n\r\nMZ\r\n" * 50_000
    ),
    "2,000 nestings": lambda: (
        _headed(b"", b"")[:-2]
        + b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(2000))
    ),
    "2,000 letters inside": lambda: b"Content-Type: message/rfc822\r\n\r\n" * 2000 + b"a\r\n" * (2 * MIB),
    "100,000 fields": lambda: _headed(b"".join(b"X-H%d: x\r\n" % n for n in range(100_000)), b"body"),
    "a field of 4 MiB": lambda: _headed(b"Content-Type: text/plain" + b";a" * (2 * MIB) + b"\r\n", b"body"),
    "a name of many sections": lambda: _headed(
        b"Content-Type: a/b" + b"".join(b";\r\n name*%d*=%%e2%%80%%ae" % n for n in range(999)) + b"\r\n", b"body"
    ),
    "parts of many parameters": lambda: _parts(b"Content-Type: a/b" + b";a=b" * 2000 + b"\r\n"),
    "names of percent signs": lambda: _parts(b"Content-Type: a/b; name*=''" + b"%" * 8000 + b"\r\n"),
    "names of encoded words": lambda: _parts(b'Content-Type: a/b; name="' + b"=?utf-8?q?a?= " * 550 + b'"\r\n'),
    "names of endings": lambda: _parts(b'Content-Type: a/b; name="' + b".a" * 4000 + b'"\r\n'),
    "subjects of letters inside": lambda: _parts(
        b"Content-Type: message/rfc822\r\n", b"Subject: " + b"=?utf-8?q?a?= " * 550 + b"\r\n\r\nx\r\n"
    ),
    "HTML in every part": lambda: _parts(b"Content-Type: text/html\r\n", b"<p>x" * 2000),
    "links in every part": lambda: _parts(
        b"Content-Type: text/html\r\n",
        b"".join(b"<a href=http://x%d.example>www.y.example</a>" % n for n in range(150)),
    ),
    "almost delimiters": lambda: _headed(
        b"Content-Type: multipart/mixed; boundary=x\r\n", (b"\n--x" + b" " * 8000 + b"z") * 1000
    ),
    "lines that begin like delimiters": lambda: _headed(
        b"Content-Type: multipart/mixed; boundary=x\r\n", b"--\n" * (2 * MIB)
    ),
    "one line": lambda: _headed(b"", b"x" * 8 * MIB),
    "empty lines": lambda: _headed(b"", b"\n" * 8 * MIB),
    "octets that are no UTF-8": lambda: _headed(b"Content-Type: text/plain; charset=utf-8\r\n", b"\xff\xfe" * 4 * MIB),
    "UTF-7": lambda: _headed(b"Content-Type: text/plain; charset=utf-7\r\n", b"+" * 4 * MIB),
    "half of base64": lambda: _headed(b"Content-Transfer-Encoding: base64\r\n", b"A=\n" * 2 * MIB),
    "quoted-printable without end": lambda: _headed(b"Content-Transfer-Encoding: quoted-printable\r\n", b"=" * 8 * MIB),
    "uuencoded nonsense": lambda: _headed(
        b"Content-Transfer-Encoding: x-uuencode\r\n", b"begin 1 x\n" + b"M!!\n" * MIB
    ),
    "files that begin and end": lambda: _headed(
        b"Content-Transfer-Encoding: x-uuencode\r\n", b"begin \nend\n" * (MIB // 2)
    ),
    "marks": lambda: _headed(
        b"Content-Type: text/plain; charset=utf-8\r\n", b"a" + "\u0301\u0323".encode() * (2 * MIB)
    ),
    "encoded words": lambda: b"Subject: " + b"=?utf-8?q?a?= " * 300_000 + b"\r\n\r\nx",
    "addresses": lambda: b"From: " + b"(" * MIB + b"\r\nReferences: " + b"<a@b> " * MIB + b"\r\n\r\nx",
    "elements in elements": lambda: _html(b"<div>" * 200_000),
    "a tag of attributes": lambda: _html(b"<p " + b"a=1 " * MIB + b">end"),
    "tags": lambda: _html(b"<p>x</p>" * MIB),
    "brackets": lambda: _html(b"<" * 8 * MIB),
}

CHILD: Final = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from tests.message.mime.kit import HOSTILE, MIB
from postoffice.message.mime.view import LOOK_OCTETS, view
resource.setrlimit(resource.RLIMIT_AS, (400 * MIB, 400 * MIB))
for name, make in HOSTILE.items():
    print(name, len(view(make()[:LOOK_OCTETS]).text), flush=True)
"""
"""Reads them all in 400 MiB of addresses, of which Python and its modules take some 60."""
