"""When a letter says that it was written: its Date field (RFC 5322 §3.6.1, §4.3), whatever stands there."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from postoffice.message import header

_CHARACTERS: Final = 200
_YEARS: Final = range(1970, 2200)


def written(head: bytes) -> float | None:
    """In seconds since the epoch; None where no date can be read, or none of a letter: before 1970, after 2199.

    A zone of `-0000` is UTC (RFC 5322 §3.3).
    """
    try:
        date = parsedate_to_datetime(header.decoded(head, b"Date")[:_CHARACTERS])
        if date.year not in _YEARS:
            return None
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError, IndexError):
        return None
