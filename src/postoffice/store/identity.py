"""Names that are given once and never again.

An email id names a letter for ever (RFC 8474 §4). Ours is the time in milliseconds and 56 random bits, so
ids sort by the time they were given, and two processes need not know of each other. It begins with a letter
and has no upper case to confuse with lower (RFC 8474 §8), and is a proper unique id for UIDL as it stands
(RFC 1939 §7).
"""

from __future__ import annotations

import os


def new_email_id(now: float) -> str:
    """An id nobody has, 26 characters, for a letter that comes at `now`."""
    return new_email_ids(now, 1)[0]


def new_email_ids(now: float, count: int) -> list[str]:
    """One for each of so many letters that come at `now`."""
    moment = f"m{int(now * 1000):011x}"
    random = os.urandom(7 * count).hex()
    return [moment + random[at : at + 14] for at in range(0, 14 * count, 14)]
