"""Records as SQLite writes them (https://www.sqlite.org/fileformat.html §1.6 varints, §2.1 record format), and nothing
else: octets in, values out. Whatever does not hold together is `NotARecord`.
"""

from __future__ import annotations

import struct

Value = int | float | str | bytes | None

_WHOLE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""How many octets an integer of a serial type has."""


class NotARecord(ValueError):
    """These octets are none."""


def varint(octets: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, signed, and where it ends."""
    value = 0
    for position in range(at, at + 8):
        if position >= len(octets):
            raise NotARecord("a varint is cut off")
        value = value << 7 | octets[position] & 0x7F
        if octets[position] < 0x80:
            return value, position + 1
    if at + 8 >= len(octets):
        raise NotARecord("a varint is cut off")
    value = value << 8 | octets[at + 8]
    return value - (1 << 64) if value >= 1 << 63 else value, at + 9


def octets_of(serial: int) -> int:
    """How many octets a value of this serial type has."""
    if serial >= 12:
        return (serial - 12) // 2
    if serial in (0, 8, 9):
        return 0
    if serial == 7:
        return 8
    if serial in _WHOLE:
        return _WHOLE[serial]
    raise NotARecord(f"there is no serial type {serial}")


def serials(payload: bytes, at: int = 0) -> tuple[list[int], int]:
    """The serial types in the header of a record that begins at `at`, and how many octets the header has."""
    octets, position = varint(payload, at)
    end = at + octets
    if octets < 2 or end > len(payload):
        raise NotARecord("the header goes beyond the record")
    found = []
    while position < end:
        serial, position = varint(payload, position)
        found.append(serial)
    if position != end:
        raise NotARecord("the header does not end where it says")
    return found, octets


def record(payload: bytes) -> tuple[Value, ...]:
    """All values of a record that is exactly these octets."""
    kinds, at = serials(payload)
    values = []
    for serial in kinds:
        octets = octets_of(serial)
        if at + octets > len(payload):
            raise NotARecord("a value goes beyond the record")
        values.append(_value(serial, payload[at : at + octets]))
        at += octets
    if at != len(payload):
        raise NotARecord("octets are left over behind the last value")
    return tuple(values)


def _value(serial: int, octets: bytes) -> Value:
    if serial == 0:
        return None
    if serial >= 12:
        if serial % 2 == 0:
            return octets
        try:
            return octets.decode()
        except UnicodeDecodeError as error:
            raise NotARecord("a text is not UTF-8") from error
    if serial == 7:
        return float(struct.unpack(">d", octets)[0])
    return serial - 8 if serial >= 8 else int.from_bytes(octets, "big", signed=True)
