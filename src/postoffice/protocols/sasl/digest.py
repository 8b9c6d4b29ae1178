"""Logins by MD5 over a stamp and a secret that both sides keep in clear: CRAM-MD5 (RFC 2195) and APOP (RFC 1939 §7).

    S: + PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+      the stamp
    C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw                the name and HMAC-MD5 (RFC 2104) of the stamp

The secret does not travel; but a server must keep it so that it can be read, and who listens can try passwords at his
leisure. So both are off unless somebody wants them for a program that knows nothing else.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Final

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.server import (
    Challenge,
    Failed,
    Fault,
    NeedSecrets,
    Outcome,
    Proven,
    decoded,
    must_await,
    prepared,
)
from postoffice.protocols.sasl.terms import Channel, Claim

_RESPONSE: Final = re.compile(rb"(.+) ([0-9a-fA-F]{32})", re.DOTALL)
_MALFORMED: Final = Failed(Fault.MALFORMED, "this is no name with a digest")


def stamp(host: str, nonce: str = "") -> str:
    """`<...@host>` as a message-id is written, never the same twice (RFC 1939 §7, RFC 2195 §2)."""
    return f"<{nonce or secrets.token_hex(12)}@{host or 'localhost'}>"


def apop(stamped: bytes, secret: bytes) -> bytes:
    """The digest of APOP."""
    return hashlib.md5(stamped + secret, usedforsecurity=False).hexdigest().encode()


def cram(stamped: bytes, secret: bytes) -> bytes:
    """The digest of CRAM-MD5."""
    return hmac.new(secret, stamped, "md5").hexdigest().encode()


def fitting(digest: bytes, expected: Sequence[bytes]) -> int | None:
    """Which of the digests it is. All are compared, so that the time does not tell."""
    found = [hmac.compare_digest(digest.lower(), one) for one in expected]
    return found.index(True) if True in found else None


class Server:
    """The server's side of CRAM-MD5. `supply` answers a `NeedSecrets`."""

    __slots__ = ("_digest", "_stamp", "_username", "outcome")

    def __init__(self, initial: bytes | None, channel: Channel) -> None:
        self._stamp = stamp(channel.host, channel.nonce or "").encode()
        self._username = ""
        self._digest = b""
        self.outcome: Outcome = Challenge(binascii.b2a_base64(self._stamp, newline=False))
        if initial is not None:
            self.outcome = Failed(Fault.MALFORMED, "CRAM-MD5 begins with the server")

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        self.outcome = self._hear(decoded(response))
        return self.outcome

    def supply(self, kept: Sequence[bytes]) -> Outcome:
        """Every secret that would be right, perhaps none."""
        if not isinstance(self.outcome, NeedSecrets):
            raise LocalProtocolError("secrets that nobody needs")
        which = fitting(self._digest, [cram(self._stamp, secret) for secret in kept])
        failed = Failed(Fault.UNPROVEN, "the digest is wrong")
        self.outcome = failed if which is None else Proven(self._username, which)
        return self.outcome

    def _hear(self, octets: bytes | Failed) -> Outcome:
        if isinstance(octets, Failed):
            return octets
        found = _RESPONSE.fullmatch(octets)
        name = prepared(found[1]) if found else _MALFORMED
        if isinstance(name, Failed) or found is None:
            return _MALFORMED
        self._username, self._digest = name, found[2]
        return NeedSecrets(name)


class Client:
    """The client's side of CRAM-MD5."""

    __slots__ = ("_claim", "_is_said", "initial", "is_satisfied")
    is_informing = True

    def __init__(self, claim: Claim, _: Channel) -> None:
        if claim.authorization and claim.authorization != claim.authentication:
            raise LocalProtocolError("CRAM-MD5 cannot act for somebody else")
        self._claim = claim
        self._is_said = False
        self.initial: bytes | None = None
        self.is_satisfied = True

    def step(self, challenge: bytes) -> bytes:
        try:
            stamped = binascii.a2b_base64(challenge, strict_mode=True)
        except binascii.Error:
            return b"*"
        if self._is_said or not stamped:
            return b"*"
        self._is_said = True
        digest = cram(stamped, self._claim.password.encode())
        return binascii.b2a_base64(self._claim.authentication.encode() + b" " + digest, newline=False)
