"""SCRAM: both sides show that they know a password, and neither sends it (RFC 5802, RFC 7677).

    client                                server
    n,,n=bob,r=NONCE             ─▶       `NeedVerifiers`: who asks is looked up, and `supply` goes on
                                 ◀─       r=NONCE+OURS,s=SALT,i=COUNT
    c=biws,r=NONCE+OURS,p=PROOF  ─▶       is it one of the verifiers'?
                                 ◀─       v=SIGNATURE: the server knows the password too
    (nothing)                    ─▶       `Proven`

The -PLUS mechanisms bind the proof to the TLS connection by the hash of the server's certificate
(tls-server-end-point, RFC 5929 §4), so nobody in between can pass it on. A client that could have bound and was told
that we cannot (`y`) was lied to by somebody where we can: that is refused (RFC 5802 §6).

The arithmetic, SASLprep (RFC 4013) and the grammar are `scramp`'s.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import scramp  # type: ignore[import-untyped]
from scramp.utils import ServerError, saslprep  # type: ignore[import-untyped]

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.server import (
    Challenge,
    Failed,
    Fault,
    NeedVerifiers,
    Outcome,
    Proven,
    decoded,
    decoded_initial,
    must_await,
)
from postoffice.protocols.sasl.terms import Channel, Claim

BINDING: Final = "tls-server-end-point"
CANCEL: Final = b"*"
_AUTHORIZATION: Final = re.compile(r"([^,]+),a=((?:[^,=\0]|=2C|=3D)+),")


@dataclass(frozen=True, slots=True)
class Verifier:
    """What is kept instead of a password (RFC 5803): it can check a proof, and make none."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def make_verifier(scheme: str, password: str, salt: bytes, iterations: int) -> Verifier:
    """The verifier of a password by `SCRAM-SHA-256` or a sister. ValueError: SASLprep forbids the password."""
    try:
        salt, stored, server, count = scramp.ScramMechanism(scheme).make_auth_info(password, iterations, salt)
    except scramp.ScramException as error:
        raise ValueError(str(error)) from error
    return Verifier(salt, count, stored, server)


class _Header:
    """A gs2 header with an authorization identity, which scramp does not know: it counts in the proof as it stands
    (RFC 5802 §5.1)."""

    def __init__(self, header: str, flag: str) -> None:
        self._header = header.encode()
        self._is_bound = flag.startswith("p=")

    def make_cbind_input(self, binding: Any) -> bytes:
        return self._header + (bytes(binding.data) if self._is_bound else b"")


class Step(Enum):
    """What the other side says next."""

    FIRST = "its first message"
    FINAL = "its final message"
    LAST = "nothing more"


