"""The mail of the benchmarks: letter number N is always the same octets, and unlike any other letter.

Plain content with CRLF line ends; every 97th line of all that are written begins with a dot, so that dot-stuffing is
paid for, at the rate at which it occurs.
"""

from __future__ import annotations

from collections.abc import Sequence

from postoffice.protocols.dots import stuff

LETTER_OCTETS = 10 * 1024
DOT_LINE_EVERY = 97


def letter(number: int, octets: int = LETTER_OCTETS) -> bytes:
    """A letter of exactly `octets` octets."""
    lines = [
        f"From: sender@a.example\r\nTo: reader@b.example\r\nSubject: letter {number}\r\n"
        f"Message-ID: <{number}@a.example>\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n\r\n"
    ]
    size, line = len(lines[0]), number * 131
    while size < octets:
        dot = "." if line % DOT_LINE_EVERY == 0 else ""
        lines.append(f"{dot}line {line:07d} of a letter that is as dull as any other and goes its way\r\n")
        size += len(lines[-1])
        line += 1
    return "".join(lines).encode("ascii")[: octets - 2] + b"\r\n"


def letters(count: int, octets: int = LETTER_OCTETS) -> list[bytes]:
    """The first `count` letters."""
    return [letter(number, octets) for number in range(count)]


def wire_file(contents: Sequence[bytes]) -> bytes:
    """All letters in wire form, each with its final dot line, one behind the other."""
    return b"".join(stuff(content) + b".\r\n" for content in contents)
