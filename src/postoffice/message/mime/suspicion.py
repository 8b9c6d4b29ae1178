"""What is wrong with a name, a file, a link or a sender: each thing in one short sentence for whoever reads the letter.

These are signs and no proof, and that there is none proves nothing: a scan looks at what is in a file. What is told
is what people fall for: a program that is called like a document, a link whose text names another place than it
leads to, a sender whose name is another's address.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from typing import Final
from urllib.parse import urlsplit

from postoffice.message.mime import words

LOOK_OCTETS: Final = 64 * 1024
"""How much of a file's beginning is worth giving to `of_file`."""

LONG_CHARACTERS: Final = 160

PROGRAMS: Final = words(
    "ade adp apk app appx appxbundle application bat bin chm cmd com command cpl deb desktop diagcab dll dmg elf exe"
    " gadget hta inf ins isp jar jnlp js jse ksh lnk mde msc msh msi msix msp mst ocx out pif pl ps1 psc1 psd1 psm1 py"
    " pyc pyz reg rgs rpm run scf scr sct settingcontent-ms sh shb sys url vb vba vbe vbs vxd wll workflow ws wsc wsf"
    " wsh xbap xll"
)
_MACROS: Final = words("docm dotm xlsm xltm xlam xlsb pptm potm ppam ppsm sldm one")
_PAGES: Final = words("htm html xht xhtml shtml mht mhtml svg svgz")
_DISCS: Final = words("iso img vhd vhdx udf")
_DOCUMENTS: Final = words(
    "pdf doc docx xls xlsx ppt pptx odt ods odp rtf txt csv jpg jpeg png gif bmp tif tiff webp heic mp3 mp4 avi mov wav"
    " zip rar 7z eml msg htm html"
)

_BIDI: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200d\u2060-\u2064\u3164\ufeff\uffa0]"
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_BLANKS: Final = re.compile(r"\s{4,}")
_EXTENSION: Final = re.compile(r"\.([A-Za-z0-9_-]{1,20})$")

_SIGNATURES: Final = (
    (b"MZ", "a program for Windows"),
    (b"\x7fELF", "a program for Linux"),
    (b"#!", "a script"),
    (b"\xfe\xed\xfa\xce", "a program for macOS"),
    (b"\xfe\xed\xfa\xcf", "a program for macOS"),
    (b"\xcf\xfa\xed\xfe", "a program for macOS"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut for Windows"),
)
_FORMS: Final = (
    (b"%PDF-", "PDF", ("pdf",)),
    (b"\x89PNG\r\n", "PNG", ("png",)),
    (b"\xff\xd8\xff", "JPEG", ("jpg", "jpeg", "jpe", "jfif")),
    (b"GIF8", "GIF", ("gif",)),
    (b"PK\x03\x04", "ZIP", ("zip", "docx", "xlsx", "pptx", "odt", "ods", "odp", "jar", "epub", "apk")),
    (b"Rar!\x1a\x07", "RAR", ("rar",)),
    (b"7z\xbc\xaf", "7z", ("7z",)),
    (b"\xd0\xcf\x11\xe0", "an old Office file", ("doc", "xls", "ppt", "msg", "msi", "dot", "xlt", "pps", "vsd")),
)
"""How files of a form begin, what it is called, and how their names end."""

_KINDS: Final = {
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "application/zip": "zip",
}

_HOST: Final = re.compile(r"(?i)^(?:https?:/?/?)?((?:[^\s/@:.]+\.)+([^\s/@:.?#]{2,}))(?:[:/?#]\S*)?$")
_ENDINGS: Final = words(
    "com net org info biz edu gov mil int eu de uk fr nl vn cn jp kr tw hk sg th my id ph in au nz ca us mx br ar cl"
    " ru ua by kz pl cz sk hu ro bg gr tr il ae sa za eg ng ke ch at it es pt be lu ie dk se no fi is io co ai app dev"
    " bank shop online site xyz top club example test"
)
_SECOND_LEVEL: Final = words("co com org net gov edu ac or ne go gob gov mil")
_NUMBERS: Final = re.compile(r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9]{6,10}|0x[0-9a-f]+|\[[0-9a-f:.]+\])$")
_SCHEME: Final = re.compile(r"(?i)^([a-z][a-z0-9+.-]{0,30}):")
_ADDRESS: Final = re.compile(r"[^\s@<>\"',;:()]+@((?:[\w-]+\.)+[\w-]{2,})")
_USUAL: Final = frozenset(
    {"http", "https", "mailto", "tel", "sms", "ftp", "cid", "mid", "xmpp", "geo", "webcal", "news"}
)

