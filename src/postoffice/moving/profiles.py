"""Where Thunderbird keeps its profiles in somebody's home, and which of them it opens."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError

PLACES: Final = (
    ".thunderbird",
    "snap/thunderbird/common/.thunderbird",
    ".var/app/org.mozilla.Thunderbird/.thunderbird",
    ".var/app/net.thunderbird.Thunderbird/.thunderbird",
    ".var/app/org.mozilla.thunderbird/.thunderbird",
    ".icedove",
)
"""Of the program as distributions, snap and flatpak have it, and as Debian called it."""


def find_profile(home: Path) -> Path:
    """The one profile that has letters. A `UsageError` where there is none, or more than one and none is the
    default."""
    found = [folder for place in PLACES for folder in _profiles(home / place)]
    with_letters = [folder for folder in dict.fromkeys(found) if _has_letters(folder)]
    if not with_letters:
        raise UsageError("no profile of Thunderbird is found in this home; name its folder", os.EX_NOINPUT)
    defaults = [folder for place in PLACES for folder in _defaults(home / place) if folder in with_letters]
    chosen = list(dict.fromkeys(defaults)) or with_letters
    if len(chosen) > 1:
        raise UsageError(f"there are several profiles of Thunderbird; name one: {', '.join(map(str, chosen))}")
    return chosen[0]


def _profiles(place: Path) -> Iterator[Path]:
    parser = _read(place)
    for name in parser.sections():
        if path := parser[name].get("Path" if name.startswith("Profile") else "Default"):
            yield _folder(place, path)


def _defaults(place: Path) -> Iterator[Path]:
    """What an installation opens; else the profile that is marked."""
    parser = _read(place)
    installed = [name for name in parser.sections() if name.startswith("Install") and parser[name].get("Default")]
    for name in installed:
        yield _folder(place, parser[name]["Default"])
    for name in parser.sections():
        if not installed and name.startswith("Profile") and parser[name].get("Default") == "1":
            yield _folder(place, parser[name].get("Path", ""))


def _read(place: Path) -> configparser.RawConfigParser:
    """Its list of profiles, empty where there is none that can be read."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string((place / "profiles.ini").read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return configparser.RawConfigParser()
    return parser


def _folder(place: Path, path: str) -> Path:
    return Path(os.path.normpath(place / path))  # an absolute one stays what it is


def _has_letters(folder: Path) -> bool:
    try:
        return any((folder / name).is_dir() for name in ("Mail", "ImapMail"))
    except OSError:
        return False
