"""OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner: a token from an identity provider instead of a password.

    n,a=bob@b.example,^Aauth=Bearer TOKEN^A^A       user=bob@b.example^Aauth=Bearer TOKEN^A^A

Whether a token is good is decided elsewhere (`NeedToken`). If it is not, or there is none, or the client believes to
speak to somebody else, the server says so in JSON, the client acknowledges that with ^A or nothing, and only then the
exchange has failed (RFC 7628 §3.2.3).
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Final

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.server import (
    Challenge,
    Failed,
    Fault,
    NeedToken,
    Outcome,
    Proven,
    decoded,
    decoded_initial,
    must_await,
)
from postoffice.protocols.sasl.terms import Channel, Claim

OAUTHBEARER: Final = b"OAUTHBEARER"
XOAUTH2: Final = b"XOAUTH2"

_PAIRS: Final = re.compile(r"[ny],(?:a=([^,\x01\0]+))?,\x01((?:[A-Za-z]+=[^\x01\0]*\x01)*)\x01")
_GOOGLES: Final = re.compile(r"user=([^\x01\0]+)\x01auth=([^\x01\0]*)\x01\x01")
_BEARER: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_BAD_ESCAPE: Final = re.compile(r"=(?!2C|3D)")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_MALFORMED: Final = Failed(Fault.MALFORMED, "this carries no bearer token")
_REFUSED: Final = Failed(Fault.UNPROVEN, "the token is good for nothing here")
_ELSEWHERE: Final = Failed(Fault.MALFORMED, "the token was meant for another server")


class Server:
    """The server's side. `accept` or `refuse` answers a `NeedToken`."""

    __slots__ = ("_channel", "_failed", "_mechanism", "_username", "outcome")

    def __init__(self, mechanism: bytes, initial: bytes | None, channel: Channel) -> None:
        self._mechanism = mechanism
        self._channel = channel
        self._username = ""
        self._failed: Failed | None = None
        self.outcome: Outcome = Challenge(b"")
        if initial is not None:
            self.outcome = self._hear(decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        self.outcome = self._failed or self._hear(decoded(response))
        return self.outcome

    def accept(self) -> Outcome:
        """The token is good."""
        self._must_be_asked()
        self.outcome = Proven(self._username)
        return self.outcome

    def refuse(self) -> Outcome:
        """The token is not good: the client is told so, and has to acknowledge it."""
        self._must_be_asked()
        self.outcome = self._explain("invalid_token", _REFUSED)
        return self.outcome

    def _explain(self, status: str, failed: Failed) -> Challenge:
        """The step before the exchange has failed."""
        self._failed = failed
        said = {"status": "400" if self._mechanism == XOAUTH2 else status, "schemes": "bearer", "scope": ""}
        return Challenge(_encoded(json.dumps(said)))

    def _hear(self, octets: bytes | Failed) -> Outcome:
        if isinstance(octets, Failed):
            return octets
        try:
            message = octets.decode()
        except UnicodeDecodeError:
            message = ""
        pairs = _googles(message) if self._mechanism == XOAUTH2 else _pairs(message)
        token = _BEARER.fullmatch(pairs["auth"]) if pairs else None
        if pairs is None or token is None:
            return self._explain("invalid_request", _MALFORMED)
        if not self._is_meant(pairs):
            return self._explain("invalid_request", _ELSEWHERE)
        self._username = pairs["name"]
        return NeedToken(self._username, token[1])

    def _is_meant(self, pairs: dict[str, str]) -> bool:
        """Whether we are the server that the client believes to speak to, if it says which (RFC 7628 §3.1)."""
        host, port = pairs.get("host"), pairs.get("port")
        if host and self._channel.names and not _is_among(host.lower().strip("[]"), self._channel.names):
            return False
        return not port or not self._channel.ports or (bool(_PORT.fullmatch(port)) and int(port) in self._channel.ports)

    def _must_be_asked(self) -> None:
        if not isinstance(self.outcome, NeedToken):
            raise LocalProtocolError("a verdict on a token that nobody needs")


def _googles(message: str) -> dict[str, str] | None:
    """`name` and `auth`."""
    found = _GOOGLES.fullmatch(message)
    return {"name": found[1], "auth": found[2]} if found else None


def _pairs(message: str) -> dict[str, str] | None:
    """The same by RFC 7628 §3.1, with `host` and `port`. The name may be left out; the token tells it."""
    found = _PAIRS.fullmatch(message)
    if found is None or _BAD_ESCAPE.search(found[1] or ""):
        return None
    said = [pair.partition("=") for pair in found[2].split("\x01") if pair]
    pairs = {key.lower(): value for key, _, value in said}
    if "auth" not in pairs or len(pairs) < len(said):
        return None
    return pairs | {"name": (found[1] or "").replace("=2C", ",").replace("=3D", "=")}


def _is_among(host: str, names: frozenset[str]) -> bool:
    """A name of ours may begin with `*.`, as in a certificate (RFC 9525 §6.3)."""
    return host in names or f"*.{host.partition('.')[2]}" in names


class Client:
    """The client's side; the claim's password is the token."""

    __slots__ = ("_is_said", "_mechanism", "initial", "is_satisfied")
    is_informing = True

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
