"""Much at once: a maildrop with as many letters as one likes, and a letter as large as one likes.

Both take long, so they are asked for by name. A crowd is placed, listed, read here and there, and taken away in one
session whose commands all go out together (RFC 2449 §6.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postoffice.conformance.dialogue import Failed, Server, Wire
from postoffice.protocols.dots import unstuff

_AT_ONCE = 500
_LETTER = b"From: <mrose@example.org>\r\nSubject: letter %d of a crowd\r\n\r\nbody\r\n"
_LARGE_HEAD = b"From: <mrose@example.org>\r\nSubject: a large letter\r\n\r\n"
_LARGE_LINE = b".the quick brown fox jumps over the lazy dog, again and again\r\n"


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many letters at once, and of how many octets the large one; 0 leaves it out."""

    letters: int = 0
    octets: int = 0


def crowd_letters(count: int) -> Iterator[bytes]:
    return (_LETTER % number for number in range(1, count + 1))


def large_letter(octets: int) -> bytes:
    """At least that many octets; every line of the body begins with a dot."""
    return _LARGE_HEAD + _LARGE_LINE * (octets // len(_LARGE_LINE) + 1)


def ask_crowd(server: Server, count: int) -> None:
    """STAT, LIST and UIDL know all of them, and what is read has the size that is listed."""
    with Wire(server) as wire:
        wire.line()
        wire.log_in()
        _, told, total, *_ = wire.expect("STAT", "+OK").split()
        if int(told) != count:
            raise Failed(f"{count} messages", told)
        wire.expect("LIST", "+OK")
        listed = [line.split() for line in wire.block().splitlines()]
        sizes = [int(line[1]) for line in listed]
        if [int(line[0]) for line in listed] != list(range(1, count + 1)) or sum(sizes) != int(total):
            raise Failed(f"LIST of {count} messages with {total} octets", f"{len(listed)} with {sum(sizes)}")
        if wire.ask("UIDL").startswith("+OK"):
            unique_ids = {line.split()[1] for line in wire.block().splitlines()}
            if len(unique_ids) != count:
                raise Failed(f"{count} unique-ids", f"{len(unique_ids)} different ones")
        for number in sorted({1, count // 2 + 1, count}):
            wire.expect(f"RETR {number}", "+OK")
            letter = unstuff(wire.block())
            if len(letter) != sizes[number - 1]:
                raise Failed(f"message {number} of {sizes[number - 1]} octets", f"{len(letter)} octets")
            if b"Subject: letter %d of a crowd\r\n" % number not in letter:
                raise Failed("messages in the order in which they came", f"another as message {number}")
        wire.leave()


def take_away(server: Server) -> None:
    """DELE of everything, many commands at a time; what was marked is gone in the next session."""
    with Wire(server) as wire:
        wire.line()
        wire.log_in()
        count = int(wire.expect("STAT", "+OK").split()[1])
        for start in range(1, count + 1, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, count + 1))
            wire.say(b"".join(b"DELE %d\r\n" % number for number in numbers))
            for number in numbers:
                if not wire.line().startswith(b"+OK"):
                    raise Failed(f"+OK to DELE {number}", "something else")
        wire.leave()
    with Wire(server) as wire:
        wire.line()
        wire.log_in()
        left = wire.expect("STAT", "+OK").split()[1]
        wire.leave()
    if left != "0":
        raise Failed("an empty maildrop after QUIT", f"{left} messages")
