"""The dot convention that SMTP and POP3 share (RFC 5321 §4.5.2, RFC 1939 §3).

A letter travels in *wire form*: CRLF line ends, a dot put before every line that begins with one, and after it all
a line that is only a dot. Line ends are CRLF and nothing else: a bare LF or CR never begins or ends a line here,
which is what keeps a second letter from being smuggled inside a first.

`DotReader` finds the end in octets that come in any portions. The chunks it gives never end inside a sequence
that could belong to the end, so a CR and its LF always lie in one chunk, and so do a dot that begins a line and the
CRLF before it. It searches every octet once. `Unstuffer` gives the content of wire form in portions of any size, and
`Stuffer` is the other direction.
"""

from __future__ import annotations

END = b"\r\n.\r\n"


def stuff(plain: bytes) -> bytes:
    """Content in wire form, without the final dot line. `plain` begins at a line start."""
    stuffed = plain.replace(b"\r\n.", b"\r\n..") if b"\r\n." in plain else plain
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def unstuff(wire: bytes) -> bytes:
    """The content of octets in wire form. `wire` begins at a line start. Removes any leading dot (RFC 5321 §4.5.2)."""
    plain = wire.replace(b"\r\n.", b"\r\n") if b"\r\n." in wire else wire
    return plain[1:] if plain.startswith(b".") else plain


def has_dot_lines(wire: bytes) -> bool:
    """Whether a line of these octets begins with a dot. `wire` begins at a line start."""
    return wire.startswith(b".") or b"\r\n." in wire


class DotReader:
    """Gives the wire form up to, and without, the final dot line.

    `feed` returns the octets known to belong to the letter; `rest` is None until the end was seen, then what came
    behind it. Holds at most four octets back between two calls.
    """

    __slots__ = ("_held", "_started", "rest")

    def __init__(self) -> None:
        self._held = b""
        self._started = False
        self.rest: bytes | None = None

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets if self._held else octets
        if not self._started:
            # The line before the letter ended with CRLF, so a dot line at the very start ends an empty letter.
            if len(data) < 3 and b".\r\n".startswith(data):
                self._held = data
                return b""
            if data.startswith(b".\r\n"):
                self.rest = data[3:]
                return b""
            self._started = True
        end = data.find(END)
        if end >= 0:
            self.rest = data[end + 5 :]
            self._held = b""
            return data[: end + 2]
        keep = _possible_end(data)
        if not keep:
            self._held = b""
            return data
        self._held = data[-keep:]
        return data[:-keep]


class Unstuffer:
    """The content of octets in wire form that come in any portions."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before = b"\r\n"  # a letter begins at a line start

    def feed(self, wire: bytes) -> bytes:
        if not wire:
            return wire
        before, data = self._before, self._before + wire
        self._before = b"\r\n" if data.endswith(b"\r\n") else b"\r" if data.endswith(b"\r") else b""
        return data.replace(b"\r\n.", b"\r\n")[len(before) :]


class Stuffer:
    """Content that comes in any portions, in wire form, in portions that end where those of `DotReader` may."""

    __slots__ = ("_held", "_started")

    def __init__(self) -> None:
        self._held = b""
        self._started = False

    def feed(self, plain: bytes) -> bytes:
        data = self._held + plain
        keep = 2 if data.endswith(b"\r\n") else 1 if data.endswith(b"\r") else 0
        self._held = data[len(data) - keep :]
        return self._stuffed(data[: len(data) - keep])

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return self._stuffed(held)

    def _stuffed(self, plain: bytes) -> bytes:
        if not plain:
            return plain
        first, self._started = not self._started, True
        return stuff(plain) if first else plain.replace(b"\r\n.", b"\r\n..")


def _possible_end(data: bytes) -> int:
    """How many of the last octets could begin the end mark."""
    for size in (4, 3, 2, 1):
        if data.endswith(END[:size]):
            return size
    return 0
