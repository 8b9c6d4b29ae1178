"""Is everything at home exactly once, and at the server what must be there?

Programs put fields above a letter and keep it with the line ends of this system, and some end its last line. Who is
`exact` does none of this: what it keeps is compared octet by octet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import IO

from postoffice.protocols.dots import unstuff
from postoffice.testing.faults.cells import Cell, Outcome
from postoffice.testing.faults.letters import vast_portions
from postoffice.testing.peer import PASSWORD, Pop3Peer, wire

Stored = Callable[[], AbstractContextManager[IO[bytes]]]
"""Opens what is at home of one letter."""

WHOLE_OCTETS = 8 * 1024 * 1024
"""What is larger is read piece by piece."""

_ABOVE_OCTETS = 8192
_PIECE = 1 << 20


def judge(cell: Cell, peer: Pop3Peer, stored: Iterable[Stored], *, exact: bool = False) -> list[str]:
    """Everything that is not as it must be, in words."""
    fault = cell.fault
    at_home = _found(cell, stored, exact=exact)
    if fault.outcome is Outcome.ALL_OR_NOTHING and not at_home:
        problems = [f"gone from the server: {len(peer.removed)}"] if peer.removed else []
        is_misled = any(PASSWORD in line for line in peer.heard)
        return [*problems, *(["takes what was injected for answers"] if is_misled else [])]
    expected = fault.expected()
    problems = _compared(at_home, expected)
    if peer.took_all:
        problems.append("takes without end")
    return problems + _left(cell, peer, expected)


def _left(cell: Cell, peer: Pop3Peer, expected: Mapping[str, bytes]) -> list[str]:
    """What is wrong with the server's maildrop."""
    if not cell.delete or cell.fault.outcome is Outcome.NOTHING:
        return [f"gone from the server: {len(peer.removed)}"] if peer.removed else []
    problems = []
    if lost := set(peer.removed) - expected.keys():
        problems.append(f"gone from the server, and not at home: {len(lost)}")
    if stay := peer.letters.keys() & expected.keys():
        problems.append(f"never deleted: {len(stay)}")
    return problems


def _compared(at_home: list[str], expected: Mapping[str, bytes]) -> list[str]:
    problems = []
    if missing := [name for name in expected if name not in at_home]:
        problems.append(f"missing: {len(missing)} of {len(expected)}")
    if doubled := len([name for name in at_home if name in expected]) - (len(expected) - len(missing)):
        problems.append(f"doubled: {doubled}")
    if strange := [name for name in at_home if name not in expected]:
        problems.append(f"delivered, and no letter: {len(strange)} ({strange[0]})")
    return problems


def _found(cell: Cell, stored: Iterable[Stored], *, exact: bool) -> list[str]:
    """The unique ids of the letters at home; what is none has words instead."""
    forms = _forms(cell, exact=exact)
    names = []
    for opened in stored:
        with opened() as file:
            octets = file.read(WHOLE_OCTETS)
            if len(octets) < WHOLE_OCTETS:
                names.append(_name(octets, forms, exact=exact))
            else:
                file.seek(0)
                names.append("vast" if _is_vast(file, exact=exact) else "a large one")
    return names


def _forms(cell: Cell, *, exact: bool) -> dict[bytes, str]:
    """How each letter may be at home."""
    forms = {}
    for name, octets in {**cell.fault.letters(), **cell.fault.later}.items():
        whole = unstuff(wire(octets))
        for form in (whole, cell.fault.also(whole)):
            forms[form if exact else _plain(form)] = name
    return forms


def _name(octets: bytes, forms: Mapping[bytes, str], *, exact: bool) -> str:
    if exact:
        return forms.get(octets) or f"{len(octets)} octets"
    plain = _plain(octets)
    for form, name in forms.items():
        above = plain.removesuffix(form)
        if len(above) < len(plain) and len(above) < _ABOVE_OCTETS and b"\n\n" not in above:
            return name
    return f"{len(octets)} octets"


def _plain(octets: bytes) -> bytes:
    """With the line ends of this system, and without those at its end."""
    return octets.replace(b"\r\n", b"\n").rstrip(b"\n")


def _is_vast(file: IO[bytes], *, exact: bool) -> bool:
    """Whether the end of a file is the vast letter; what stands above it is short."""
    total, wanted = 0, hashlib.sha256()
    for portion in vast_portions():
        form = portion if exact else portion.replace(b"\r\n", b"\n")
        wanted.update(form)
        total += len(form)
    octets = file.seek(0, 2)
    above = octets - total
    if not 0 <= above < (1 if exact else _ABOVE_OCTETS):
        return False
    file.seek(above)
    found = hashlib.sha256()
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.digest() == wanted.digest()
