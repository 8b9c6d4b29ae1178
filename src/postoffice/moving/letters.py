"""Letters as they lie at another server, and what is wrong with some of them.

A mail store of any kind is an `OldStore`: it gives its letters one after the other, in the order in which its server
showed them, and opens each only when it is asked to. What it cannot give it names in a `Complaint`, and goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from postoffice.store.model import INBOX, NO_FLAGS, Flag

READ_OCTETS: Final = 256 * 1024

FIT_TO_SHOW: Final = re.compile(r"[!-~]{1,70}")
"""A unique-id as RFC 1939 §7 allows it."""

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Opened:
    """A letter that can be read: its octets with canonical CRLF, in any portions, and when it came.

    `prefix` is what an office wrote above them, where that is known.
    """

    internal_date: float
    octets: Iterator[bytes]
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class Found:
    """A letter of another server.

    `where` names it for people. `source_id` is the same whenever this letter is met again, and no other's; None where
    the store knows itself what the mailbox has. `unique_id` is what its server showed, None if that is not known.
    `open` may raise OSError or `Unfit`.
    """

    where: str
    source_id: str | None
    unique_id: str | None
    open: Callable[[], Opened]
    flags: Flag = NO_FLAGS
    folder: str = INBOX


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that is not as it should be. `loses`: a letter did not come because of it."""

    where: str
    what: str
    loses: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Unfit(Exception):
    """What lies there is no letter; `str()` says why."""


class OldStore(Protocol):
    """Letters of one mailbox elsewhere. `source` is the name under which a mailbox remembers what it has from there."""

    @property
    def source(self) -> str: ...

    @property
    def total(self) -> int:
        """How many letters there are."""
        ...

    def letters(self) -> Iterator[Found | Complaint]: ...


@runtime_checkable
class WithFolders(Protocol):
    """An old store that knows its folders, also those without a letter."""

    @property
    def folders(self) -> Sequence[str]: ...


def canonical(portions: Iterator[bytes]) -> Iterator[bytes]:
    """Octets with CRLF at each line's end, the last line too; a CR elsewhere stays what it is.

    A server does the same when it sends a file whose lines end with LF.
    """
    before, last = b"", b""
    for portion in portions:
        if not portion:
            continue
        data = before + portion
        yield _BARE_LF.sub(b"\r\n", data)[len(before) :] if b"\n" in portion else portion
        before = b"\r" if portion.endswith(b"\r") else b""
        last = (last + portion)[-2:]
    if last and not last.endswith(b"\n"):
        yield b"\r\n"


def with_final_line_end(portions: Iterator[bytes]) -> Iterator[bytes]:
    """Octets as they are, but that the last line has an end: nothing else can travel (RFC 1939 §3)."""
    last = b""
    for portion in portions:
        yield portion
        last = (last + portion)[-2:]
    if last and last != b"\r\n":
        yield b"\r\n"
