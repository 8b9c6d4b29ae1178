"""The PROXY protocol, versions 1 and 2: a balancer tells in front of a connection who is really calling.

    v1   PROXY TCP4 192.0.2.1 192.0.2.2 56324 110 CRLF          at most 107 octets; UNKNOWN instead of TCP4, TCP6
    v2   12 octets of signature · version and command · family · 2 octets of length · addresses · TLVs

The header comes first of all, before a greeting and before TLS. Whoever is to send one must: it is never guessed
whether there is one, and a header from a stranger is noise. LOCAL and UNKNOWN mean that the balancer speaks for
itself. Of the TLVs, CRC32C is checked where it is there, SSL tells whether the client came by TLS; the others are
passed over.

The specification is HAProxy's proxy-protocol.txt; its sections are cited.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from postoffice.errors import RemoteProtocolError

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
V1_OCTETS: Final = 107
"""The longest line of version 1, CRLF included (§2.1)."""

_FIXED: Final = 16
_V1_MARK: Final = b"PROXY "
_V1_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?"
    rb"|TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES: Final = {_TCP4: 12, _TCP6: 36, _UNIX: 216}
_CRC32C, _SSL, _SSL_VERSION, _SSL_CIPHER = 0x03, 0x20, 0x21, 0x23
_CLIENT_SSL: Final = 0x01

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls whom, as the balancer tells it. `source` None: nobody but the balancer itself.

    `is_encrypted`: the client came to the balancer by TLS, of version `tls` (`TLSv1.3`), if that is told.
    """

    source: Address | None = None
    destination: Address | None = None
    is_encrypted: bool = False
    tls: str = ""


def header_octets(octets: bytes) -> int | None:
    """How long the header is that these octets begin with; None if they do not tell yet.

    What cannot become a header is a `RemoteProtocolError`, as soon as that is certain.
    """
    if octets.startswith(_V1_MARK[: len(octets)]):
        end = octets.find(b"\r\n", 0, V1_OCTETS)
        if end < 0 and len(octets) >= V1_OCTETS:
            raise RemoteProtocolError("a PROXY line that does not end")
        return end + 2 if end >= 0 else None
    if not octets.startswith(SIGNATURE[: len(octets)]):
        raise RemoteProtocolError("no PROXY header")
    if len(octets) < _FIXED:
        return None
    return _FIXED + int.from_bytes(octets[14:16], "big")


def parse(header: bytes) -> Caller:
    """What a whole header tells; a `RemoteProtocolError` if it is not one."""
    return _parse_v1(header) if header.startswith(_V1_MARK) else _parse_v2(header)


def _parse_v1(line: bytes) -> Caller:
    found = _V1_LINE.fullmatch(line)
    if not found or len(line) > V1_OCTETS:
        raise RemoteProtocolError("a PROXY line that says nothing known")
    version, *rest = (part.decode() if part else "" for part in found.groups())
    if not version:
        return Caller()
    source, destination, source_port, destination_port = rest
    make = ipaddress.IPv4Address if version == "4" else ipaddress.IPv6Address
    try:
        return Caller(
            (str(make(source)), _port(source_port)),
            (str(make(destination)), _port(destination_port)),
        )
    except ValueError as error:
        raise RemoteProtocolError(f"a PROXY line with no address of its kind: {error}") from error


def _port(digits: str) -> int:
    port = int(digits)
    if port > 65535:
        raise ValueError(f"there is no port {port}")
    return port


def _parse_v2(header: bytes) -> Caller:
    if header_octets(header) != len(header):
        raise RemoteProtocolError("a PROXY header of another length than it says")
    command, family = header[12], header[13]
    if command not in (_LOCAL, _PROXY):
        raise RemoteProtocolError(f"a PROXY header with command {command:#04x}")
    if command == _LOCAL:
        _check_sum(header, _FIXED + min(_ADDRESSES.get(family, 0), len(header) - _FIXED))
        return Caller()
    if family not in (_UNSPECIFIED, *_ADDRESSES):
        raise RemoteProtocolError(f"a PROXY header with family {family:#04x}")
    begin = _FIXED + _ADDRESSES.get(family, 0)
    if begin > len(header):
        raise RemoteProtocolError("a PROXY header too short for its addresses")
    if family == _UNSPECIFIED:
        return Caller()  # what follows is of no known kind, and is passed over (§2.2)
    _check_sum(header, begin)
    is_encrypted, tls = _secrecy(header, begin)
    if family == _UNIX:
        return Caller(is_encrypted=is_encrypted, tls=tls)
    size = 4 if family == _TCP4 else 16
    make = ipaddress.IPv4Address if family == _TCP4 else ipaddress.IPv6Address
    source, destination = header[_FIXED : _FIXED + size], header[_FIXED + size : _FIXED + 2 * size]
    source_port, destination_port = struct.unpack("!HH", header[begin - 4 : begin])
    return Caller((str(make(source)), source_port), (str(make(destination)), destination_port), is_encrypted, tls)


def _records(octets: bytes, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and end of each TLV (§2.2.1)."""
    while at < len(octets):
        if at + 3 > len(octets):
            raise RemoteProtocolError("a PROXY header with half a TLV")
        kind, length = octets[at], int.from_bytes(octets[at + 1 : at + 3], "big")
        begin, at = at + 3, at + 3 + length
        if at > len(octets):
            raise RemoteProtocolError("a PROXY header with a TLV beyond its end")
        yield kind, begin, at


def _check_sum(header: bytes, begin: int) -> None:
    """CRC32C over the whole header, with zeros where the sum itself stands (§2.2.3)."""
    for kind, first, end in _records(header, begin):
        if kind == _CRC32C:
            blank = header[:first] + bytes(end - first) + header[end:]
            if end - first != 4 or int.from_bytes(header[first:end], "big") != crc32c(blank):
                raise RemoteProtocolError("a PROXY header with a wrong checksum")


def _secrecy(header: bytes, begin: int) -> tuple[bool, str]:
    """Whether the client came by TLS, and its version (§2.2.6): one flag, 4 octets of verdict, TLVs inside."""
    for kind, first, end in _records(header, begin):
        if kind == _SSL:
            if end - first < 5:
                raise RemoteProtocolError("a PROXY header with a short SSL TLV")
            if not header[first] & _CLIENT_SSL:
                return False, ""
            inside = header[first + 5 : end]
            versions = [inside[b:e] for k, b, e in _records(inside) if k == _SSL_VERSION]
            return True, versions[0].decode("ascii", "replace") if versions else ""
    return False, ""


def crc32c(octets: bytes) -> int:
    """Castagnoli's cyclic redundancy check (RFC 3720 §B.4)."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = _TABLE[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE: Final = _table()
