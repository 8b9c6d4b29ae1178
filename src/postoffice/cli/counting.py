"""How many of something, as people say it."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 letter`, `2 letters`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
