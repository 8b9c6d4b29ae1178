"""How many, and how much, as people say it."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 letter`, `2 letters`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(octets: float) -> str:
    """`812 octets`, `3.4 MB`, `120 GB`, in powers of a thousand."""
    if octets < 1000:
        return counted(round(octets), "octet")
    for unit in ("kB", "MB", "GB"):
        octets /= 1000
        if octets < 1000:
            return f"{octets:.0f} {unit}" if octets >= 100 else f"{octets:.1f} {unit}"
    return f"{octets / 1000:.1f} TB"
