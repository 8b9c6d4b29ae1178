"""How fast the other side must be, if it does anything at all.

Who is silent is waited for with the patience of the conversation. Who is not must be worth the wait: a line or a letter
that has begun comes on at a fair rate, and what we said is taken at a fair rate. A fair rate is less than any line of
our days has, so it ends only those who hold a connection for nothing; while octets move at it, no timer ends anything.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct

_UNSENT = 0x894B
"""SIOCOUTQNSD (Linux): octets for which the other side had no room. What only lacks its acknowledgement is there."""

FAIR_OCTETS = 20
"""Each second, on the average of a whole patience."""


def is_fair(octets: int, seconds: float) -> bool:
    return octets >= FAIR_OCTETS * seconds


def octets_under_way(transport: asyncio.Transport) -> int:
    """What was written and could not be sent yet: in our buffers, and in those of the system, where it can tell."""
    waiting = transport.get_write_buffer_size()
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), _UNSENT, bytes(4))
    except (OSError, ValueError):  # closed meanwhile
        return waiting
    return waiting + int(struct.unpack("i", answer)[0])
