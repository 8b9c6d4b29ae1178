"""The parts of a letter (RFC 2046), found by their boundaries alone, in time that grows with its octets and no faster.

Letters are taken apart that were written to stop whoever does: depth, parts and the length of what describes them are
bounded, and what lies beyond is passed over. Text is decoded as its sender labelled it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final

from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS

PARTS: Final = 1000
NESTINGS: Final = 50

_FIELD_OCTETS: Final = 4096
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_NO_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]+")
_DESCRIBING: Final = ("Content-Type", "Content-Disposition", "Content-Transfer-Encoding")


@dataclass(frozen=True, slots=True)
class Part:
    """One that holds no parts. `name` is that of a file, as written; `octets` are encoded as they came."""

    description: Message
    octets: bytes

    @property
    def kind(self) -> str:
        return self.description.get_content_type()

    @property
    def name(self) -> str | None:
        return self.description.get_filename()

    @property
    def is_attached(self) -> bool:
        return self.description.get_content_disposition() == "attachment" or self.name is not None

    def text(self, octets: int) -> str:
        """The text of the first so many octets."""
        encoded = self.octets[:octets]
        match str(self.description.get("Content-Transfer-Encoding", "")).strip().lower():
            case "base64":
                encoded = _from_base64(encoded)
            case "quoted-printable":
                encoded = binascii.a2b_qp(encoded)
        return header.text_of(encoded, str(self.description.get_content_charset() or "utf-8"))


def parts(letter: bytes) -> Iterator[Part]:
    """Every part that holds no parts, in order."""
    waiting = [(letter, 0)]
    looked_at = 0
    while waiting and looked_at < PARTS:
        octets, depth = waiting.pop()
        looked_at += 1
        head, body = _parted(octets)
        description = _description(head)
        boundary = description.get_boundary()
        if description.get_content_maintype() == "multipart" and boundary:
            if depth < NESTINGS:
                inner = [(piece, depth + 1) for piece in _between(body, boundary)]
                waiting.extend(reversed(inner))
        elif description.get_content_type() == "message/rfc822" and depth < NESTINGS:
            waiting.append((body, depth + 1))
        else:
            yield Part(description, body)


def _parted(octets: bytes) -> tuple[bytes, bytes]:
    """Header and body."""
    if octets.startswith((b"\r\n", b"\n")):
        return b"", octets.partition(b"\n")[2]
    found = _HEAD_END.search(octets)
    return (octets[: found.end()], octets[found.end() :]) if found else (octets, b"")


def _description(head: bytes) -> Message:
    description = Message()
    head = head[:HEAD_OCTETS]
    for name in _DESCRIBING:
        value = header.first(head, name.encode())
        if value is not None:
            description[name] = header.text_of(value[:_FIELD_OCTETS], "utf-8")
    return description


def _between(body: bytes, boundary: str) -> Iterator[bytes]:
    """What stands between the delimiters (RFC 2046 §5.1.1), at most so many pieces as are looked at."""
    delimiter = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    )
    begin: int | None = None
    pieces = 0
    for found in delimiter.finditer(body):
        if begin is not None:
            yield body[begin : found.start()].partition(b"\n")[2]
            pieces += 1
        if found[1] or pieces >= PARTS:
            return
        begin = found.end()
    if begin is not None:
        yield body[begin:].partition(b"\n")[2]


def _from_base64(octets: bytes) -> bytes:
    clean = _NO_BASE64.sub(b"", octets)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
