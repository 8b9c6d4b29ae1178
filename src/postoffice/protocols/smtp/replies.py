"""SMTP replies: octets <-> `Reply` (RFC 5321 §4.2), with enhanced status codes (RFC 2034), and how a `Refusal` is said.

A reply is a code and one or more lines, all with the same code; the enhanced code stands in every line. The greeting,
the replies to EHLO and HELO and the 3xx replies never have one (RFC 2034 §4).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from postoffice.errors import Refusal, RemoteProtocolError
from postoffice.protocols.sasl.server import Failed, Fault
from postoffice.protocols.smtp.commands import Invalid
from postoffice.protocols.smtp.table import REPLY_OCTETS


class Reply(NamedTuple):
    """A whole reply. `enhanced` is `2.1.0` or empty; the lines are without it and without the code."""

    code: int
    lines: tuple[str, ...]
    enhanced: str = ""

    @property
    def is_positive(self) -> bool:
        """Whether the command did what it should, or may go on (2xx and 3xx)."""
        return self.code < 400

    @property
    def is_temporary(self) -> bool:
        """Whether the same may succeed later (4xx)."""
        return self.code // 100 == 4

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


class Challenge(NamedTuple):
    """A server's 334 line in an exchange; still in base64."""

    encoded: bytes


MOST_LINES = 256
"""More lines than any reply has: what a client reads of one reply stays bounded."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")
_NOT_PRINTABLE = re.compile(r"[^ -~]")


@lru_cache(maxsize=256)
def format_reply(reply: Reply) -> bytes:
    """The lines of a reply, with their ends. What is not printable ASCII becomes `?`, what is too long is cut."""
    start = f"{reply.code} {reply.enhanced} " if reply.enhanced else f"{reply.code} "
    if len(reply.lines) == 1:
        return _line(start, reply.lines[0])
    dashed = f"{reply.code}-{start[4:]}"
    last = len(reply.lines) - 1
    return b"".join(_line(start if i == last else dashed, text) for i, text in enumerate(reply.lines))


def _line(start: str, text: str) -> bytes:
    if not (text.isascii() and text.isprintable()):
        text = _NOT_PRINTABLE.sub("?", text)
    return (start + text)[: REPLY_OCTETS - 2].encode() + b"\r\n"


class ReplyReader:
    """Puts the lines of a reply together: at most `MOST_LINES` of them."""

    __slots__ = ("_code", "_texts")

    def __init__(self) -> None:
        self._code = b""
        self._texts: list[str] = []

    def add(self, line: bytes, *, has_status: bool = True) -> Reply | None:
        """The reply, if this line (given without its end) is its last. `has_status` False leaves what looks like an
        enhanced code where it is, as a greeting and a granted EHLO want it."""
        found = _LINE.fullmatch(line)
        if not found:
            raise RemoteProtocolError("a reply that begins with no code")
        code, mark, text = found.groups()
        if self._code and self._code != code:
            raise RemoteProtocolError("a reply with two codes")
        self._code = code
        self._texts.append((text or b"").decode("utf-8", "replace"))
        if mark == b"-":
            if len(self._texts) >= MOST_LINES:
                raise RemoteProtocolError("a reply that does not end")
            return None
        reply = Reply(int(code), tuple(self._texts))
        self._code = b""
        self._texts = []
        return _with_status(reply) if has_status or reply.code >= 400 else reply

    @property
    def is_between(self) -> bool:
        """Whether no reply is half read."""
        return not self._texts


def _with_status(reply: Reply) -> Reply:
    """The reply with its enhanced code, if it has one of its own class, taken out of the lines."""
    found = _STATUS.match(reply.lines[0])
    if not found or int(found[1]) != reply.code // 100:
        return reply
    enhanced = found[0]
    lines = tuple(
        line[len(enhanced) + 1 :] if line == enhanced or line.startswith(enhanced + " ") else line
        for line in reply.lines
    )
    return Reply(reply.code, lines, enhanced)


# --- how a refusal is said

_PERMANENT: Final = {
    "1.3": 501,
    "1.7": 501,
    "1.10": 556,
    "2.2": 552,
    "2.3": 552,
    "3.4": 552,
    "4.6": 554,
    "5.1": 503,
    "5.2": 500,
    "5.4": 501,
    "6.0": 554,
    "6.7": 553,
    "7.0": 530,
    "7.8": 535,
    "7.9": 534,
    "7.11": 538,
    "7.13": 525,
}
"""Codes of permanent refusals that are not 550. 5.7.0 is "authenticate first" (RFC 4954 §6)."""

_TEMPORARY: Final = {
    "1.1": 450,
    "2.1": 450,
    "2.2": 452,
    "3.1": 452,
    "3.2": 421,
    "3.4": 452,
    "5.3": 452,
    "7.0": 454,
    "7.1": 450,
    "7.8": 454,
}
"""Codes of temporary refusals that are not 451. Too many recipients is 452 (RFC 5321 §4.5.3.1.10); 4.3.2, a system
that is going down, ends the session."""


def from_refusal(refusal: Refusal) -> Reply:
    """What we answer where we say no."""
    code = _PERMANENT.get(refusal.status, 550) if refusal.permanent else _TEMPORARY.get(refusal.status, 451)
    return Reply(code, (refusal.public,), refusal.enhanced)


def from_invalid(invalid: Invalid) -> Reply:
    return Reply(invalid.code, (invalid.text,), invalid.status)


_FAULTS: Final = {
    Fault.CANCELLED: Reply(501, ("Authentication cancelled",), "5.7.0"),
    Fault.NOT_BASE64: Reply(501, ("Cannot decode this base64",), "5.5.2"),
    Fault.MALFORMED: Reply(535, ("Authentication failed",), "5.7.8"),
    Fault.UNPROVEN: Reply(535, ("Authentication failed",), "5.7.8"),
}


def from_failed(failed: Failed) -> Reply:
    """What an exchange that came to nothing is answered with (RFC 4954 §4)."""
    return _FAULTS[failed.fault]
