"""The server's side of an exchange: responses in, a `Claim` or a `Proven` out.

PLAIN (RFC 4616) is one message of the client; LOGIN is what old scanners know instead: the server asks for a name,
then for a password; `scram`, `bearer`, `external` and `digest` hold the others. Base64 is read strictly (RFC 4954
§4), a line `*` cancels, and `=` is an initial response without octets. Names and passwords are UTF-8, brought into
NFC, and not empty; an empty authorization identity means the authentication identity itself (RFC 4616 §2).
"""

from __future__ import annotations

import binascii
import unicodedata
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.terms import BEARER, CRAM_MD5, EXTERNAL, NOTHING_BOUND, SCRAM, Channel, Claim

if TYPE_CHECKING:
    from postoffice.protocols.sasl.bearer import Server as Bearer
    from postoffice.protocols.sasl.digest import Server as Digest
    from postoffice.protocols.sasl.external import Server as External
    from postoffice.protocols.sasl.scram import Server as Scram

__all__ = ["BEARER", "CRAM_MD5", "EXTERNAL", "NOTHING_BOUND", "SCRAM", "Channel", "Claim"]  # of `terms`


class Challenge(NamedTuple):
    """What the server asks, in base64; the client's response to it is owed."""

    encoded: bytes


class NeedVerifiers(NamedTuple):
    """SCRAM cannot go on without what is kept for this name. `scheme` is the mechanism without -PLUS."""

    username: str
    scheme: str


class NeedSecrets(NamedTuple):
    """CRAM-MD5 cannot go on without the secrets of this name."""

    username: str


class Vouched(NamedTuple):
    """TLS says who is there, by this certificate (DER). `authorization` is whom they want to act as, or empty."""

    authorization: str
    certificate: bytes


@dataclass(frozen=True, slots=True)
class NeedToken:
    """OAUTHBEARER cannot go on without a verdict on this token. The name is empty where the token tells it."""

    username: str
    token: str = field(repr=False)


class Proven(NamedTuple):
    """Somebody knows the password of this name, and has shown it without saying it. `which`: by which verifier.

    `authorization` is whom they want to act as, empty where that is the same.
    """

    username: str
    which: int = 0
    authorization: str = ""


class Fault(Enum):
    """In what way an exchange came to nothing."""

    CANCELLED = "cancelled by the client"
    NOT_BASE64 = "not base64"
    MALFORMED = "not what the mechanism wants"
    UNPROVEN = "not the right password"


class Failed(NamedTuple):
    """The exchange came to nothing. `because` is for our log."""

    fault: Fault
    because: str


Outcome = Challenge | Claim | Failed | NeedSecrets | NeedToken | NeedVerifiers | Proven | Vouched


class Exchange(Protocol):
    """One exchange. `outcome` is where it stands; while it is a `Challenge`, `step` takes the response to it."""

    @property
    def outcome(self) -> Outcome: ...

    def step(self, response: bytes) -> Outcome:
        """The client's line, in base64, and what follows from it."""
        ...


_NOT_BASE64: Final = Failed(Fault.NOT_BASE64, "the response is not base64")
_CANCELLED: Final = Failed(Fault.CANCELLED, "the client cancelled")


