"""A letter's header, read as it is and not as it should be (RFC 5322 §2.2).

Any octets are a header here: lines end with CRLF or LF, a line that is no field is passed over with its
continuation, and nothing raises. What is given is raw octets; only `decoded` makes text of them, for people's eyes:
encoded words are resolved (RFC 2047), and what could steer a terminal or turn a line around is replaced.
"""

import binascii
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from postoffice.message.charsets import text_of
from postoffice.message.printable import safe

_FIELD: Final = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")
_WORD: Final = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^? \t]*)\?=")
_BETWEEN_WORDS: Final = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?[^? \t]+\?[BbQq]\?[^? \t]*\?=)")
_LISTED_CHARACTERS: Final = 4000


class Field(NamedTuple):
    """One field: its name as written, and its value with folding and without the final line end."""

    name: bytes
    value: bytes


def header_of(head: bytes) -> bytes:
    """The header's octets with the last line end, without the empty line that ends it."""
    if head.startswith((b"\n", b"\r\n")):
        return b""
    end = head.find(b"\n\r\n")
    head = head if end < 0 else head[: end + 1]
    end = head.find(b"\n\n")
    return head if end < 0 else head[: end + 1]


def behind(letter: bytes) -> bytes:
    """What stands behind the header, without the empty line."""
    rest = letter[len(header_of(letter)) :]
    return rest.partition(b"\n")[2]


def fields(head: bytes) -> Iterator[Field]:
    """Every field in order."""
    for found in _FIELD.finditer(header_of(head)):
        name, value = found.groups()
        yield Field(name, value.removesuffix(b"\r"))


def count(head: bytes, name: bytes) -> int:
    """How many fields of this name there are: `count(head, b"Received")` tells a loop (RFC 5321 §6.3)."""
    # Asked for every letter that comes in: plain searches take a tenth of what a pattern over all lines takes.
    lowered = b"\n" + header_of(head).lower()
    start = b"\n" + name.lower()
    times = lowered.count(start + b":")
    if start + b" " in lowered or start + b"\t" in lowered:
        times += len(re.findall(re.escape(start) + rb"[ \t]+:", lowered))
    return times


def first(head: bytes, name: bytes) -> bytes | None:
    """The value of the first field of this name, unfolded and without the white space around it."""
    found = _named(name).search(header_of(head))
    return None if found is None else unfolded(found.group(1)).strip(b" \t\r\n")


def unfolded(value: bytes) -> bytes:
    """A value in one line (RFC 5322 §2.2.3)."""
    return _FOLD.sub(b"", value)


def decoded(head: bytes, name: bytes) -> str:
    """The first field of this name as text for a person, in one line that is safe to print; empty if there is none."""
    value = first(head, name)
    return "" if value is None else text_for_people(value)


def text_for_people(value: bytes) -> str:
    """The value of a field, folded or not, in one line that is safe to print."""
    return safe(decode_words(text_of(unfolded(value).strip(b" \t\r\n"), "utf-8")))


def name_and_address(written: str) -> tuple[str, str]:
    """Of the first one whom a decoded field lists, such as From; both empty where that cannot be told. Never raises.

    Python's parser calls itself for every comment in a comment and every group in a group, of which strangers write
    thousands.
    """
    try:
        return next(iter(names_and_addresses(written[:_LISTED_CHARACTERS])), ("", ""))
    except RecursionError:
        return "", ""


def names_and_addresses(written: str) -> list[tuple[str, str]]:
    """Of all whom a field lists, as far as they can be told; what cannot be is empty. Raises `RecursionError` for a
    field with comments in comments.

    Pythons since 2024, and older ones of some systems, would give nothing for a field that is wrong in one place. Many
    who read headers ask for no names, so the parser is imported by who does.
    """
    from email import utils

    lenient = {"strict": False} if getattr(utils, "supports_strict_parsing", False) else {}
    return utils.getaddresses([written], **lenient)


def decode_words(text: str) -> str:
    """Encoded words resolved (RFC 2047 §6.2). One that cannot be decoded stays as it is.

    Neighbours of one charset are joined before they are decoded, since senders cut inside of characters.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    charset, octets, position = "", b"", 0
    text = _BETWEEN_WORDS.sub("", text)
    for found in _WORD.finditer(text):
        word = _word_octets(found[2], found[3])
        if word is None:
            continue
        if octets and (found.start() > position or found[1].lower() != charset):
            pieces.append(text_of(octets, charset))
            octets = b""
        pieces.append(text[position : found.start()])
        charset, octets, position = found[1].lower(), octets + word, found.end()
    pieces.append(text_of(octets, charset))
    pieces.append(text[position:])
    return "".join(pieces)


@lru_cache(maxsize=64)
def _named(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^" + re.escape(name) + rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE | re.IGNORECASE)


def _word_octets(encoding: str, encoded: str) -> bytes | None:
    """What an encoded word encodes, or None if it is not well encoded."""
    try:
        octets = encoded.encode("ascii")
        if encoding in "Bb":
            return binascii.a2b_base64(octets.rstrip(b"=") + b"=" * (-len(octets.rstrip(b"=")) % 4))
        return binascii.a2b_qp(octets, header=True)
    except ValueError:  # binascii.Error and UnicodeError are kinds of it
        return None
