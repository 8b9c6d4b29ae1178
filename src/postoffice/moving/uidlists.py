"""What Dovecot and Courier noted about their Maildirs: the order of letters, and the unique-ids that clients saw.

    dovecot-uidlist         3 V<uid validity> N<next uid> G<guid>      (version 1: 1 <uid validity> <next uid>)
                            <uid> [P<unique-id>] [O<place>] [G<guid>] [W<octets>] [S<octets>] :<file>
    courierpop3dsizelist    /3 <next uid> <uid validity>
                            <file> <octets> <uid>:<uid validity>:<flag>

A file is named by its base, which is what stays the same of its name while servers move and mark it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from postoffice.errors import UsageError
from postoffice.moving.letters import Complaint

DOVECOT_FORMAT: Final = "%08Xu%08Xv"
"""What `pop3_uidl_format` is where nobody set it."""

_VARIABLE: Final = re.compile(r"%(?:%|(0?)([0-9]{0,2})([A-Z]*)([a-z])|\{([a-z_]+)\})")
_LONG: Final = {"uid": "u", "uidvalidity": "v", "filename": "f", "guid": "g", "uidl_filename": "f"}
_V3: Final = re.compile(r"3((?: [A-Za-z][^ ]*)*) *")
_V1: Final = re.compile(r"[12] ([0-9]+) ([0-9]+) *")
_LINE: Final = re.compile(r"([0-9]{1,10})((?: [A-Za-z][^ ]*)*) :?(.+)")
_COURIER_LINE: Final = re.compile(r"(.+) ([0-9]+) ([0-9]+):([0-9]+)(?::[0-9]+)?")
_COURIER_OLD_LINE: Final = re.compile(r"(.+) ([0-9]+)")
_PLAIN: Final = re.compile(r"[^!-*,-~]")


@dataclass(frozen=True, slots=True)
class Noted:
    """A letter's place among the others, and its unique-id if it had one."""

    place: tuple[int, int]
    unique_id: str | None


@dataclass(slots=True)
class Notes:
    """What a server knew of a folder, by base; `complaints` names the lines that say nothing."""

    letters: dict[str, Noted] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)


def base(name: str) -> str:
    """What stays the same of the name of a file in a Maildir: without flags, sizes and the like."""
    return re.split("[:,;!]", name, maxsplit=1)[0]


def dovecot(text: str, where: str, uidl_format: str = DOVECOT_FORMAT) -> Notes:
    """What a `dovecot-uidlist` says. One whose first line cannot be read is a `UsageError`."""
    notes = Notes()
    lines = text.split("\n")
    validity = _validity(lines[0])
    if validity is None:
        raise UsageError(f"{where}, line 1: this is no dovecot-uidlist of a version that is known here", os.EX_DATAERR)
    form = UniqueIdFormat(uidl_format)
    last = 0
    for number, line in _numbered(lines):
        found = _LINE.fullmatch(line)
        if found is None or int(found[1]) <= last:
            notes.complaints.append(Complaint(f"{where}, line {number}", "says nothing that can be understood"))
            continue
        last = uid = int(found[1])
        facts = {word[0]: word[1:] for word in found[2].split()}
        place = int(facts["O"]) if facts.get("O", "").isdecimal() else 0
        # Letters with an order of their own stand before the others (pop3_migration).
        unique_id = facts.get("P") or form.of(uid, validity, found[3], facts.get("G"))
        notes.letters[base(found[3])] = Noted((place or 1 << 40, uid), unique_id)
    return notes


def courier(text: str, where: str) -> Notes:
    """What a `courierpop3dsizelist` says. Without uids (version 1) the unique-id is the file's name."""
    notes = Notes()
    lines = text.split("\n")
    has_uids = lines[0].startswith("/")
    for number, line in _numbered(lines) if has_uids else _numbered(["", *lines]):
        with_uid = _COURIER_LINE.fullmatch(line)
        without = None if with_uid else _COURIER_OLD_LINE.fullmatch(line)
        if with_uid and int(with_uid[3]):
            noted = Noted((int(with_uid[4]), int(with_uid[3])), f"UID{int(with_uid[3])}-{int(with_uid[4])}")
            notes.letters[base(with_uid[1])] = noted
        elif with_uid or without:
            name = (with_uid or without or [""])[1]
            notes.letters[base(name)] = Noted((0, number), courier_name(name))
        else:
            where_it_is = f"{where}, line {number - (not has_uids)}"
            notes.complaints.append(Complaint(where_it_is, "says nothing that can be understood"))
    return notes


def courier_name(name: str) -> str:
    """The unique-id that Courier makes of a file's name."""
    return _PLAIN.sub(lambda found: "".join(f"+{octet:02X}" for octet in found[0].encode()), name.partition(":")[0])


class UniqueIdFormat:
    """Dovecot's `pop3_uidl_format`: `%u` uid, `%v` uid validity, `%f` the file's name, `%g` its GUID.

    Between `%` and the letter: `0`, a width, `X` for hexadecimal, `L` and `U` for lower and upper case. Anything else
    is a `UsageError`.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.of(1, 1, "name", None)

    def of(self, uid: int, validity: int, file: str, guid: str | None) -> str:
        """The unique-id of a letter."""
        name = file.partition(":")[0]
        values = {"u": uid, "v": validity, "f": name, "g": guid or name}

        def said(found: re.Match[str]) -> str:
            zero, width, modifiers, letter, long = found.groups()
            if found[0] == "%%":
                return "%"
            value = values.get(letter or _LONG.get(long, ""))
            if value is None or set(modifiers or "") - set("XLU"):
                raise UsageError(f"{found[0]} in the unique-id format {self._text} is not known here")
            shown = f"{value:x}" if isinstance(value, int) and "X" in (modifiers or "") else str(value)
            for modifier in modifiers or "":
                shown = shown.lower() if modifier == "L" else shown.upper() if modifier == "U" else shown
            return shown.rjust(int(width or 0), "0" if zero else " ")

        return _VARIABLE.sub(said, self._text)


def _numbered(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines behind the first, by their numbers."""
    return ((number, line) for number, line in enumerate(lines[1:], 2) if line)


def _validity(line: str) -> int | None:
    if found := _V3.fullmatch(line):
        words = [word[1:] for word in found[1].split() if word[0] == "V"]
        return int(words[0]) if words and words[0].isdecimal() else None
    old = _V1.fullmatch(line)
    return int(old[1]) if old else None
