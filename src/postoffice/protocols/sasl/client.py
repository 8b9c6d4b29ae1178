"""The client's side of an exchange: a `Claim` in, base64 for the server out.

`initial` is what may stand in the AUTH command itself, None for a mechanism in which the server begins. A carrier
that has no room for it leaves it out and gets an empty challenge instead (RFC 4954 §4). A challenge that is not
base64 is answered with `*`, which cancels. Where the server has something to prove as well (SCRAM), a login that it
calls good is none before the exchange `is_satisfied`.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl.terms import BEARER, CRAM_MD5, EXTERNAL, NOTHING_BOUND, SCRAM, Channel, Claim

if TYPE_CHECKING:
    from postoffice.protocols.sasl.bearer import Client as Bearer
    from postoffice.protocols.sasl.digest import Client as Digest
    from postoffice.protocols.sasl.external import Client as External
    from postoffice.protocols.sasl.scram import Client as Scram

CANCEL: Final = b"*"


class Exchange(Protocol):
    """One exchange."""

    @property
    def initial(self) -> bytes | None: ...

    @property
    def is_satisfied(self) -> bool: ...

    @property
    def is_informing(self) -> bool:
        """Whether what was said so far has the password in it, or a proof of it."""
        ...

    def step(self, challenge: bytes) -> bytes:
        """The response to a challenge, both in base64."""
        ...


class Plain:
    """RFC 4616."""

    __slots__ = ("_response", "initial", "is_satisfied")
    is_informing = True

    def __init__(self, claim: Claim, _: Channel) -> None:
        parts = (claim.authorization, claim.authentication, claim.password)
        if any("\0" in part for part in parts) or not claim.authentication or not claim.password:
            raise LocalProtocolError("PLAIN carries no empty names and no NUL")
        self._response: bytes | None = _encoded("\0".join(parts))
        self.initial: bytes | None = self._response
        self.is_satisfied = True

    def step(self, challenge: bytes) -> bytes:
        response, self._response = self._response, None
        return CANCEL if response is None or not _is_base64(challenge) else response


class Login:
    """The mechanism without an RFC. The server's wording differs from server to server, so it is not looked at."""

    __slots__ = ("_responses", "initial", "is_satisfied")
    is_informing = True

    def __init__(self, claim: Claim, _: Channel) -> None:
        if claim.authorization and claim.authorization != claim.authentication:
            raise LocalProtocolError("LOGIN cannot act for somebody else")
        self.initial: bytes | None = None
        self.is_satisfied = True
        self._responses = [_encoded(claim.password), _encoded(claim.authentication)]

    def step(self, challenge: bytes) -> bytes:
        return self._responses.pop() if self._responses and _is_base64(challenge) else CANCEL


def _scram(mechanism: bytes, claim: Claim, channel: Channel) -> Scram:
    from postoffice.protocols.sasl.scram import Client

    return Client(mechanism, claim, channel)


def _bearer(mechanism: bytes, claim: Claim, channel: Channel) -> Bearer:
    from postoffice.protocols.sasl.bearer import Client

    return Client(mechanism, claim, channel)


def _external(claim: Claim, channel: Channel) -> External:
    from postoffice.protocols.sasl.external import Client

    return Client(claim, channel)


def _digest(claim: Claim, channel: Channel) -> Digest:
    from postoffice.protocols.sasl.digest import Client

    return Client(claim, channel)


class _Begin(Protocol):
    def __call__(self, claim: Claim, channel: Channel, /) -> Exchange: ...


MECHANISMS: Final[dict[bytes, _Begin]] = {
    **{name: partial(_scram, name) for name in SCRAM},
    b"PLAIN": Plain,
    b"LOGIN": Login,
    CRAM_MD5: _digest,
    EXTERNAL: _external,
    **{name: partial(_bearer, name) for name in BEARER},
}
"""By name, in upper case, the preferred one first."""


def choose(
    offered: Iterable[bytes], claim: Claim, channel: Channel = NOTHING_BOUND, *, is_heard: bool = False
) -> bytes | None:
    """The mechanism for a password that we like best among those offered that can carry this claim in this channel.

    Never one of tokens: a password is not shown to whoever takes it for one. Where others may listen (`is_heard`),
    CRAM-MD5 goes before those that say the password; else behind them, for it wants a server that can read it.
    """
    names = {name.upper() for name in offered}.difference(BEARER, (EXTERNAL,))
    if not channel.binding:
        names = {name for name in names if not name.endswith(b"-PLUS")}
    if names.intersection(SCRAM):
        from postoffice.protocols.sasl.scram import can_carry

        names = names if can_carry(claim) else names.difference(SCRAM)
    if is_heard and CRAM_MD5 in names and names.isdisjoint(SCRAM):
        return CRAM_MD5
    return next((mechanism for mechanism in MECHANISMS if mechanism in names), None)


def begin(mechanism: bytes, claim: Claim, channel: Channel = NOTHING_BOUND) -> Exchange:
    """An exchange by one of `MECHANISMS`.

    A channel with a binding and a mechanism without -PLUS tell the server that it offered none (RFC 5802 §6).
    """
    known = MECHANISMS.get(mechanism)
    if known is None:
        raise LocalProtocolError("an exchange by an unknown mechanism")
    return known(claim, channel)


def _encoded(text: str) -> bytes:
    return binascii.b2a_base64(text.encode(), newline=False)


def _is_base64(challenge: bytes) -> bool:
    try:
        binascii.a2b_base64(challenge, strict_mode=True)
    except binascii.Error:
        return False
    return True
