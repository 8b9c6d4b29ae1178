"""What a part says of itself: Content-Type, -Disposition, -Transfer-Encoding and -ID (RFC 2045 §5, RFC 2183).

Parameters may be cut into sections, and name their charset (RFC 2231); senders also put encoded words into them
(RFC 2047), or plain octets. All of it is read, none of it is believed: a name is text of a stranger.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from postoffice.message import header
from postoffice.message.charsets import text_of
from postoffice.message.mime import words

FIELD_OCTETS: Final = 16 * 1024
"""How much of a field is read."""

NAME_CHARACTERS: Final = 10_000
BOUNDARY_OCTETS: Final = 1000
"""The RFC allows 70 (RFC 2046 §5.1.1), and not everybody cares."""

_PARAMETER: Final = re.compile(rb';[\s]*([^\s=;"]+)[\s]*=[\s]*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_PARAMETERS: Final = words("name filename charset boundary")
_NO_OCTET: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_KIND: Final = re.compile(rb"\s*([!#-'*+.0-9A-Z^-z{|}~-]+)\s*/\s*([!#-'*+.0-9A-Z^-z{|}~-]+)")
_SECTION: Final = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")


@dataclass(frozen=True, slots=True)
class Description:
    """`kind` and `encoding` are in lower case; `name` is what the sender calls a file, decoded and not made safe.

    `boundary` is that of a multipart, else empty.
    """

    kind: str = "text/plain"
    charset: str = ""
    encoding: str = ""
    name: str = ""
    disposition: str = ""
    content_id: str = ""
    boundary: bytes = b""


def describe(head: bytes, default: str = "text/plain") -> Description:
    """What the header of a part says. `default` is the kind of one that does not say it, or not so that it is one."""
    content_type = _field(head, b"Content-Type")
    found = _KIND.match(content_type)
    kind = f"{found[1].decode()}/{found[2].decode()}".lower() if found else default
    parameters = _parameters(content_type)
    disposition = _field(head, b"Content-Disposition")
    name = _parameters(disposition).get("filename") or parameters.get("name") or ""
    encoding = _field(head, b"Content-Transfer-Encoding").partition(b";")[0].strip(b" \t\r\n\"'.")
    return Description(
        kind=kind,
        charset=parameters.get("charset", "").strip(" '\"").lower(),
        encoding=encoding.decode("latin-1").lower(),
        name=name[:NAME_CHARACTERS].strip(),
        disposition=disposition.partition(b";")[0].strip().decode("latin-1").lower(),
        content_id=text_of(_field(head, b"Content-ID")[:BOUNDARY_OCTETS], "utf-8").strip(" \t<>"),
        boundary=_boundary(content_type) if kind.startswith("multipart/") else b"",
    )


def _field(head: bytes, name: bytes) -> bytes:
    return (header.first(head, name) or b"")[:FIELD_OCTETS]


def _raw_parameters(value: bytes) -> list[tuple[str, bytes]]:
    """Those that are of use: how each is called, sections and all (`name*0*`), and its octets."""
    found = []
    for name, written in _PARAMETER.findall(value):
        said = name.decode("latin-1").lower()
        if said.partition("*")[0] in _PARAMETERS:
            raw = written.rstrip(b" \t\r\n")
            if raw.startswith(b'"'):
                raw = _QUOTED_PAIR.sub(rb"\1", raw[1:].removesuffix(b'"'))
            found.append((said, raw))
    return found


def _unquoted(raw: bytes) -> bytes:
    """Without percent signs (RFC 2231 §4). Hostile names have thousands, so they are not taken one by one."""
    written = _NO_OCTET.sub(b"%25", raw).replace(b"=", b"%3D")
    return binascii.a2b_qp(written.replace(b"%", b"="))


def _boundary(content_type: bytes) -> bytes:
    """Octet for octet: it is compared with lines and shown to nobody."""
    sections: dict[int, bytes] = {}
    for name, value in _raw_parameters(content_type):
        if name == "boundary":
            return value.rstrip(b" \t")[:BOUNDARY_OCTETS]
        found = _SECTION.fullmatch(name)
        if found and found[1] == "boundary":
            number, raw = int(found[2] or 0), value
            if found[3]:
                raw = _unquoted(raw.split(b"'", 2)[2] if number == 0 and raw.count(b"'") >= 2 else raw)
            sections[number] = raw
    return b"".join(value for _, value in sorted(sections.items()))[:BOUNDARY_OCTETS]


def _parameters(value: bytes) -> dict[str, str]:
    """Each parameter as text. One in sections (RFC 2231 §3) is put together in their order."""
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for name, raw in _raw_parameters(value):
        found = _SECTION.fullmatch(name)
        if found is None or (found[2] is None and found[3] is None):
            plain.setdefault(name, header.decode_words(text_of(raw, "utf-8")))
        else:
            sections.setdefault(found[1], {})[int(found[2] or 0)] = (raw, found[3] is not None)
    return plain | {name: _joined(some) for name, some in sections.items()}


def _joined(sections: dict[int, tuple[bytes, bool]]) -> str:
    charset, octets = "utf-8", b""
    for position, (_, (written, is_encoded)) in enumerate(sorted(sections.items())):
        raw = written
        if is_encoded and position == 0 and raw.count(b"'") >= 2:
            label, _, raw = raw.split(b"'", 2)
            charset = label.decode("latin-1").lower() or charset
        octets += _unquoted(raw) if is_encoded else raw
    return text_of(octets, charset)
