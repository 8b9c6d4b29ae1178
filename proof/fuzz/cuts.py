"""An input of a fuzzer, read: how its octets are cut, and long lines that cost the fuzzer nothing."""

from __future__ import annotations

import random
import re
from itertools import pairwise

_FILL = re.compile(rb"\xfe(.)", re.DOTALL)
_FILL_OCTETS = 300
_FILLS = 2
_SINGLY_AT_MOST = 60


def control_and_octets(data: bytes) -> tuple[int, bytes]:
    """The first octet, which chooses among variants, and the rest.

    In one variant of eight, 0xFE and N stand for N times 300 octets, twice at most.
    """
    if not data:
        return 0, b""
    if data[0] % 8:
        return data[0], data[1:]
    return data[0], _FILL.sub(lambda found: b"x" * (found[1][0] * _FILL_OCTETS), data[1:], count=_FILLS)


def cut(octets: bytes, control: int) -> list[bytes]:
    """`octets` in portions: singly, or cut inside of every line end, or at places drawn by lot."""
    if control % 3 == 0 and len(octets) <= _SINGLY_AT_MOST:
        return [octets[index : index + 1] for index in range(len(octets))]
    if control % 3 == 1:
        return [*(line + b"\r" for line in octets.split(b"\r")[:-1]), octets.rpartition(b"\r")[2]]
    lots = random.Random(control * 65_537 + len(octets))  # noqa: S311 - the same input is cut the same way
    places = sorted(lots.randint(0, len(octets)) for _ in range(8))
    return [octets[start:end] for start, end in pairwise([0, *places, len(octets)])]
