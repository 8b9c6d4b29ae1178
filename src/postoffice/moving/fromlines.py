"""What stands in an mbox beside the letters: the lines that part them, fields of mail programs, and quoting.

    From bob@b.example Mon Jan  1 10:00:00 2024     begins a letter: the From_ line (RFC 4155)
    X-UIDL: 0000000165b2f0a4                        its unique-id; programs note such things among the header's fields
    >From now on                                    the letter has `From now on` (mboxrd: one `>` more, for any number)

A line is a From_ line if it ends with a date as ctime(3) writes it, with or without seconds and zone: that is what
Dovecot takes for one. A line without, which has an address or the dash of Netscape alone, must follow an empty one.
Dates without a zone are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.store.model import NO_FLAGS, Flag

FROM: Final = b"From "
LINE_OCTETS: Final = 1024
"""The longest From_ line."""

SERVERS_FIELDS: Final = (b"Content-Length", b"Status", b"X-Status", b"X-Keywords", b"X-UID", b"X-IMAP", b"X-IMAPbase")
"""What servers note in an mbox and show to nobody; for Dovecot that is all."""

MOZILLAS_FIELDS: Final = (b"X-Account-Key", b"X-Mozilla-Status", b"X-Mozilla-Status2", b"X-Mozilla-Keys")
"""What Thunderbird puts above a letter."""

PROGRAMS_FIELDS: Final = (*SERVERS_FIELDS, b"X-UIDL", *MOZILLAS_FIELDS)

_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_ZONE: Final = rb"(?:([+-][0-9]{4})|[A-Z]{1,5})"
_DATED: Final = re.compile(
    rb"From .*?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +([A-Z][a-z]{2}) +([0-9]{1,2}) +([0-9]{1,2}):([0-9]{2})"
    rb"(?::([0-9]{2}))?(?: +" + _ZONE + rb")? +([0-9]{4})(?: +" + _ZONE + rb")?[^0-9\n]*\n?"
)
_UNDATED: Final = re.compile(rb"From (?:-|[^ ]*@[^ ]*)?[ \r]*\n?")
_UNFIT_SENDER: Final = re.compile(rb"[^!-~]")
_STATUS: Final = {
    (b"Status", b"R"): Flag.SEEN,
    (b"X-Status", b"A"): Flag.ANSWERED,
    (b"X-Status", b"D"): Flag.DELETED,
    (b"X-Status", b"F"): Flag.FLAGGED,
    (b"X-Status", b"T"): Flag.DRAFT,
}
_MOZILLA: Final = {1: Flag.SEEN, 2: Flag.ANSWERED, 4: Flag.FLAGGED}
_MOZILLA_GONE, _MOZILLA_PARTIAL, _MOZILLA_DELETED = 0x8, 0x400, 0x20_0000
_HEXADECIMAL: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_QUOTES: Final = 1000
"""So many `>` are quoting; more of them are some letter's own."""

_QUOTED: Final = re.compile(rb"\n>(>{0,%d}From )" % (_QUOTES - 1))
_TO_QUOTE: Final = re.compile(rb"\n(>{0,%d}From )" % (_QUOTES - 1))
_PERHAPS: Final = re.compile(rb"(>{0,%d})(F(?:r(?:o(?:m)?)?)?)?" % _QUOTES)


def begins_letter(line: bytes, *, follows_empty: bool) -> bool:
    """Whether a line is a From_ line."""
    return bool(_DATED.fullmatch(line)) or (follows_empty and bool(_UNDATED.fullmatch(line)))


def date_of(line: bytes) -> float | None:
    """When the letter came, if its From_ line says so."""
    found = _DATED.fullmatch(line)
    if found is None or found[1] not in _MONTHS:
        return None
    month, zone = _MONTHS.index(found[1]) + 1, (found[6] or found[8] or b"+0000").decode()
    try:
        day, hour, minute, second = (int(number or 0) for number in found.group(2, 3, 4, 5))
        at = datetime(int(found[7]), month, day, hour, minute, min(second, 59), tzinfo=UTC)
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
        return (at + away if zone[0] == "-" else at - away).timestamp()
    except (ValueError, OverflowError):
        return None


