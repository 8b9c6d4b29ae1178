"""Lines, dots, tops and surrogates, against models that are too simple to be wrong."""

from __future__ import annotations

from postoffice.message.content import HEAD_OCTETS, ContentReader
from postoffice.message.surrogate import growth, surrogate
from postoffice.protocols.dots import DotReader, Unstuffer, stuff, unstuff
from postoffice.protocols.lines import BARE_LF, NEED_DATA, TOO_LONG, LineReader, Oddity
from postoffice.protocols.pop3.surrogate import SurrogateReader
from postoffice.protocols.pop3.top import TopReader
from proof.fuzz.cuts import control_and_octets, cut


def lines(data: bytes) -> None:
    """Every ended line comes once, as it is or as the oddity it is; what is kept never reaches the limit."""
    control, octets = control_and_octets(data)
    limit, is_strict = 2 + control // 2 % 64, bool(control & 1)
    reader = LineReader(limit, strict=is_strict)
    taken: list[bytes | Oddity] = []
    for portion in cut(octets, control):
        reader.receive(portion)
        while (line := reader.take()) is not NEED_DATA:
            taken.append(line)
        assert len(reader) < limit, f"{len(reader)} octets are kept, and the limit is {limit}"
    assert taken == [_line(line, limit, is_strict) for line in octets.split(b"\n")[:-1]]


def _line(line: bytes, limit: int, is_strict: bool) -> bytes | Oddity:
    if len(line) + 1 > limit:
        return TOO_LONG
    if line.endswith(b"\r"):
        return line[:-1]
    return BARE_LF if is_strict else line


def dots(data: bytes) -> None:
    """A letter ends at CRLF . CRLF and nowhere else, whatever the portions; unstuffing undoes stuffing."""
    control, octets = control_and_octets(data)
    reader, unstuffer = DotReader(), Unstuffer()
    wire = plain = rest = b""
    for portion in cut(octets, control):
        if reader.rest is not None:
            rest += portion
            continue
        part = reader.feed(portion)
        wire += part
        plain += unstuffer.feed(part)
        rest = reader.rest or b""
    letter, end, behind = (b"\r\n" + octets).partition(b"\r\n.\r\n")
    if end:
        assert (b"\r\n" + wire, reader.rest is not None, rest) == (letter + b"\r\n", True, behind)
    else:
        assert reader.rest is None
        assert octets.startswith(wire)
        assert len(octets) - len(wire) <= 4
    assert plain == unstuff(wire)
    assert unstuff(stuff(octets)) == octets
    assert not (b"\r\n" + stuff(octets) + b"\r\n").count(b"\r\n.\r\n")


def top(data: bytes) -> None:
    """The header, the blank line and so many lines, whatever the portions."""
    control, octets = control_and_octets(data)
    wire = stuff(octets.removesuffix(b"\r\n")) + b"\r\n"
    reader = TopReader(control // 3 % 5)
    heard = b""
    for portion in cut(wire, control):
        if not reader.is_complete:
            heard += reader.feed(portion)
    header, blank, body = (b"\r\n" + wire).partition(b"\r\n\r\n")
    rows = body.split(b"\r\n")
    wanted = b"\r\n".join([*rows[: control // 3 % 5], b""]) if len(rows) > control // 3 % 5 else body
    assert heard == (header + blank + wanted)[2:]


def surrogates(data: bytes) -> None:
    """A header that is not ASCII becomes one that needs no surrogate, of the size that was reckoned."""
    control, octets = control_and_octets(data)
    plain = octets + b"\r\n"
    wire = stuff(plain)
    content = ContentReader()
    assert content.add(wire) == wire
    if content.content().has_ascii_header:
        return
    reader = SurrogateReader()
    first = 2 * HEAD_OCTETS  # the first portion holds the whole head, whatever was stuffed
    sent = reader.feed(wire[:first]) + b"".join(reader.feed(part) for part in cut(wire[first:], control))
    shown = unstuff(sent)
    assert stuff(shown) == sent
    assert len(shown) - len(plain) == growth(plain[:HEAD_OCTETS])
    again = surrogate(shown[:HEAD_OCTETS])
    assert again is None or again.goes_on
