"""OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner: a token from an identity provider instead of a password.

    n,a=bob@b.example,^Aauth=Bearer TOKEN^A^A       user=bob@b.example^Aauth=Bearer TOKEN^A^A

Whether a token is good is decided elsewhere (`NeedToken`). If it is not, the server says why in JSON, the client
acknowledges that with ^A or nothing, and only then the exchange has failed (RFC 7628 §3.2.3).
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Final

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.server import (
    Challenge,
    Channel,
    Claim,
    Failed,
    Fault,
    NeedToken,
    Outcome,
    Proven,
    decoded,
    decoded_initial,
    must_await,
)

OAUTHBEARER: Final = b"OAUTHBEARER"
XOAUTH2: Final = b"XOAUTH2"

_PAIRS: Final = re.compile(r"[ny],(?:a=([^,\x01\0]+))?,\x01((?:[A-Za-z]+=[^\x01\0]*\x01)*)\x01")
_GOOGLES: Final = re.compile(r"user=([^\x01\0]+)\x01auth=([^\x01\0]*)\x01\x01")
_BEARER: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_BAD_ESCAPE: Final = re.compile(r"=(?!2C|3D)")
_MALFORMED: Final = Failed(Fault.MALFORMED, "this carries no bearer token")


class Server:
    """The server's side. `accept` or `refuse` answers a `NeedToken`."""

    __slots__ = ("_is_refused", "_mechanism", "_username", "outcome")

    def __init__(self, mechanism: bytes, initial: bytes | None, _: Channel) -> None:
        self._mechanism = mechanism
        self._username = ""
        self._is_refused = False
        self.outcome: Outcome = Challenge(b"")
        if initial is not None:
            self.outcome = self._hear(decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        if self._is_refused:
            self.outcome = Failed(Fault.UNPROVEN, "the token is good for nothing here")
        else:
            self.outcome = self._hear(decoded(response))
        return self.outcome

    def accept(self) -> Outcome:
        """The token is good."""
        self._must_be_asked()
        self.outcome = Proven(self._username)
        return self.outcome

    def refuse(self) -> Outcome:
        """The token is not good: the client is told so, and has to acknowledge it."""
        self._must_be_asked()
        self._is_refused = True
        is_old = self._mechanism == XOAUTH2
        said = {"status": "400" if is_old else "invalid_token", "schemes": "bearer", "scope": ""}
        self.outcome = Challenge(_encoded(json.dumps(said)))
        return self.outcome

    def _hear(self, octets: bytes | Failed) -> Outcome:
        if isinstance(octets, Failed):
            return octets
        try:
            message = octets.decode()
        except UnicodeDecodeError:
            return _MALFORMED
        parts = _googles(message) if self._mechanism == XOAUTH2 else _pairs(message)
        token = _BEARER.fullmatch(parts[1]) if parts else None
        if parts is None or token is None:
            return _MALFORMED
        self._username = parts[0]
        return NeedToken(self._username, token[1])

    def _must_be_asked(self) -> None:
        if not isinstance(self.outcome, NeedToken):
            raise LocalProtocolError("a verdict on a token that nobody needs")


def _googles(message: str) -> tuple[str, str] | None:
    """User name and authorization."""
    found = _GOOGLES.fullmatch(message)
    return (found[1], found[2]) if found else None


def _pairs(message: str) -> tuple[str, str] | None:
    """The same by RFC 7628 §3.1. The name may be left out; the token tells it."""
    found = _PAIRS.fullmatch(message)
    if found is None or _BAD_ESCAPE.search(found[1] or ""):
        return None
    pairs = [pair.partition("=") for pair in found[2].split("\x01") if pair]
    values = [value for key, _, value in pairs if key.lower() == "auth"]
    name = (found[1] or "").replace("=2C", ",").replace("=3D", "=")
    return (name, values[0]) if len(values) == 1 else None


class Client:
    """The client's side; the claim's password is the token."""

    __slots__ = ("_is_said", "_mechanism", "initial", "is_satisfied")

    def __init__(self, mechanism: bytes, claim: Claim, _: Channel) -> None:
        name, token = claim.authentication, claim.password
        if not _BEARER.fullmatch(f"Bearer {token}") or not name or "\0" in name or "\x01" in name:
            raise LocalProtocolError("this is no user name with a bearer token")
        if mechanism == XOAUTH2:
            message = f"user={name}\x01auth=Bearer {token}\x01\x01"
        else:
            escaped = name.replace("=", "=3D").replace(",", "=2C")
            message = f"n,a={escaped},\x01auth=Bearer {token}\x01\x01"
        self._mechanism = mechanism
        self.initial: bytes | None = _encoded(message)
        self.is_satisfied = True
        self._is_said = False

    def step(self, challenge: bytes) -> bytes:
        """An empty challenge asks for the token where the carrier had no room for it; any other says what is wrong."""
        if not challenge and not self._is_said:
            self._is_said = True
            return self.initial or b""
        return b"" if self._mechanism == XOAUTH2 else _encoded("\x01")


def _encoded(message: str) -> bytes:
    return binascii.b2a_base64(message.encode(), newline=False)