class Plain:
    """RFC 4616: [authorization] NUL authentication NUL password."""

    __slots__ = ("outcome",)

    def __init__(self, initial: bytes | None, _: Channel) -> None:
        self.outcome: Outcome = Challenge(b"")
        if initial is not None:
            self.outcome = _plain_claim(decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        self.outcome = _plain_claim(decoded(response))
        return self.outcome


class Login:
    """The mechanism without an RFC: two questions, whose wording clients ignore. The name may be said at once."""

    __slots__ = ("_name", "outcome")

    def __init__(self, initial: bytes | None, _: Channel) -> None:
        self._name: str | None = None
        self.outcome: Outcome = Challenge(_USERNAME)
        if initial is not None:
            self._take(decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        self._take(decoded(response))
        return self.outcome

    def _take(self, octets: bytes | Failed) -> None:
        text = octets if isinstance(octets, Failed) else prepared(octets)
        if isinstance(text, Failed):
            self.outcome = text
        elif self._name is None:
            self._name = text
            self.outcome = Challenge(_PASSWORD)
        else:
            self.outcome = Claim("", self._name, text)


_USERNAME: Final = binascii.b2a_base64(b"Username:", newline=False)
_PASSWORD: Final = binascii.b2a_base64(b"Password:", newline=False)


def _scram(mechanism: bytes, initial: bytes | None, channel: Channel) -> Scram:
    from postoffice.protocols.sasl.scram import Server

    return Server(mechanism, initial, channel)


def _bearer(mechanism: bytes, initial: bytes | None, channel: Channel) -> Bearer:
    from postoffice.protocols.sasl.bearer import Server

    return Server(mechanism, initial, channel)


def _external(initial: bytes | None, channel: Channel) -> External:
    from postoffice.protocols.sasl.external import Server

    return Server(initial, channel)


def _digest(initial: bytes | None, channel: Channel) -> Digest:
    from postoffice.protocols.sasl.digest import Server

    return Server(initial, channel)


class _Begin(Protocol):
    def __call__(self, initial: bytes | None, channel: Channel, /) -> Exchange: ...


MECHANISMS: Final[dict[bytes, _Begin]] = {
    EXTERNAL: _external,
    **{name: partial(_scram, name) for name in SCRAM},
    **{name: partial(_bearer, name) for name in BEARER},
    CRAM_MD5: _digest,
    b"PLAIN": Plain,
    b"LOGIN": Login,
}
"""By name, in upper case, the preferred one first."""


def begin(mechanism: bytes, initial: bytes | None, channel: Channel = NOTHING_BOUND) -> Exchange:
    """An exchange by one of `MECHANISMS`. `initial` is the initial response in base64, None where there was none.

    A -PLUS mechanism needs a channel that can be bound to, EXTERNAL one with a certificate.
    """
    known = MECHANISMS.get(mechanism)
    if known is None:
        raise LocalProtocolError("an exchange by an unknown mechanism")
    return known(initial, channel)


def must_await(outcome: Outcome) -> None:
    """A response is owed, else the caller is wrong."""
    if not isinstance(outcome, Challenge):
        raise LocalProtocolError("a response to an exchange that is over")


def decoded_initial(initial: bytes) -> bytes | Failed:
    """The octets of an initial response."""
    return b"" if initial == b"=" else decoded(initial)


def decoded(response: bytes) -> bytes | Failed:
    """The octets of a response; it may cancel."""
    if response == b"*":
        return _CANCELLED
    try:
        octets = binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error:
        return _NOT_BASE64
    # Python passes over more pads than there can be.
    return octets if len(response) == (len(octets) + 2) // 3 * 4 else _NOT_BASE64


def _plain_claim(message: bytes | Failed) -> Outcome:
    if isinstance(message, Failed):
        return message
    parts = message.split(b"\0")
    if len(parts) != 3:
        return Failed(Fault.MALFORMED, "PLAIN wants two NULs")
    authorization = prepared(parts[0]) if parts[0] else ""
    authentication, password = prepared(parts[1]), prepared(parts[2])
    for text in (authorization, authentication, password):
        if isinstance(text, Failed):
            return text
    assert isinstance(authorization, str)
    assert isinstance(authentication, str)
    assert isinstance(password, str)
    return Claim(authorization, authentication, password)


def prepared(octets: bytes) -> str | Failed:
    """A name or a password as we compare them."""
    if not octets or b"\0" in octets:
        return Failed(Fault.MALFORMED, "a name or password is empty or holds a NUL")
    try:
        return unicodedata.normalize("NFC", octets.decode())
    except UnicodeDecodeError:
        return Failed(Fault.MALFORMED, "a name or password is not UTF-8")
