"""Names of files and folders that every system takes: Linux, macOS and Windows, and the archives they make.

    2024-01-31 14.05.09 Alice Liddell - Rabbit hole.eml        when it came (UTC), from whom, about what

No name says where something goes (`/`, `\\`, `..`), steers a terminal or the direction of writing, is a device of
Windows, or ends with a dot or a blank. Two names in one folder differ also where case and the form of marks do not
count.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

from postoffice.message import header
from postoffice.message.printable import safe

SEGMENT_CHARACTERS: Final = 60
SEGMENT_OCTETS: Final = 150
DEPTH: Final = 8
"""So many folders lie inside of each other at most; the names of deeper ones are joined."""

_SENDER_CHARACTERS: Final = 30
_SUBJECT_CHARACTERS: Final = 60
_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ufffd]+')
_BLANKS: Final = re.compile(r"\s+")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$| )", re.IGNORECASE)
_INVISIBLE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def segment(text: str, otherwise: str = "_", *, characters: int = SEGMENT_CHARACTERS) -> str:
    """A name that can stand between two `/`, as near to the text as may be; `otherwise` if nothing of it can."""
    text = unicodedata.normalize("NFC", safe(text[: characters * 10]))
    text = "".join(" " if unicodedata.category(one) in _INVISIBLE else one for one in text)
    text = _UNFIT.sub("_", text.replace(": ", " "))
    text = _shortened(_BLANKS.sub(" ", text).strip(" ."), characters)
    if not text.strip("_ "):
        return otherwise
    return f"_{text}" if _DEVICE.match(text) else text


def _shortened(text: str, characters: int) -> str:
    """Not more than so many characters, nor more octets than file systems take; no mark is cut from its letter."""
    if len(text) > characters:
        cut = characters
        while cut > 1 and unicodedata.combining(text[cut]):
            cut -= 1
        text = text[:cut]
    while len(text.encode("utf-8", "replace")) > SEGMENT_OCTETS:
        text = text[:-1]
    return text.rstrip(" .")


def with_ending(name: str) -> tuple[str, str]:
    """A name that is fit already, parted before its ending: `("report", ".pdf")`."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem and 0 < len(ending) <= 10 and ending.isalnum() else (name, "")


def letter_name(head: bytes, date: float) -> str:
    """What a letter's file is called, without an ending."""
    display, address = header.name_and_address(header.decoded(head, b"From"))
    sender = segment(display or address, "nobody", characters=_SENDER_CHARACTERS)
    subject = segment(header.decoded(head, b"Subject"), "no subject", characters=_SUBJECT_CHARACTERS)
    return f"{moment(date)} {sender} - {subject}"


def moment(date: float) -> str:
    """Seconds since the epoch as a name that sorts, in UTC."""
    try:
        return datetime.fromtimestamp(int(date), UTC).strftime("%Y-%m-%d %H.%M.%S")
    except (ValueError, OverflowError, OSError):
        return "0000-00-00 00.00.00"


def hierarchy(folder: str) -> tuple[str, ...]:
    """The folders of a mailbox around a folder, and itself, from the outermost on; the innermost ones may be one."""
    names = folder.split("/")
    return (*names[: DEPTH - 1], "/".join(names[DEPTH - 1 :])) if len(names) > DEPTH else tuple(names)


def folder_name(name: str) -> str:
    """What a folder is called; never as a letter may be."""
    fit = segment(name)
    return f"{fit}_" if fit.lower().endswith(".eml") else fit


class Taken:
    """The names that are taken in one folder. Needs little memory for many."""

    def __init__(self, *names: str) -> None:
        self._known = {_folded(name) for name in names}
        self._numbers: dict[int, int] = {}

    def take(self, stem: str, ending: str = "") -> str:
        """The name, or one with a number that is not taken yet; from now on it is."""
        name, whose = f"{stem}{ending}", _folded(f"{stem}{ending}")
        while _folded(name) in self._known:
            self._numbers[whose] = number = self._numbers.get(whose, 1) + 1
            name = f"{stem} ({number}){ending}"
        self._known.add(_folded(name))
        return name


def _folded(name: str) -> int:
    """Where two names differ and this does not, one of them gets a number that it did not need."""
    return hash(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()))
