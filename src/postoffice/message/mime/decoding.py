"""A part's content without its transfer encoding (RFC 2045 §6), in portions of any size, in bounded memory.

What is not well encoded is decoded as far as it goes: octets that mean nothing are passed over.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, Protocol

LINE_OCTETS: Final = 64 * 1024
"""How long a line of uuencoded octets is looked at; they have 61."""

PORTION_OCTETS: Final = 256 * 1024

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NO_BASE64: Final = bytes(set(range(256)) - set(_BASE64))
_PADDING: Final = re.compile(rb"=+")
_ENDS: Final = 1000
"""How often base64 may end and begin again in one portion."""


class Decoder(Protocol):
    """Takes encoded octets in portions."""

    def feed(self, octets: bytes) -> bytes: ...

    def end(self) -> bytes:
        """What was held back."""
        ...


def decoder(encoding: str) -> Decoder:
    """The decoder of an encoding, by its name in lower case. One that nobody knows is passed through as it is."""
    match encoding:
        case "base64":
            return _Base64()
        case "quoted-printable":
            return _QuotedPrintable()
        case "x-uuencode" | "uuencode" | "x-uue":
            return _Uuencode()
        case _:
            return _Plain()


def decoded(octets: bytes, encoding: str) -> bytes:
    """All of it at once. It goes in portions too, for lines take many times their octets."""
    one = decoder(encoding)
    if isinstance(one, _Plain):
        return octets
    portions = (octets[at : at + PORTION_OCTETS] for at in range(0, len(octets), PORTION_OCTETS))
    return b"".join([*map(one.feed, portions), one.end()])


_BEGUN: Final = re.compile(rb"(?<!=)(?:==)*(=(?:\r|[0-9A-Fa-f]?\Z))")
"""In a line without its end: what stands for one octet, or none, and may not be all here."""


class _Plain:
    def feed(self, octets: bytes) -> bytes:
        return octets

    def end(self) -> bytes:
        return b""


class _Base64:
    """Where it is padded it ends, and what follows begins anew: some senders encode piece by piece."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        clean = self._held + octets.translate(None, _NO_BASE64)
        if b"=" not in clean:
            return self._whole(clean)
        *ended, rest = _PADDING.split(clean, _ENDS)
        return b"".join(map(_padded, ended)) + self._whole(rest.replace(b"=", b""))

    def _whole(self, clean: bytes) -> bytes:
        size = len(clean) & ~3
        self._held = clean[size:]
        return binascii.a2b_base64(clean[:size])

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return _padded(held)


def _padded(clean: bytes) -> bytes:
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


class _QuotedPrintable:
    """What `binascii` makes of the whole, whose `==` is an equals sign, and whose `=CR` hides all up to the next LF."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets
        begun = _BEGUN.search(data, data.rfind(b"\n") + 1)
        cut = begun.start(1) if begun else len(data)
        self._held = data[cut : cut + 2]
        return binascii.a2b_qp(data[:cut])

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return binascii.a2b_qp(held)


class _Uuencode:
    def __init__(self) -> None:
        self._held = b""
        self._has_begun = False

    def feed(self, octets: bytes) -> bytes:
        *lines, self._held = (self._held + octets).split(b"\n")
        self._held = self._held[:LINE_OCTETS]
        return b"".join(map(self._line, lines))

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return self._line(held)

    def _line(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        if not self._has_begun:
            self._has_begun = line.startswith(b"begin ")
            return b""
        if line == b"end":
            self._has_begun = False
            return b""
        try:
            return binascii.a2b_uu(line)
        except binascii.Error:
            return b""
