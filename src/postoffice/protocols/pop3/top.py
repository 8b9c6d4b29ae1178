"""TOP: the header, the blank line, and so many lines of the body (RFC 1939 §7).

Works on the wire form, in which a line of the letter is a line, and in portions, so that the beginning of a letter
of any size is found in constant memory. A letter that is all header has no blank line, and none is made up.
"""

from __future__ import annotations


class TopReader:
    """`feed` gives the octets of a portion that belong to the top; `is_complete` tells that no more will."""

    __slots__ = ("_in_header", "_lines_left", "_tail", "is_complete")

    def __init__(self, body_lines: int) -> None:
        self._lines_left = body_lines
        self._in_header = True
        self._tail = b"\r\n"  # an empty first line ends an empty header
        self.is_complete = False

    def feed(self, wire: bytes) -> bytes:
        position = 0
        if self._in_header:
            joined = self._tail + wire
            end = joined.find(b"\r\n\r\n")
            if end < 0:
                self._tail = joined[-3:]
                return wire
            self._in_header = False
            position = end + 4 - len(self._tail)
        while self._lines_left:
            end = self._line_end(wire, position)
            if end < 0:
                self._tail = wire[-1:] or self._tail
                return wire
            position = end
            self._lines_left -= 1
        self.is_complete = True
        return wire[:position]

    def _line_end(self, wire: bytes, position: int) -> int:
        """Where the next line ends, -1 if not in this portion; its CRLF may be cut in two by the border."""
        if position == 0 and self._tail.endswith(b"\r") and wire.startswith(b"\n"):
            return 1
        end = wire.find(b"\r\n", position)
        return end + 2 if end >= 0 else -1
