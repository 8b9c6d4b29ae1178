"""The server's side of an exchange: responses in, a `Claim` out.

PLAIN (RFC 4616) is one message of the client; LOGIN is what old scanners know instead: the server asks for a name,
then for a password. Base64 is read strictly (RFC 4954 §4), a line `*` cancels, and `=` is an initial response without
octets. Names and passwords are UTF-8, brought into NFC, and not empty; an empty authorization identity means the
authentication identity itself (RFC 4616 §2).
"""

from __future__ import annotations

import binascii
import unicodedata
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Protocol

from postoffice.errors import LocalProtocolError


class Challenge(NamedTuple):
    """What the server asks, in base64; the client's response to it is owed."""

    encoded: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says to be. `authorization` is whom they want to act as, empty where that is the same."""

    authorization: str
    authentication: str
    password: str = field(repr=False)


class Fault(Enum):
    """In what way an exchange came to nothing."""

    CANCELLED = "cancelled by the client"
    NOT_BASE64 = "not base64"
    MALFORMED = "not what the mechanism wants"


class Failed(NamedTuple):
    """The exchange came to nothing. `because` is for our log."""

    fault: Fault
    because: str


Outcome = Challenge | Claim | Failed


class Exchange(Protocol):
    """One exchange. `outcome` is where it stands; while it is a `Challenge`, `step` takes the response to it."""

    @property
    def outcome(self) -> Outcome: ...

    def step(self, response: bytes) -> Outcome:
        """The client's line, in base64, and what follows from it."""
        ...


_CANCELLED: Final = Failed(Fault.CANCELLED, "the client cancelled")


class Plain:
    """RFC 4616: [authorization] NUL authentication NUL password."""

    __slots__ = ("outcome",)

    def __init__(self, initial: bytes | None) -> None:
        self.outcome: Outcome = Challenge(b"")
        if initial is not None:
            self.outcome = _plain_claim(_decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        _awaits(self.outcome)
        self.outcome = _plain_claim(_decoded(response))
        return self.outcome


class Login:
    """The mechanism without an RFC: two questions, whose wording clients ignore."""

    __slots__ = ("_name", "outcome")

    def __init__(self, initial: bytes | None) -> None:
        self._name: str | None = None
        self.outcome: Outcome = Challenge(_USERNAME)
        if initial is not None:
            self._take(_decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        _awaits(self.outcome)
        self._take(_decoded(response))
        return self.outcome

    def _take(self, octets: bytes | Failed) -> None:
        text = octets if isinstance(octets, Failed) else _prepared(octets)
        if isinstance(text, Failed):
            self.outcome = text
        elif self._name is None:
            self._name = text
            self.outcome = Challenge(_PASSWORD)
        else:
            self.outcome = Claim("", self._name, text)


_USERNAME: Final = binascii.b2a_base64(b"Username:", newline=False)
_PASSWORD: Final = binascii.b2a_base64(b"Password:", newline=False)

MECHANISMS: Final[dict[bytes, type[Plain] | type[Login]]] = {b"PLAIN": Plain, b"LOGIN": Login}
"""By name, in upper case, the preferred one first."""


def begin(mechanism: bytes, initial: bytes | None) -> Exchange:
    """An exchange by one of `MECHANISMS`. `initial` is the initial response in base64, None where there was none."""
    known = MECHANISMS.get(mechanism)
    if known is None:
        raise LocalProtocolError("an exchange by an unknown mechanism")
    return known(initial)


def _awaits(outcome: Outcome) -> None:
    if not isinstance(outcome, Challenge):
        raise LocalProtocolError("a response to an exchange that is over")


def _decoded_initial(initial: bytes) -> bytes | Failed:
    return b"" if initial == b"=" else _decoded(initial)


def _decoded(response: bytes) -> bytes | Failed:
    if response == b"*":
        return _CANCELLED
    try:
        return binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error:
        return Failed(Fault.NOT_BASE64, "the response is not base64")


def _plain_claim(message: bytes | Failed) -> Outcome:
    if isinstance(message, Failed):
        return message
    parts = message.split(b"\0")
    if len(parts) != 3:
        return Failed(Fault.MALFORMED, "PLAIN wants two NULs")
    authorization = _prepared(parts[0]) if parts[0] else ""
    authentication, password = _prepared(parts[1]), _prepared(parts[2])
    for text in (authorization, authentication, password):
        if isinstance(text, Failed):
            return text
    assert isinstance(authorization, str)
    assert isinstance(authentication, str)
    assert isinstance(password, str)
    return Claim(authorization, authentication, password)


def _prepared(octets: bytes) -> str | Failed:
    """A name or a password as we compare them."""
    if not octets or b"\0" in octets:
        return Failed(Fault.MALFORMED, "a name or password is empty or holds a NUL")
    try:
        return unicodedata.normalize("NFC", octets.decode())
    except UnicodeDecodeError:
        return Failed(Fault.MALFORMED, "a name or password is not UTF-8")
