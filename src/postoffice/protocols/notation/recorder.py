"""Writes a live conversation down in the notation, without its secrets and without its letters.

A `Recorder` hears octets as they pass, in any portions, and gives lines that `notation.parse` reads. It follows POP3
and SMTP as far as it must to know what a secret is: PASS, the digest of APOP, the initial response of AUTH and every
response to a challenge become `...`. What a client says behind an AUTH that is not answered yet may be such a
response or not; it is held back until the server tells. Letters and contents become counted octets, and so do lines
too long to be read.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from postoffice.protocols.dots import DotReader
from postoffice.protocols.notation.steps import (
    Closes,
    Counted,
    Handshake,
    Line,
    Step,
    Who,
    format_step,
    line_text,
)
from postoffice.protocols.pop3 import commands as pop3
from postoffice.protocols.pop3 import grammar
from postoffice.protocols.pop3.table import Keyword, Shape
from postoffice.protocols.smtp.table import RULES as SMTP_RULES

LINE_OCTETS = 1000
"""Longer lines are counted and not shown."""

_WORDS: Final = re.compile(rb"(\s*(\S+)\s+)(\S+)?(\s+\S.*)?", re.DOTALL)
_KNOWN: Final = {keyword.value for keyword in Keyword} | {keyword.value for keyword in SMTP_RULES}


class Recorder:
    """One conversation. Hears `"C"`, `"S"` and octets, or `"!"` and `TLS`, `C closes` or `S closes`."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._is_pop3 = False
        self._buffers = {"C": b"", "S": b""}
        self._dropped = {"C": 0, "S": 0}
        self._owed: deque[Shape | None] = deque([None])  # the greeting
        self._listing = False
        self._letter: DotReader | None = None  # of POP3
        self._content: DotReader | None = None  # of SMTP
        self._letter_octets = 0
        self._blocked = True  # nothing is understood before the greeting tells the protocol
        self._challenged = self._saw_auth = False

    def hear(self, who: str, octets: bytes) -> list[str]:
        """The lines that are whole now."""
        match who:
            case "C":
                self._buffers["C"] += octets
                self._read_client()
            case "S":
                self._buffers["S"] += octets
                self._read_server()
            case _:
                self._end_of_channel()
                if octets == b"TLS":
                    self._say(Handshake())
                else:
                    self._say(Closes("C" if octets.startswith(b"C") else "S"))
        written, self._written = self._written, []
        return written

    # --- the client

    def _read_client(self) -> None:
        while self._content is not None or not self._blocked or self._challenged:
            if self._content is not None:
                if not self._count("C", self._content):
                    return
                self._content = None
                self._owed.append(None)
                continue
            line = self._take("C")
            if line is None:
                return
            if self._challenged:
                self._challenged = False
                self._say(Line("C", "..."))
            elif line:
                self._client_line(line)

    def _client_line(self, line: bytes) -> None:
        word = line.split(maxsplit=1)[0].upper() if line.strip() else b""
        self._say(Line("C", line_text(self._without_secret(word, line))))
        shape: Shape | None = None
        if self._is_pop3:
            command = grammar.parse(line.rstrip(b"\r\n"))
            shape = command.shape if isinstance(command, pop3.Command) else None
        if word == b"AUTH":
            self._saw_auth = True
        if (word == b"AUTH" and shape is not Shape.LISTING) or (word == b"DATA" and not self._is_pop3):
            self._blocked = True
        self._owed.append(shape)

    def _without_secret(self, word: bytes, line: bytes) -> bytes:
        end = line[len(line.rstrip(b"\r\n")) :]
        found = _WORDS.match(line.rstrip(b"\r\n"))
        if self._saw_auth and word not in _KNOWN:
            return b"..." + end  # perhaps a response that came too late
        if not found or found[3] is None:
            return line
        if word == b"PASS":
            return found[1] + b"..." + end
        if word in (b"APOP", b"AUTH") and found[4]:
            return found[1] + found[3] + b" ..." + end
        return line

    # --- the server

    def _read_server(self) -> None:
        while True:
            if self._letter is not None:
                if not self._count("S", self._letter):
                    return
                self._letter = None
                continue
            line = self._take("S")
            if line is None:
                return
            if not line:
                continue
            self._say(Line("S", line_text(line)))
            if self._listing:
                self._listing = line.rstrip(b"\r\n") != b"."
            elif line.startswith((b"+", b"-")):
                self._pop3_line(line)
            else:
                self._smtp_line(line)
            self._read_client()

    def _pop3_line(self, line: bytes) -> None:
        self._is_pop3 = True
        if not line.startswith((b"+OK", b"-ERR")):
            self._challenged = True
            return
        shape = self._answered()
        if line.startswith(b"+OK"):
            self._listing = shape is Shape.LISTING
            self._letter = DotReader() if shape is Shape.LETTER else None

    def _smtp_line(self, line: bytes) -> None:
        if line[3:4] == b"-":
            return
        if line.startswith(b"334"):
            self._challenged = True
            return
        if line.startswith(b"354"):
            self._content = DotReader()
        self._answered()

    def _answered(self) -> Shape | None:
        """What was owed. A command that blocks is the last that is owed, for all behind it is held back."""
        shape = self._owed.popleft() if self._owed else None
        if not self._owed:
            self._blocked = self._challenged = False
        return shape

    # --- both

    def _take(self, who: Who) -> bytes | None:
        """The next line with its end; empty if it was too long and counted; None if it is not here yet."""
        head, end, rest = self._buffers[who].partition(b"\n")
        if not end:
            if len(head) > LINE_OCTETS:
                self._dropped[who] += len(head) - 1  # the last octet may be the CR of a CRLF
                self._buffers[who] = head[-1:]
            return None
        self._buffers[who] = rest
        octets, self._dropped[who] = self._dropped[who] + len(head) + 1, 0
        if octets <= LINE_OCTETS:
            return head + end
        self._say(Counted(who, octets))
        if who == "C" and not self._challenged:
            self._owed.append(None)
        self._challenged = self._challenged and who != "C"
        return b""

    def _count(self, who: Who, reader: DotReader) -> bool:
        """Count what belongs to a letter; True at its end."""
        self._letter_octets += len(reader.feed(self._buffers[who]))
        self._buffers[who] = b""
        if reader.rest is None:
            return False
        self._buffers[who] = reader.rest
        self._tell_letter(who)
        self._say(Line(who, "."))
        return True

    def _tell_letter(self, who: Who) -> None:
        if self._letter_octets:
            self._say(Counted(who, self._letter_octets))
        self._letter_octets = 0

    def _end_of_channel(self) -> None:
        """What was begun and not ended."""
        for who in ("C", "S"):
            self._tell_letter("C" if who == "C" and self._content else "S")
            rest, self._buffers[who] = self._buffers[who], b""
            if not rest:
                continue
            if who == "C":
                word = rest.split(maxsplit=1)[0].upper() if rest.strip() else b""
                hidden = self._blocked or self._challenged
                rest = b"..." if hidden else self._without_secret(word, rest)
                self._say(Line("C", line_text(rest)))
            else:
                self._say(Line("S", line_text(rest)))
        self._blocked = self._challenged = self._listing = False
        self._content = self._letter = None
        self._owed.clear()

    def _say(self, step: Step) -> None:
        self._written.append(format_step(step))