_LOOKS_LATIN: Final = frozenset("аеорсухіјѕԁһԛԝьгпткмвнԍӏցοαρυνκιτ")
"""Of other alphabets, and alike to Latin letters."""


def of_name(name: str) -> tuple[str, ...]:
    """What is wrong with the name of a file, as its sender wrote it."""
    found = []
    if _BIDI.search(name):
        found.append("Its name turns the direction of writing, so that it looks like another one.")
    if _INVISIBLE.search(name) or _CONTROL.search(name):
        found.append("Its name has characters that are not seen.")
    plain = _CONTROL.sub("", _INVISIBLE.sub("", _BIDI.sub("", name))).rstrip(" .\u3000\xa0")
    if _BLANKS.search(plain):
        found.append("Its name has many blanks, which put its ending out of sight.")
    if len(name) > LONG_CHARACTERS:
        found.append("Its name is so long that its ending may be out of sight.")
    if "/" in name or "\\" in name:
        found.append("Its name is a path.")
    ending = extension(plain)
    before = extension(plain[: -len(ending) - 1].rstrip()) if ending else ""
    if ending in PROGRAMS:
        if before in _DOCUMENTS:
            found.append(f"It is a program (.{ending}) that is called like a document (.{before}).")
        else:
            found.append(f"It is a program or runs one (.{ending}).")
    elif ending in _MACROS:
        found.append(f"It may bring macros, which are programs (.{ending}).")
    elif ending in _PAGES:
        found.append(f"It opens in a browser and may run scripts there (.{ending}).")
    elif ending in _DISCS:
        found.append(f"It is a disc with files in it, which scans may not see (.{ending}).")
    return tuple(found)


def extension(name: str) -> str:
    """The ending of a name in lower case, without the dot."""
    found = _EXTENSION.search(name)
    return found[1].lower() if found else ""


def of_file(name: str, kind: str, beginning: bytes) -> tuple[str, ...]:
    """What is wrong with an attached file: its name, what it is called, what its first octets say."""
    found = list(of_name(name))
    ending = extension(name.rstrip(" ."))
    what = next((what for signature, what in _SIGNATURES if beginning.startswith(signature)), "")
    if what and ending not in PROGRAMS and not (what == "a script" and kind.startswith("text/")):
        found.append(f"It is {what}, whatever its name says.")
    form, endings = next(((form, some) for start, form, some in _FORMS if beginning.startswith(start)), ("", ()))
    said = ending if ending in _DOCUMENTS else _KINDS.get(kind, "")
    is_known = any(said in some for _, _, some in _FORMS)
    if form and is_known and said not in endings:
        found.append(f"It is called {said.upper()}, and is {form}.")
    elif said in ("pdf", "png", "jpg", "jpeg", "gif") and _is_page(beginning):
        found.append(f"It is called {said.upper()}, and is a page for a browser.")
    if form == "ZIP":
        found += _of_zip(beginning)
    return tuple(dict.fromkeys(found))


