"""A letter on its way to a reader who did not ask for UTF-8: its header as a surrogate, its body as it is.

Works on the wire form and in portions, as `TopReader` does. The first portion holds the prefix and at least the
first 64 KiB of the content, or the whole letter; what the surrogate says of them is `message.surrogate`'s matter.
"""

from __future__ import annotations

from typing import Final

from postoffice.message.content import HEAD_OCTETS
from postoffice.message.surrogate import surrogate
from postoffice.protocols.dots import stuff, unstuff

_MASK: Final = bytes(octet if octet < 128 else ord("?") for octet in range(256))


class SurrogateReader:
    """`feed` gives what is sent instead of a portion."""

    __slots__ = ("_has_begun", "_tail")

    def __init__(self) -> None:
        self._has_begun = False
        self._tail: bytes | None = None  # the last octets, while a header goes on behind its surrogate

    def feed(self, wire: bytes) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            return self._begun(wire)
        return wire if self._tail is None else self._masked(wire)

    def _begun(self, wire: bytes) -> bytes:
        end = wire.find(b"\r\n\r\n")
        plain = unstuff(wire if end < 0 else wire[: end + 4])
        made = surrogate(plain[:HEAD_OCTETS])
        if made is None:
            return wire
        rest = wire[len(stuff(plain[: made.octets])) :]
        if made.goes_on:
            self._tail = b"\r\n"
            rest = self._masked(rest)
        return stuff(made.header) + rest

    def _masked(self, wire: bytes) -> bytes:
        """Octets of a header that are not ASCII are question marks up to the empty line."""
        assert self._tail is not None
        joined = self._tail + wire
        end = joined.find(b"\r\n\r\n")
        if end < 0:
            self._tail = joined[-3:]
            return wire.translate(_MASK)
        position = max(0, end + 4 - len(self._tail))
        self._tail = None
        return wire[:position].translate(_MASK) + wire[position:]
