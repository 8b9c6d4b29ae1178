"""When a letter came, where nobody noted it: its own header tells (RFC 5321 §4.4, RFC 5322 §3.6.1)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from postoffice.message import header


def date_of(head: bytes, otherwise: float) -> float:
    """The date of the topmost Received field, else of Date, else `otherwise`; seconds since the epoch."""
    received = (header.first(head, b"Received") or b"").rpartition(b";")[2]
    for text in (received, header.first(head, b"Date") or b""):
        try:
            return max(0.0, parsedate_to_datetime(text.decode("latin-1")).timestamp())
        except (ValueError, TypeError, OverflowError, IndexError, OSError):
            continue
    return otherwise
