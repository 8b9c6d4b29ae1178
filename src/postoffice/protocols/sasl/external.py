"""EXTERNAL: who somebody is was shown outside of the exchange, here by a client's certificate in TLS (RFC 4422 app. A).

The one message says whom the client wants to act as; empty, that is who the certificate says. Whose the certificate
is, is decided elsewhere (`Vouched`).
"""

from __future__ import annotations

import binascii

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.server import (
    Challenge,
    Failed,
    Outcome,
    Vouched,
    decoded,
    decoded_initial,
    must_await,
    prepared,
)
from postoffice.protocols.sasl.terms import Channel, Claim


class Server:
    """The server's side."""

    __slots__ = ("_certificate", "outcome")

    def __init__(self, initial: bytes | None, channel: Channel) -> None:
        if not channel.certificate:
            raise LocalProtocolError("nobody vouches for this client")
        self._certificate = channel.certificate
        self.outcome: Outcome = Challenge(b"")
        if initial is not None:
            self.outcome = self._hear(decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        self.outcome = self._hear(decoded(response))
        return self.outcome

    def _hear(self, octets: bytes | Failed) -> Outcome:
        name = prepared(octets) if isinstance(octets, bytes) and octets else octets or ""
        return name if isinstance(name, Failed) else Vouched(name, self._certificate)


class Client:
    """The client's side; it says whose maildrop it wants."""

    __slots__ = ("_response", "initial", "is_satisfied")
    is_informing = True

    def __init__(self, claim: Claim, _: Channel) -> None:
        name = claim.authorization or claim.authentication
        if "\0" in name:
            raise LocalProtocolError("EXTERNAL carries no NUL")
        self._response: bytes | None = binascii.b2a_base64(name.encode(), newline=False)
        self.initial: bytes | None = self._response or b"="
        self.is_satisfied = True

    def step(self, challenge: bytes) -> bytes:
        response, self._response = self._response, None
        return b"*" if response is None or challenge else response
