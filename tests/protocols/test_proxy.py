"""PROXY headers: what each tells, what is refused, and that neither cuts nor what follows matter."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import RemoteProtocolError
from postoffice.protocols.proxy import SIGNATURE, Caller, crc32c, header_octets, parse

TCP4 = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 56324, 110)
TCP6 = bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack("!HH", 1, 2)
FOUR = Caller(("192.0.2.1", 56324), ("192.0.2.2", 110))
ALL_ONES = ("255.255.255.255", 65535)
SIX = Caller(("::1", 1), ("::2", 2))


def v2(addresses: bytes, *records: bytes, family: int = 0x11, command: int = 0x21) -> bytes:
    body = addresses + b"".join(records)
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


def record(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + struct.pack("!H", len(value)) + value


def summed(header: bytes) -> bytes:
    """The same header with a right checksum behind it."""
    whole = header[:14] + struct.pack("!H", len(header) - 16 + 7) + header[16:] + record(3, bytes(4))
    return whole[:-4] + struct.pack("!I", crc32c(whole))


TLS = record(0x20, b"\x01\0\0\0\0" + record(0x21, b"TLSv1.3") + record(0x23, b"TLS_AES_128_GCM_SHA256"))

GOOD = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 110\r\n", FOUR),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Caller(ALL_ONES, ALL_ONES)),
    (b"PROXY TCP6 ::1 0:0:0:0:0:0:0:2 1 2\r\n", SIX),
    (b"PROXY UNKNOWN\r\n", Caller()),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Caller()),
    (v2(TCP4), FOUR),
    (v2(TCP6, family=0x21), SIX),
    (v2(TCP4, record(0x05, b"an id"), record(0xEA, b"\x01vpce")), FOUR),
    (v2(TCP4, TLS), Caller(FOUR.source, FOUR.destination, is_encrypted=True, tls="TLSv1.3")),
    (v2(TCP4, record(0x20, b"\x01\0\0\0\0")), Caller(FOUR.source, FOUR.destination, is_encrypted=True)),
    (v2(TCP4, record(0x20, b"\0\0\0\0\1")), FOUR),
    (v2(b"", command=0x20, family=0), Caller()),
    (v2(TCP4, command=0x20), Caller()),
    (v2(b"whatever", family=0), Caller()),
    (v2(bytes(216), TLS, family=0x31), Caller(is_encrypted=True, tls="TLSv1.3")),
    (summed(v2(TCP4, TLS)), Caller(FOUR.source, FOUR.destination, is_encrypted=True, tls="TLSv1.3")),
]
BAD = [
    b"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 65536\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 056 110\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 110\r\n",
    b"PROXY TCP4 192.0.2.256 192.0.2.2 1 110\r\n",
    b"PROXY TCP4 ::1 ::1 1 110\r\n",
    b"PROXY TCP6 192.0.2.1 192.0.2.2 1 110\r\n",
    b"PROXY TCP4  192.0.2.1 192.0.2.2 1 110\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 110 \r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.2 1 110\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN" + b" " * 93 + b"\r\n",
    v2(TCP4[:-1]),
    v2(TCP4, family=0x12),
    v2(TCP4, family=0x41),
    v2(TCP4, command=0x22),
    v2(TCP4, command=0x11),
    v2(TCP4, b"\x05\0"),
    v2(TCP4, b"\x05\0\x05four"),
    v2(TCP4, record(0x20, b"\x01")),
    v2(TCP4, record(0x20, b"\x01\0\0\0\0\x21\0\x09x")),
    v2(TCP4, record(3, bytes(4))),
    v2(TCP4, record(3, bytes(3))),
    summed(v2(TCP4))[:-1] + b"\0",
    v2(TCP4) + b"x",
]


@pytest.mark.parametrize(("header", "caller"), GOOD)
def test_a_header_tells_who_calls(header: bytes, caller: Caller) -> None:
    assert parse(header) == caller


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(header)


@pytest.mark.parametrize("header", [header for header, _ in GOOD])
def test_the_length_is_known_as_soon_as_it_can_be_and_whatever_follows(header: bytes) -> None:
    lengths = [header_octets(header[:end]) for end in range(len(header) + 1)]
    assert lengths[-1] == len(header)
    assert set(lengths[:-1]) <= {None, len(header)}
    assert header_octets(header + b"USER bob\r\nPROXY UNKNOWN\r\n") == len(header)


@pytest.mark.parametrize(
    "octets",
    [b"Q", b"PROXY\r\n", b"USER bob\r\n", b"\r\n\r\n\0\r\nQUIT\r", b"\x16\x03\x01", b"PROXY " + b"x" * 101],
)
def test_noise_is_known_at_once(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        header_octets(octets)


def test_the_longest_line_has_107_octets() -> None:
    longest = b"PROXY UNKNOWN".ljust(105, b" ") + b"\r\n"
    assert header_octets(longest) == 107
    assert parse(longest) == Caller()


def test_the_checksum_is_that_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"123456789") == 0xE3069283


@given(st.binary(max_size=80), st.integers(0, 255), st.integers(0, 255))
def test_any_octets_behind_the_signature_are_told_or_refused(body: bytes, command: int, family: int) -> None:
    header = SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body
    try:
        caller = parse(header)
    except RemoteProtocolError:
        return
    assert (caller.source is None) == (caller.destination is None)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 65535), st.integers(0, 65535))
def test_both_versions_tell_the_same(source: object, destination: object, port: int, door: int) -> None:
    addresses = source.packed + destination.packed  # type: ignore[attr-defined]
    first = parse(f"PROXY TCP4 {source} {destination} {port} {door}\r\n".encode())
    assert first == parse(v2(addresses + struct.pack("!HH", port, door)))
    assert first.source == (str(source), port)
