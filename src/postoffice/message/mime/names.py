"""Names of strangers as names of files: whatever a letter calls what it brings, the name stays in its folder, is seen
as it is, and is no device, no hidden file and no path, here and on other systems.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

NAME_OCTETS: Final = 180
"""Of UTF-8; file systems take 255, and a number must fit in."""

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ufffd\ud800-\udfff]')
_BLANKS: Final = re.compile(r"\s+")
_DEVICE: Final = re.compile(r"(?i)^(?:con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])$")
_LEADING: Final = " .~-"

_ENDINGS: Final = {
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/msword": ".doc",
    "application/ics": ".ics",
    "application/pgp-signature": ".asc",
    "application/pgp-keys": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
    "audio/mpeg": ".mp3",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/rtf": ".rtf",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/xml": ".xml",
    "video/mp4": ".mp4",
}


def file_name(name: str, kind: str = "", number: int = 1) -> str:
    """The name of a file for what a letter calls `name`; `attachment-NUMBER` with an ending for one without a name."""
    last = re.split(r"[/\\]", name[-1000:].rstrip("/\\ ."))[-1]
    last = "".join(
        "" if unicodedata.category(one) in ("Cf", "Mn", "Me", "Cn", "Co") and not _is_mark(one) else one
        for one in unicodedata.normalize("NFC", last)
    )
    last = _BLANKS.sub(" ", _UNSAFE.sub("_", last)).lstrip(_LEADING).rstrip(" .")
    if not last.strip("_"):
        return f"attachment-{number}{_ENDINGS.get(kind, '')}"
    stem, dot, ending = last.rpartition(".")
    if not dot or not stem or len(ending.encode()) > 20:
        stem, ending = last, ""
    else:
        ending = "." + ending
    if _DEVICE.match(stem.partition(".")[0].strip()):
        stem = "_" + stem
    return _cut(stem, NAME_OCTETS - len(ending.encode())).rstrip(" .") + ending


def numbered(name: str, number: int) -> str:
    """Another name, for one that is taken: `report (2).pdf`."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem} ({number}){dot}{ending}" if dot and stem else f"{name} ({number})"


def _is_mark(character: str) -> bool:
    """Marks on letters, which stay."""
    return unicodedata.category(character) == "Mn" and not 0xFE00 <= ord(character) <= 0xFE0F and character != "\u034f"


def _cut(text: str, octets: int) -> str:
    return text.encode()[:octets].decode("utf-8", "ignore")