class Server:
    """The server's side. `supply` answers a `NeedVerifiers`."""

    __slots__ = (
        "_authorization",
        "_channel",
        "_first",
        "_header",
        "_mechanism",
        "_nonce",
        "_servers",
        "_step",
        "_username",
        "_which",
        "outcome",
    )

    def __init__(self, mechanism: bytes, initial: bytes | None, channel: Channel) -> None:
        if mechanism.endswith(b"-PLUS") and not channel.binding:
            raise LocalProtocolError("there is nothing to bind to")
        self._mechanism = scramp.ScramMechanism(mechanism.decode())
        self._channel = channel
        self._nonce = channel.nonce or secrets.token_urlsafe(24)  # one for all verifiers
        self._first = self._username = self._authorization = ""
        self._header: _Header | None = None
        self._servers: list[Any] = []
        self._which = 0
        self._step = Step.FIRST
        self.outcome: Outcome = Challenge(b"")
        if initial is not None:
            self.outcome = self._next(decoded_initial(initial))

    def step(self, response: bytes) -> Outcome:
        must_await(self.outcome)
        self.outcome = self._next(decoded(response))
        return self.outcome

    def supply(self, verifiers: Sequence[Verifier]) -> Outcome:
        """One verifier for each password that would be right; all of one salt and count, and at least one."""
        if not isinstance(self.outcome, NeedVerifiers) or not verifiers:
            raise LocalProtocolError("verifiers that nobody needs, or none where they are needed")
        if len({(verifier.salt, verifier.iterations) for verifier in verifiers}) > 1:
            raise LocalProtocolError("verifiers that do not share salt and count")
        self._servers = [self._begun(verifier) for verifier in verifiers]
        self._step = Step.FINAL
        firsts = {server.get_server_first() for server in self._servers}
        self.outcome = Challenge(_encoded(firsts.pop()))
        return self.outcome

    def _next(self, octets: bytes | Failed) -> Outcome:
        if isinstance(octets, Failed):
            return octets
        if self._step is Step.LAST:
            return Failed(Fault.MALFORMED, "SCRAM was over") if octets else self._proven
        try:
            message = octets.decode()
            return self._hear_first(message) if self._step is Step.FIRST else self._hear_final(message)
        except UnicodeDecodeError:
            return Failed(Fault.MALFORMED, "a SCRAM message is not UTF-8")
        except scramp.ScramException as error:
            because = error.server_error or ServerError.OTHER_ERROR
            fault = Fault.UNPROVEN if because is ServerError.INVALID_PROOF else Fault.MALFORMED
            return Failed(fault, f"SCRAM: {because.value}")

    def _hear_first(self, message: str) -> Outcome:
        """Whoever asks is known only when the message is read, and everybody is looked up: so it is read twice."""
        self._first = message
        found = _AUTHORIZATION.match(message)
        if found:
            self._header = _Header(found[0], found[1])
            self._authorization = found[2].replace("=2C", ",").replace("=3D", "=")
            self._first = f"{found[1]},,{message[found.end() :]}"
        names: list[str] = []
        self._begin(Verifier(bytes(16), 4096, b"", b""), names)
        self._username = names[0]
        return NeedVerifiers(self._username, self._scheme)

    def _hear_final(self, message: str) -> Outcome:
        """Every verifier is tried, so that the time does not tell which was right."""
        signed: list[tuple[int, str]] = []
        problem: scramp.ScramException | None = None
        for index, server in enumerate(self._servers):
            try:
                server.set_client_final(message)
                signed.append((index, server.get_server_final()))
            except scramp.ScramException as error:
                problem = error
        if not signed:
            assert problem is not None
            raise problem
        self._step = Step.LAST
        self._which, signature = signed[0]
        return Challenge(_encoded(signature))

    @property
    def _proven(self) -> Proven:
        return Proven(self._username, self._which, self._authorization)

    @property
    def _scheme(self) -> str:
        return str(self._mechanism.name).removesuffix("-PLUS")

    def _begun(self, verifier: Verifier) -> Any:
        return self._begin(verifier, [])

    def _begin(self, verifier: Verifier, names: list[str]) -> Any:
        """scramp's exchange, having heard the first message."""

        def kept(name: str) -> tuple[bytes, bytes, bytes, int]:
            names.append(name)
            return verifier.salt, verifier.stored_key, verifier.server_key, verifier.iterations

        server = self._mechanism.make_server(kept, _binding(self._channel), self._nonce)
        server.set_client_first(self._first)
        if self._header is not None:
            server.gs2_header = self._header
        return server


class Client:
    """The client's side. It is satisfied when the server has shown that it knows the password too."""

    __slots__ = ("_scram", "_step", "initial", "is_satisfied")

    def __init__(self, mechanism: bytes, claim: Claim, channel: Channel) -> None:
        if claim.authorization and claim.authorization != claim.authentication:
            raise LocalProtocolError("SCRAM cannot act for somebody else here")
        try:
            self._scram = scramp.ScramClient(
                [mechanism.decode()],
                claim.authentication,
                claim.password,
                channel_binding=_binding(channel),
                c_nonce=channel.nonce,
            )
        except scramp.ScramException as error:
            raise LocalProtocolError(f"SCRAM cannot carry this: {error}") from error
        self.initial: bytes | None = _encoded(self._scram.get_client_first())
        self._step = Step.FIRST
        self.is_satisfied = False

    @property
    def is_informing(self) -> bool:
        """Not before the proof."""
        return self._step is not Step.FIRST

    def step(self, challenge: bytes) -> bytes:
        try:
            message = binascii.a2b_base64(challenge, strict_mode=True).decode()
            return self._answer(message)
        except (ValueError, scramp.ScramException):
            return CANCEL

    def _answer(self, message: str) -> bytes:
        if self._step is Step.FIRST:
            if not message:
                return self.initial or b""  # the carrier had no room for it
            self._scram.set_server_first(message)
            self._step = Step.FINAL
            return _encoded(self._scram.get_client_final())
        if self._step is Step.FINAL:
            self._scram.set_server_final(message)
            self._step = Step.LAST
            self.is_satisfied = True
            return b""
        return CANCEL


def can_carry(claim: Claim) -> bool:
    """Whether SASLprep allows this name and password (RFC 5802 §2.2)."""
    try:
        return bool(saslprep(claim.authentication) and saslprep(claim.password))
    except scramp.ScramException:
        return False


def _binding(channel: Channel) -> tuple[str, bytes] | None:
    return (BINDING, channel.binding) if channel.binding else None


def _encoded(message: str) -> bytes:
    return binascii.b2a_base64(message.encode(), newline=False)
