"""POP3 replies: octets <-> `Reply` (RFC 1939 §3, response codes of RFC 2449 §8 and RFC 3206)."""

import re
from enum import Enum
from typing import NamedTuple

from postoffice.errors import RemoteProtocolError
from postoffice.protocols.pop3.table import RESPONSE_OCTETS


class Code(Enum):
    """The extended response codes."""

    AUTH = b"AUTH"
    IN_USE = b"IN-USE"
    LOGIN_DELAY = b"LOGIN-DELAY"
    SYS_PERM = b"SYS/PERM"
    SYS_TEMP = b"SYS/TEMP"


class Reply(NamedTuple):
    """The first line of a reply. `code` is upper case and without its brackets; unknown ones are kept as they are."""

    is_ok: bool
    text: bytes
    code: bytes = b""


class Challenge(NamedTuple):
    """A server's `+ ` line in an exchange; still in base64."""

    encoded: bytes


_LINE = re.compile(rb"(\+OK|-ERR)(?: (?:\[([^\]\r\n]*)\] ?)?(.*))?", re.DOTALL)


def parse(line: bytes) -> Reply | Challenge:
    """The reply of a line, given without its end."""
    found = _LINE.fullmatch(line)
    if found:
        status, code, text = found.groups()
        return Reply(status == b"+OK", text or b"", (code or b"").upper())
    if line == b"+" or line.startswith(b"+ "):
        return Challenge(line[2:])
    raise RemoteProtocolError("a reply that begins with neither +OK nor -ERR")


def format_ok(text: str, charset: str = "ascii") -> bytes:
    """Always with a space behind the indicator, as old clients need it (RFC 1957).

    Text is ASCII until the client chooses a language, then UTF-8 (RFC 6856 §3.2).
    """
    return _line("+OK ", text, charset)


def format_error(text: str, code: Code | None = None, charset: str = "ascii") -> bytes:
    return _line(f"-ERR [{code.value.decode()}] " if code else "-ERR ", text, charset)


def _line(start: str, text: str, charset: str) -> bytes:
    if text.startswith("["):
        text = " " + text  # free text must not look like a response code (RFC 2449 §8)
    line = f"{start}{text}\r\n".encode(charset, "replace")
    if len(line) > RESPONSE_OCTETS:
        line = line[: RESPONSE_OCTETS - 2].decode(errors="ignore").encode() + b"\r\n"  # no character is cut in two
    return line