def _is_page(beginning: bytes) -> bool:
    return beginning[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<html", b"<!doctype html", b"<script"))


def _of_zip(beginning: bytes) -> list[str]:
    """Of what an archive names in its first octets."""
    found = []
    position = 0
    for _ in range(1000):
        if beginning[position : position + 4] != b"PK\x03\x04" or position + 30 > len(beginning):
            break
        flags, size, name_octets, extra_octets = struct.unpack_from("<6xH10xI4xHH", beginning, position)
        name = beginning[position + 30 : position + 30 + name_octets].decode("utf-8", "replace")
        if flags & 1 and "It is locked by a password, so no scan looks into it." not in found:
            found.append("It is locked by a password, so no scan looks into it.")
        ending = extension(name)
        if ending in PROGRAMS or _BIDI.search(name):
            shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name[-60:])
            found.append(f"There is a program in it: {shown}")
            break
        position += 30 + name_octets + extra_octets + size
    return found


def of_link(text: str, address: str) -> tuple[str, ...]:
    """What is wrong with a link that shows `text`."""
    address = "".join(address.split())
    scheme = _SCHEME.match(address)
    name = scheme[1].lower() if scheme else ""
    if name in ("javascript", "vbscript"):
        return ("This link is a program.",)
    if name == "data":
        return ("This link brings its page with it, from nowhere.",)
    if name == "mailto":
        said = _ADDRESS.search(text)
        goes = address[7:].partition("?")[0].rpartition("@")[2].lower()
        return (f"The text names {said[0]}, and it writes to {goes}.",) if said and said[1].lower() != goes else ()
    if name and name not in _USUAL and not re.match(r"(?i)^[\w.-]+:[0-9]", address):
        return (f"This link opens a program ({name}:).",)
    host, user = _host(address)
    if not host:
        return ()
    found = []
    shown = _HOST.match(text.strip().rstrip(".,;)"))
    says_host = shown is not None and (shown[2].lower() in _ENDINGS or text.lower().startswith(("http", "www.")))
    if shown and says_host and domain_of(_in_letters(shown[1].lower())) != domain_of(_in_letters(host)):
        found.append(f"The text names {shown[1].lower()[:80]}, and it leads to {host[:80]}.")
    if user:
        found.append(f"What stands before the @ in it is no place; it leads to {host[:80]}.")
    if _NUMBERS.match(host):
        found.append("It leads to a number and not to a name.")
    if looks := _foreign(host):
        found.append(looks)
    return tuple(found)


def _host(address: str) -> tuple[str, str]:
    """The host of an address, in lower case, and what stands before an @."""
    try:
        parts = urlsplit(address.replace("\\", "/"))
        return (parts.hostname or "").rstrip("."), parts.username or ""
    except ValueError:
        return "", ""


def domain_of(host: str) -> str:
    """What somebody registered, roughly: the last two labels, or three below co.uk and its like."""
    labels = host.split(".")
    count = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-count:])


def _in_letters(host: str) -> str:
    """A host whose labels are written in ASCII (RFC 3492), as people read it; as it is where that cannot be."""
    if "xn--" not in host:
        return host
    try:
        return ".".join(
            label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
            for label in host[:253].split(".")
        )
    except (UnicodeError, ValueError, OverflowError):
        return host


def _foreign(host: str) -> str:
    """A host whose letters are not what they look like."""
    for label in _in_letters(host).split("."):
        letters = [one for one in label if one.isalpha() and not one.isascii()]
        if not letters:
            continue
        is_mixed = any(one.isascii() and one.isalpha() for one in label) and any(
            unicodedata.name(one, "").startswith(("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")) for one in letters
        )
        if is_mixed or all(one in _LOOKS_LATIN for one in letters):
            return f"Its host has letters of another alphabet that look like ours: {host[:80]}"
    return ""


def of_sender(field: str) -> tuple[str, ...]:
    """What is wrong with a From field, decoded."""
    name, angle, rest = field.rpartition("<")
    if not angle:
        return ()
    said, is_it = _ADDRESS.search(name), _ADDRESS.search(rest)
    if said and is_it and domain_of(said[1].lower()) != domain_of(is_it[1].lower()):
        return (f"The sender is called {said[0][:80]}, and writes from {is_it[0][:80]}.",)
    return ()
