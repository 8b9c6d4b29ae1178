"""Files of names and password hashes: Dovecot's passwd-file, `/etc/shadow`, and lists of addresses.

    bob@b.example:{SHA512-CRYPT}$6$...:1000:1000::/home/bob::
    bob:$6$...:19700:0:99999:7:::
    bob@b.example {SSHA256}...

Whatever comes first behind the name, a colon or a space, says which of these a line is. What stands behind the hash is
the old server's own business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from postoffice.errors import Refusal
from postoffice.message.address import parse_address
from postoffice.moving.letters import Complaint

_LINE: Final = re.compile(r"(?P<name>[^:\s]+)(?::(?P<field>[^:]*)(?::.*)?|[ \t]+(?P<rest>.*))")
_LOCKED: Final = ("!", "*")
_ELSEWHERE: Final = "x"
"""What `/etc/passwd` has in place of a hash."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What another server kept for somebody. `where` is file and line; `kept` is never shown."""

    where: str
    address: str
    kept: str = field(repr=False)


def entries(path: Path, octets: bytes, domain: str = "") -> Iterator[Entry | Complaint]:
    """What the lines of a file say, in order. Names without a domain are of `domain`."""
    seen: dict[str, str] = {}
    for number, line in enumerate(octets.splitlines(), 1):
        found = _entry(f"{path}:{number}", line, domain)
        if isinstance(found, Entry):
            first = seen.setdefault(found.address, found.where)
            if first != found.where:
                found = Complaint(found.where, f"{found.address} stands in {first} already", loses=True)
        if found is not None:
            yield found


def _entry(where: str, octets: bytes, domain: str) -> Entry | Complaint | None:
    """What a line says; None for a comment."""
    try:
        line = octets.decode().strip()
    except UnicodeDecodeError:
        return Complaint(where, "this line is not UTF-8", loses=True)
    if not line or line.startswith("#"):
        return None
    found = _LINE.fullmatch(line)
    if found is None:
        return Complaint(where, "this line is no name with a hash behind it", loses=True)
    name, kept = found["name"], (found["field"] if found["field"] is not None else found["rest"])
    if not kept or kept == _ELSEWHERE or kept.startswith(_LOCKED):
        return Complaint(where, f"{name} is locked there, or has no password")
    if "@" not in name and not domain:
        return Complaint(where, f"{name} has no domain; name one with --domain", loses=True)
    try:
        address = parse_address(name if "@" in name else f"{name}@{domain}").normalized()
    except Refusal as refusal:
        return Complaint(where, f"{name}: {refusal.public}", loses=True)
    return Entry(where, address, kept)
