"""Octets of a large file, read ahead, wherever in it one looks."""

from __future__ import annotations

import os

from postoffice.moving.letters import READ_OCTETS


class Window:
    """A view of the first `size` octets of an open file; what lies behind is not seen."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self.size = size
        self._base = 0
        self._data = b""

    def at(self, offset: int, octets: int) -> bytes:
        """So many octets from an offset on, `READ_OCTETS` at most; fewer where the file ends."""
        octets = max(0, min(octets, self.size - offset, READ_OCTETS))
        if offset < self._base or offset + octets > self._base + len(self._data):
            self._move(offset)
        return self._data[offset - self._base : offset - self._base + octets]

    def line(self, offset: int, octets: int) -> bytes:
        """The line that begins there, with its LF, but not more than so many octets of it."""
        text = self.at(offset, octets)
        return text[: text.find(b"\n") + 1] or text

    def find(self, sought: bytes, offset: int) -> int:
        """Where these octets come next, -1 if they do not."""
        while offset < self.size:
            if not self._base <= offset < self._base + len(self._data):
                self._move(offset)
            found = self._data.find(sought, offset - self._base)
            if found >= 0:
                return self._base + found
            end = self._base + len(self._data)
            if end >= self.size:
                return -1
            self._move(max(offset, end - len(sought) + 1))
            offset = self._base
        return -1

    def _move(self, offset: int) -> None:
        """The octets from an offset on are here; fewer than asked for if somebody made the file shorter."""
        self._base = offset
        self._data = os.pread(self._file, min(READ_OCTETS, self.size - offset), offset)
        if not self._data:
            self.size = offset
