"""The trace that every office leaves above a letter: Received and Return-Path (RFC 5321 §4.4).

What is written here stands above the sender's octets and is believed by whoever follows the letter back, so nothing
that a client says may end a line or a comment: its name is taken over only if it is one, else its address stands
there and what it said is shown, defused, in the comment. Fields are folded below 78 octets where a name allows it
(RFC 5322 §2.1.1) and end with CRLF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from postoffice.message.address import Address

LINE_OCTETS = 77

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# deviates: RFC 5321 §2.3.5 by the underscore, because many machines have one in their names.
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?|\[[0-9A-Za-z:.]{2,60}\]")
_NOT_SHOWN: Final = re.compile(r"[^A-Za-z0-9_.:\[\]-]")


@dataclass(frozen=True, slots=True)
class Hop:
    """One SMTP session, as the trace tells it.

    `name` is what the client called itself, `address` the IP address it came from (empty if it has none), `host`
    our own name. `user` is the number of the user of this machine whose program it was.
    """

    name: str
    address: str
    host: str
    is_extended: bool = True
    is_encrypted: bool = False
    is_authenticated: bool = False
    is_lmtp: bool = False
    user: int | None = None

    def protocol(self, *, needs_smtputf8: bool = False) -> str:
        """The registered name of how the letter came (RFC 3848 §1, RFC 6531 §4.3)."""
        if not self.is_extended:
            return "SMTP"
        plain, utf8 = ("LMTP", "UTF8LMTP") if self.is_lmtp else ("ESMTP", "UTF8SMTP")
        name = utf8 if needs_smtputf8 else plain
        return name + ("S" if self.is_encrypted else "") + ("A" if self.is_authenticated else "")


def received(
    hop: Hop, letter_id: str, now: float, recipient: Address | None = None, needs_smtputf8: bool = False
) -> bytes:
    """The Received field of a letter that just came.

    `recipient` is given only where there is one alone: the others must not learn of each other (RFC 5321 §7.2).
    """
    words = _session_words(hop, needs_smtputf8)
    words.append(f"id {letter_id}")
    if recipient is not None and (needs_smtputf8 or not recipient.needs_smtputf8):
        words.append(f"for <{recipient}>")
    words[-1] += ";"
    words.append(date_time(now))
    return _folded("Received:", words)


def return_path(address: Address | None) -> bytes:
    """The Return-Path field of the final delivery; None is the null reverse path."""
    return _folded("Return-Path:", ["<>" if address is None else f"<{address}>"])


def date_time(now: float) -> str:
    """A date-time of RFC 5322 §3.3, in UTC."""
    return _date_time_of_second(int(now))


@lru_cache(maxsize=8)
def _date_time_of_second(second: int) -> str:
    at = datetime.fromtimestamp(second, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} "
        f"{at.hour:02}:{at.minute:02}:{at.second:02} +0000"
    )


def _session_words(hop: Hop, needs_smtputf8: bool) -> list[str]:
    """The clauses that are the same for all letters of a session."""
    literal = address_literal(hop.address)
    info = literal if hop.user is None else f"uid {hop.user}"
    name = hop.name
    if not _NAME.fullmatch(name):
        info = f"helo={_NOT_SHOWN.sub('?', name[:60])} {literal}".rstrip()
        name = literal or "unknown"
    words = [f"from {name}"]
    if info:
        words.append(f"({info})")
    words.append(f"by {hop.host}")
    words.append(f"with {hop.protocol(needs_smtputf8=needs_smtputf8)}")
    return words


def address_literal(address: str) -> str:
    """An IP address as `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3); a zone is nobody else's business."""
    if ":" in address:
        return f"[IPv6:{address.partition('%')[0]}]"
    return f"[{address}]" if address else ""


def _folded(name: str, words: list[str]) -> bytes:
    """A field whose lines break between `words` only, as late as the limit allows."""
    lines: list[str] = []
    line = name
    for word in words:
        # No break right after the name: old readers take the rest for a field without a value.
        if len(line) + 1 + len(word.encode()) > LINE_OCTETS and line is not name:
            lines.append(line)
            line = "\t" + word
        else:
            line += " " + word
    lines.append(line)
    return ("\r\n".join(lines) + "\r\n").encode()
