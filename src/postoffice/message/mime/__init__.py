"""A letter as people read it (RFC 2045-2049): its parts, their text, what is attached, what is wrong with it.

Whatever a letter is made of, it is taken apart in time that grows with its octets and no faster, and nothing raises.
Nothing is fetched, run or written: whoever has the octets of a letter gets values. It knows no mailbox and no terminal.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """A set that is written as a line of words."""
    return frozenset(text.split())
