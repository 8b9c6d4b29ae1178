"""What files of letters cannot say themselves: a list that lies beside them, `index.jsonl`, one JSON object a line.

    {"postoffice": "letters", "version": 1, "form": "eml"}
    {"folder": "Archive/2024", "lies_in": "Archive/2024"}
    {"file": "INBOX/2024-….eml", "folder": "INBOX", "uid": 7, "received": 1706709909.0, "flags": ["seen"],
     "unique_id": "…", "octets": 2931, "sha256": "…"}
    {"letters": 1}

The last line says that the list is whole. Other programs may use it; what they wrote is read with care: a path in it
leads nowhere, it only names a file that was found without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from postoffice.errors import DamagedStore
from postoffice.message.printable import safe
from postoffice.moving.letters import Complaint
from postoffice.store.model import INBOX, NO_FLAGS, Entry, Flag

NAME: Final = "index.jsonl"
VERSION: Final = 1
ORIGINALS: Final = "originals"
"""The folder of the letters in the form `html`; what else is there is made of them."""

_LINE_OCTETS: Final = 64 * 1024
_FOLDER_CHARACTERS: Final = 500
_LAST_DATE: Final = 253_402_300_800
"""Behind the year 9999 no file system, and no calendar of Python's, knows a date."""

_FLAGS: Final = {flag.name.lower(): flag for flag in Flag if flag.name}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A letter of the list. `file` is a path with `/`; `received` is in seconds since the epoch.

    `uid` is its place among the letters of its folder, which need not have been written in that order.
    """

    file: str
    folder: str
    uid: int
    received: float
    flags: Flag
    unique_id: str | None
    octets: int
    sha256: bytes


@dataclass(slots=True)
class Catalogue:
    """A list that was read. `letters` are by their file; `folders` in the order in which they were written."""

    form: str
    letters: dict[str, Listed] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def first_line(form: str) -> bytes:
    return _line({"postoffice": "letters", "version": VERSION, "form": form})


def folder_line(folder: str, lies_in: str) -> bytes:
    return _line({"folder": folder, "lies_in": lies_in})


def letter_line(file: str, folder: str, entry: Entry, octets: int, sha256: bytes) -> bytes:
    """What is kept of a letter; `octets` and `sha256` are those of its file, times are seconds since the epoch."""
    return _line(
        {
            "file": file,
            "folder": folder,
            "uid": entry.uid,
            "received": entry.internal_date,
            "flags": [name for name, flag in _FLAGS.items() if flag in entry.flags],
            "unique_id": entry.unique_id,
            "octets": octets,
            "sha256": sha256.hex(),
        }
    )


def last_line(letters: int) -> bytes:
    return _line({"letters": letters})


def _line(facts: dict[str, object]) -> bytes:
    return json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read(portions: Iterator[bytes], where: str) -> Catalogue | None:
    """A list, None if it is somebody else's. What cannot be read in it is complained about.

    A list of a newer version is a `DamagedStore`.
    """
    lines = _lines(portions)
    first = _object(next(lines, b""))
    if first is None or first.get("postoffice") != "letters":
        return None
    version = first.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise DamagedStore(f"{where} is from a newer version of postoffice than this one")
    catalogue = Catalogue(str(first.get("form")))
    is_whole = False
    for number, line in enumerate(lines, 2):
        facts = _object(line)
        listed = _listed(facts) if facts is not None else None
        if listed is not None:
            catalogue.letters.setdefault(listed.file, listed)
        elif facts is not None and isinstance(facts.get("folder"), str) and "file" not in facts:
            catalogue.folders.append(_folder(facts["folder"]))
        elif facts is not None and facts.get("letters") == len(catalogue.letters):
            is_whole = True
        else:
            what = "says nothing that can be understood; its letter keeps its octets alone"
            catalogue.complaints.append(Complaint(f"{where}, line {number}", what))
    places = {folder: place for place, folder in enumerate(catalogue.folders)}
    ordered = sorted(catalogue.letters.values(), key=lambda one: (places.get(one.folder, len(places)), one.uid))
    catalogue.letters = {one.file: one for one in ordered}
    if not is_whole:
        catalogue.complaints.append(Complaint(where, "is not whole, or was changed"))
    return catalogue


def _lines(portions: Iterator[bytes]) -> Iterator[bytes]:
    """Lines of a file, none of them longer than it may be."""
    held = b""
    for portion in portions:
        *whole, held = (held + portion).split(b"\n")
        yield from (line for line in whole if line)
        if len(held) > _LINE_OCTETS:
            yield held[:_LINE_OCTETS]
            held = b""
    if held:
        yield held


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line) if len(line) <= _LINE_OCTETS else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _listed(facts: dict[str, Any]) -> Listed | None:
    file, folder, received = facts.get("file"), facts.get("folder"), facts.get("received")
    octets, digest, unique_id = facts.get("octets"), facts.get("sha256"), facts.get("unique_id")
    if not (isinstance(file, str) and isinstance(folder, str) and isinstance(octets, int)):
        return None
    if isinstance(received, bool) or not isinstance(received, int | float) or not abs(received) < _LAST_DATE:
        return None
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        return None
    flags = NO_FLAGS
    for name in facts["flags"] if isinstance(facts.get("flags"), list) else ():
        flags |= _FLAGS.get(name, NO_FLAGS) if isinstance(name, str) else NO_FLAGS
    named = unique_id if isinstance(unique_id, str) else None
    uid = facts["uid"] if isinstance(facts.get("uid"), int) else 0
    return Listed(file, _folder(folder), uid, float(received), flags, named, octets, bytes.fromhex(digest))


def _folder(name: str) -> str:
    return safe(name)[:_FOLDER_CHARACTERS] or INBOX
