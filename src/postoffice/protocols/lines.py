"""Lines of a command channel, read from octets that come in any portions, in bounded memory.

A line ends with LF; whether the CR before it was there is told, because SMTP insists on it (RFC 5321 §2.3.8) and
POP3 does not need to. A line longer than the limit is told once, as `TOO_LONG`, when its end has come; its octets
are thrown away as they arrive, so the conversation stays in step and memory stays bounded.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final

from postoffice.protocols.dots import END


class Oddity(Enum):
    """What `take` gives besides a line."""

    NEED_DATA = "need data"
    TOO_LONG = "line too long"
    BARE_LF = "line ends with a bare LF"


NEED_DATA: Final = Oddity.NEED_DATA
TOO_LONG: Final = Oddity.TOO_LONG
BARE_LF: Final = Oddity.BARE_LF


@lru_cache(maxsize=256)
def _so_many(lines: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:[^\n]*\n){%d}" % lines)


class LineReader:
    """`limit` counts octets with the line end, as RFC 2449 §4 and RFC 5321 §4.5.3.1 do."""

    __slots__ = ("_buffer", "_discarding", "_position", "_searched", "limit", "strict")

    def __init__(self, limit: int, *, strict: bool = False) -> None:
        self.limit = limit
        self.strict = strict
        self._buffer = b""
        self._position = 0
        self._searched = 0
        self._discarding = False

    def __len__(self) -> int:
        """Octets received and not yet taken."""
        return len(self._buffer) - self._position

    @property
    def is_too_long(self) -> bool:
        """Whether the line that has no end yet is beyond the limit already."""
        return self._discarding

    def receive(self, octets: bytes) -> None:
        if self._position == len(self._buffer):
            self._buffer = octets
            self._position = self._searched = 0
            return
        self._buffer = self._buffer[self._position :] + octets
        self._searched -= self._position
        self._position = 0

    def take(self) -> bytes | Oddity:
        """The next line without its end."""
        buffer, start = self._buffer, self._position
        if start == len(buffer):
            return NEED_DATA
        end = buffer.find(b"\n", self._searched)
        if end < 0:
            self._wait_for_end()
            return NEED_DATA
        self._position = self._searched = end + 1
        if self._discarding or end - start >= self.limit:
            self._discarding = False
            return TOO_LONG
        if end > start and buffer[end - 1] == 13:
            return buffer[start : end - 1]
        return BARE_LF if self.strict else buffer[start:end]

    def _wait_for_end(self) -> None:
        """Keep what came of a line, or throw it away."""
        if len(self._buffer) - self._position >= self.limit:
            self._discarding = True
            self._buffer = b""
            self._position = self._searched = 0
        else:
            self._searched = len(self._buffer)

    def ahead(self, pattern: re.Pattern[bytes]) -> bytes:
        """What matches at the front of the octets not yet taken, which it leaves there; empty if nothing does."""
        found = pattern.match(self._buffer, self._position)
        return found[0] if found else b""

    def skip_lines(self, lines: int) -> None:
        """Take so many of the lines that were seen ahead."""
        if lines == 1:
            self._position = self._searched = self._buffer.index(b"\n", self._position) + 1
            return
        found = _so_many(lines).match(self._buffer, self._position)
        assert found is not None, "they were seen"
        self._position = self._searched = found.end()

    def take_dotted(self, limit: int) -> bytes | None:
        """The letter that begins here, in wire form, without the dot line that ends it; None if that is not here yet,
        or behind more than `limit` octets.

        The quick way past `DotReader`: what comes behind the letter is not copied.
        """
        buffer, start = self._buffer, self._position
        if buffer.startswith(b".\r\n", start):
            self._position = self._searched = start + 3
            return b""
        end = buffer.find(END, start, start + limit + len(END) - 2)
        if end < 0:
            return None
        self._position = self._searched = end + len(END)
        return buffer[start : end + 2]

    def take_all(self) -> bytes:
        """Everything not yet taken, as it came: the channel now speaks another language."""
        octets = self._buffer[self._position :]
        self._buffer = b""
        self._position = self._searched = 0
        return octets
