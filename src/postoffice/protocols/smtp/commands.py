"""SMTP commands: octets <-> `Command` (RFC 5321 §4.1, §4.5.3.1).

Keywords and parameters come in any case; white space before the line end is forgiven (RFC 5321 §4.1.1). Paths stay
octets with their angle brackets: what is inside is the matter of `message.address`, which also knows whether UTF-8
is allowed there. What cannot be a command is an `Invalid` with code, status and text of its reply; it never repeats
octets of the other side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from postoffice.errors import LocalProtocolError
from postoffice.protocols.smtp.table import (
    COMMAND_OCTETS,
    EXCHANGE_OCTETS,
    MAIL_OCTETS,
    NOT_IMPLEMENTED,
    PARAMETERS,
    RULES,
    Arguments,
    Keyword,
)

Parameters = Mapping[str, str | None]
NO_PARAMETERS: Final[Parameters] = MappingProxyType({})


class Command(NamedTuple):
    """A well-formed command. Keywords of `parameters` are upper case; None is a parameter without a value."""

    keyword: Keyword
    arguments: tuple[bytes, ...] = ()
    parameters: Parameters = NO_PARAMETERS

    @property
    def text(self) -> bytes:
        """The first argument: the name of EHLO, HELO and LHLO, the text of VRFY and NOOP; empty where there is none."""
        return self.arguments[0] if self.arguments else b""

    @property
    def path(self) -> bytes:
        """The path of MAIL or RCPT, in its angle brackets."""
        return self.arguments[0]

    @property
    def mechanism(self) -> bytes:
        """The mechanism of AUTH, in upper case."""
        return self.arguments[0]

    @property
    def initial(self) -> bytes | None:
        """The initial response of AUTH, in base64, `=` where it is empty; None where it is left out."""
        return self.arguments[1] if len(self.arguments) > 1 else None


class Invalid(NamedTuple):
    """A line that is no command, or not now."""

    code: int
    status: str
    text: str


# deviates: RFC 5321 §4.1.1.1, because scanners and phones greet with underscores and half names
_NAME = re.compile(rb"[!-~]{1,255}")
# deviates: RFC 5321 §3.3, because old scanners write a space behind the colon
# (no possessive quantifiers: Python 3.11.2 gets them wrong; one octet an alternative, so it cannot run away)
_PATH = rb' *(<(?:[^<">\s\\]|"(?:[^"\\]|\\.)*"|\\.)*>)(?: +(.+))?'
_FROM = re.compile(b"FROM:" + _PATH, re.IGNORECASE | re.DOTALL)
_TO = re.compile(b"TO:" + _PATH, re.IGNORECASE | re.DOTALL)
_MECHANISM = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: +(=|[A-Za-z0-9+/]+={0,2}))?")
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_VALUES = {
    (keyword, name): None if parameter.value is None else re.compile(parameter.value, re.IGNORECASE)
    for keyword, parameters in PARAMETERS.items()
    for name, parameter in parameters.items()
}

TOO_LONG: Final = Invalid(500, "5.5.2", "Line too long")
_STRANGE_OCTETS: Final = Invalid(500, "5.5.2", "Commands hold no NUL and no bare CR")
UNKNOWN: Final = Invalid(500, "5.5.2", "Command not recognized")
_NOT_IMPLEMENTED: Final = Invalid(502, "5.5.1", "Command not implemented")
_BAD_PARAMETER: Final = Invalid(501, "5.5.4", "Parameters are KEYWORD or KEYWORD=value, each once")
_UNKNOWN_PARAMETER: Final = Invalid(555, "5.5.4", "Parameter not recognized")
_WRONG_ARGUMENTS: Final = {
    keyword: Invalid(501, "5.5.4", f"{keyword.value.decode()} takes {rule.arguments.value}")
    for keyword, rule in RULES.items()
}


def parse(line: bytes) -> Command | Invalid:
    """The command of a line, given without its end."""
    word, _, rest = line.partition(b" ")
    known = _KEYWORDS.get(word) or _KEYWORDS.get(word.upper().rstrip())
    if len(line) + 2 > (known.room if known else COMMAND_OCTETS):
        return TOO_LONG
    if b"\0" in line or b"\r" in line:
        return _STRANGE_OCTETS
    if known is None:
        return _NOT_IMPLEMENTED if word.upper() in NOT_IMPLEMENTED else UNKNOWN
    return known.read(known.keyword, rest.strip(b" \t"))


def _with_nothing(keyword: Keyword, rest: bytes) -> Command | Invalid:
    return _WRONG_ARGUMENTS[keyword] if rest else Command(keyword)


def _with_name(keyword: Keyword, rest: bytes) -> Command | Invalid:
    return Command(keyword, (rest,)) if _NAME.fullmatch(rest) else _WRONG_ARGUMENTS[keyword]


def _with_text(keyword: Keyword, rest: bytes) -> Command | Invalid:
    return Command(keyword, (rest,)) if rest else _WRONG_ARGUMENTS[keyword]


def _with_optional_text(keyword: Keyword, rest: bytes) -> Command | Invalid:
    return Command(keyword, (rest,) if rest else ())


def _with_path(keyword: Keyword, rest: bytes) -> Command | Invalid:
    found = (_FROM if keyword is Keyword.MAIL else _TO).fullmatch(rest)
    if not found:
        return _WRONG_ARGUMENTS[keyword]
    path, words = found.groups()
    if words is None:
        return Command(keyword, (path,))
    parameters: dict[str, str | None] = {}
    for word in words.split():
        parameter = _PARAMETER.fullmatch(word)
        if not parameter:
            return _BAD_PARAMETER
        name = parameter[1].decode().upper()
        if (keyword, name) not in _VALUES:
            return _UNKNOWN_PARAMETER
        pattern, value = _VALUES[keyword, name], parameter[2]
        if (pattern is None) != (value is None) or name in parameters:
            return _BAD_PARAMETER
        if pattern is not None and not pattern.fullmatch(value):
            return Invalid(501, "5.5.4", f"{name} cannot have this value")
        parameters[name] = None if value is None else value.decode()
    return Command(keyword, (path,), parameters)


def _with_mechanism(keyword: Keyword, rest: bytes) -> Command | Invalid:
    found = _MECHANISM.fullmatch(rest)
    if not found:
        return _WRONG_ARGUMENTS[keyword]
    mechanism = found[1].upper()
    return Command(keyword, (mechanism,) if found[2] is None else (mechanism, found[2]))


class _Known(NamedTuple):
    """How a command is read: the longest line it may have, CRLF included, and what reads its arguments."""

    keyword: Keyword
    room: int
    read: Callable[[Keyword, bytes], Command | Invalid]


_ROOM = {Keyword.MAIL: MAIL_OCTETS, Keyword.AUTH: EXCHANGE_OCTETS}
_READERS: dict[Arguments, Callable[[Keyword, bytes], Command | Invalid]] = {
    Arguments.NONE: _with_nothing,
    Arguments.NAME: _with_name,
    Arguments.TEXT: _with_text,
    Arguments.OPTIONAL_TEXT: _with_optional_text,
    Arguments.REVERSE_PATH: _with_path,
    Arguments.FORWARD_PATH: _with_path,
    Arguments.MECHANISM: _with_mechanism,
}
_KEYWORDS = {
    keyword.value: _Known(keyword, _ROOM.get(keyword, COMMAND_OCTETS), _READERS[rule.arguments])
    for keyword, rule in RULES.items()
    if keyword is not Keyword.END_OF_DATA
}


def format_command(command: Command) -> bytes:
    """The line of a command, with its end. The other direction of `parse`. An argument that holds a line end, by
    which another command could be smuggled in, is a `LocalProtocolError`."""
    keyword = command.keyword
    if keyword is Keyword.MAIL or keyword is Keyword.RCPT:
        line = (b"MAIL FROM:" if keyword is Keyword.MAIL else b"RCPT TO:") + command.path
        for name, value in command.parameters.items():
            line += f" {name}".encode() if value is None else f" {name}={value}".encode()
    else:
        word: bytes = keyword.value
        line = b" ".join((word, *command.arguments))
    if len(line) + 2 > _ROOM.get(keyword, COMMAND_OCTETS):
        raise LocalProtocolError(f"{keyword.name} with a line that is too long")
    if b"\r" in line or b"\n" in line or b"\0" in line:
        raise LocalProtocolError(f"{keyword.name} with octets that no line may hold")
    return line + b"\r\n"


# The client's vocabulary, so that no caller spells a command.

DATA = Command(Keyword.DATA)
END_OF_DATA = Command(Keyword.END_OF_DATA)
"""Not a line but the final dot: what the server's machine gives, and what the client's `Answer` to it names."""
NOOP = Command(Keyword.NOOP)
QUIT = Command(Keyword.QUIT)
RSET = Command(Keyword.RSET)
STARTTLS = Command(Keyword.STARTTLS)


def ehlo(name: bytes) -> Command:
    return Command(Keyword.EHLO, (name,))


def helo(name: bytes) -> Command:
    return Command(Keyword.HELO, (name,))


def lhlo(name: bytes) -> Command:
    return Command(Keyword.LHLO, (name,))


def mail(path: bytes, parameters: Parameters = NO_PARAMETERS) -> Command:
    """`path` is in its angle brackets, `<>` for a notice (RFC 5321 §4.5.5)."""
    return Command(Keyword.MAIL, (path,), parameters)


def rcpt(path: bytes) -> Command:
    """`path` is in its angle brackets."""
    return Command(Keyword.RCPT, (path,))


def verify(text: bytes) -> Command:
    return Command(Keyword.VRFY, (text,))


def authenticate(mechanism: bytes, initial: bytes | None = None) -> Command:
    """`initial` is in base64 already, `=` where it is empty. Where the line would be too long with it, it is left
    out, and the server asks for it with an empty challenge (RFC 4954 §4)."""
    if initial is None or len(mechanism) + len(initial) + 8 > COMMAND_OCTETS:
        return Command(Keyword.AUTH, (mechanism,))
    return Command(Keyword.AUTH, (mechanism, initial))