def from_line(sender: bytes, date: float) -> bytes:
    """The other direction, with LF."""
    at = datetime.fromtimestamp(int(date), UTC)
    day = b"%s %s %2d" % (_DAYS[at.weekday()], _MONTHS[at.month - 1], at.day)
    written = _UNFIT_SENDER.sub(b"-", sender[: LINE_OCTETS // 2])
    return b"From %s %s %02d:%02d:%02d %04d\n" % (
        written if written not in (b"", b"-") else b"MAILER-DAEMON",
        *(day, at.hour, at.minute, at.second, at.year),
    )


# --- fields of mail programs


def is_mozillas(line: bytes) -> bool:
    """Whether a From_ line names nobody, as those of Netscape and Thunderbird do: `From - Mon …`, or `From ` alone."""
    return line.startswith(b"From - ") or not line[len(FROM) :].strip()


def is_deleted(head: bytes) -> bool:
    """Whether Thunderbird has deleted a letter that waits to be cut out of its file, as a field in its header says.

    A sender can write that field too: it is to be believed in files that Thunderbird wrote.
    """
    return bool(_bits(head, b"X-Mozilla-Status") & _MOZILLA_GONE)


def notes_in(head: bytes) -> list[str]:
    """The names of fields in a header that whoever reads an mbox takes for notes of programs."""
    return [name.decode() for name in PROGRAMS_FIELDS if header.first(head, name) is not None]


def flags_of(head: bytes) -> Flag:
    """What became of a letter, from the fields in its header."""
    found = NO_FLAGS
    for (name, letter), flag in _STATUS.items():
        if letter in (header.first(head, name) or b""):
            found |= flag
    bits = _bits(head, b"X-Mozilla-Status")
    for bit, flag in _MOZILLA.items():
        found |= flag if bits & bit else NO_FLAGS
    if _bits(head, b"X-Mozilla-Status2") & _MOZILLA_DELETED:
        found |= Flag.DELETED
    return found


def is_partial(head: bytes) -> bool:
    """Whether Thunderbird pulled the beginning of a letter alone, as it was told to for large ones."""
    return bool(_bits(head, b"X-Mozilla-Status") & _MOZILLA_PARTIAL)


def _bits(head: bytes, name: bytes) -> int:
    noted = header.first(head, name) or b""
    return int(noted, 16) if _HEXADECIMAL.fullmatch(noted) else 0


def status_fields(flags: Flag) -> bytes:
    """The other direction, with LF."""
    text = b"Status: %sO\n" % (b"R" if Flag.SEEN in flags else b"")
    marks = b"".join(letter for (name, letter), flag in _STATUS.items() if name == b"X-Status" and flag in flags)
    return text + (b"X-Status: %s\n" % marks if marks else b"")


def without(names: tuple[bytes, ...], head: bytes) -> bytes:
    """The beginning of a letter without fields of these names; what lies behind `HEAD_OCTETS` stays as it is."""
    above = header.header_of(head[:HEAD_OCTETS])
    pattern = re.compile(
        rb"^(?:" + b"|".join(names) + rb")[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE | re.IGNORECASE
    )
    return pattern.sub(b"", above) + head[len(above) :]


# --- quoting


class Unquoter:
    """The letter that mboxrd holds, in any portions: one `>` less where a line is `>From `, `>>From ` and so on."""

    def __init__(self) -> None:
        self._before = b"\n"
        self._held = b""

    def feed(self, portion: bytes) -> bytes:
        """What can be said already: no line that may be a quoted one is cut in its beginning."""
        text = self._before + self._held + portion
        start = text.rfind(b"\n") + 1
        self._held = b""
        if start and _PERHAPS.fullmatch(text, start):
            text, self._held = text[:start], text[start:]
        self._before = text[-1:]
        return self._changed(text)[1:]

    def end(self) -> bytes:
        """What was held back."""
        text, self._held = self._before + self._held, b""
        return self._changed(text)[1:]

    def _changed(self, text: bytes) -> bytes:
        return _QUOTED.sub(rb"\n\1", text) if b"\n>" in text else text


class Quoter(Unquoter):
    """The other direction."""

    def _changed(self, text: bytes) -> bytes:
        return _TO_QUOTE.sub(rb"\n>\1", text) if b"From " in text else text


def unquoted(portions: Iterator[bytes]) -> Iterator[bytes]:
    unquoter = Unquoter()
    for portion in portions:
        yield unquoter.feed(portion)
    yield unquoter.end()
