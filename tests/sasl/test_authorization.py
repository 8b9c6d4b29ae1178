"""Whom somebody wants to act as, in the mechanisms that can say it: himself, or nobody at all."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import scramp  # type: ignore[import-untyped]

from postoffice.protocols.sasl import server
from postoffice.protocols.sasl.scram import Server, make_verifier
from postoffice.protocols.sasl.server import Challenge, Channel, Failed, Fault, Proven, Vouched

BOUND = Channel(b"hash of a certificate", certificate=b"a client's")
VERIFIER = make_verifier("SCRAM-SHA-256", "secret", bytes(16), 4096)


class Header:
    """What scramp's client lacks: a gs2 header with an authorization identity (RFC 5802 §7)."""

    def __init__(self, said: str, binding: bytes) -> None:
        self._said = said
        self._binding = binding

    def __str__(self) -> str:
        return self._said

    def make_cbind_input(self, _: Any) -> bytes:
        return self._said.encode() + self._binding


def proven(mechanism: bytes, header: str, claimed: str | None = None) -> server.Outcome:
    """A whole exchange by the right password; `claimed` is the header that the proof is about."""
    is_bound = mechanism.endswith(b"-PLUS")
    binding = ("tls-server-end-point", BOUND.binding) if is_bound else None
    ours = scramp.ScramClient([mechanism.decode()], "bob", "secret", channel_binding=binding)
    ours.gs2_header = Header(header, BOUND.binding if is_bound else b"")
    theirs = server.begin(mechanism, b64(ours.get_client_first()), BOUND if is_bound else Channel())
    assert isinstance(theirs, Server)
    challenge = theirs.supply([VERIFIER])
    assert isinstance(challenge, Challenge)
    ours.set_server_first(base64.b64decode(challenge.encoded).decode())
    ours.gs2_header = Header(claimed or header, BOUND.binding if is_bound else b"")
    outcome = theirs.step(b64(ours.get_client_final()))
    return theirs.step(b"") if isinstance(outcome, Challenge) else outcome


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("header", "authorization"), [("n,,", ""), ("n,a=bob,", "bob"), ("n,a=b=2Cc=3Dd,", "b,c=d"), ("y,a=bob,", "bob")]
)
def test_scram_tells_whom_somebody_wants_to_act_as(header: str, authorization: str) -> None:
    assert proven(b"SCRAM-SHA-256", header) == Proven("bob", 0, authorization)


def test_scram_plus_tells_it_too() -> None:
    outcome = proven(b"SCRAM-SHA-256-PLUS", "p=tls-server-end-point,a=carol,")
    assert outcome == Proven("bob", 0, "carol")


def test_who_is_in_between_cannot_change_it() -> None:
    outcome = proven(b"SCRAM-SHA-256", "n,a=carol,", "n,a=bob,")
    assert outcome == Failed(Fault.MALFORMED, "SCRAM: channel-bindings-dont-match")
    outcome = proven(b"SCRAM-SHA-256", "n,a=carol,", "n,,")
    assert outcome == Failed(Fault.MALFORMED, "SCRAM: channel-bindings-dont-match")


@pytest.mark.parametrize(
    ("initial", "authorization"), [(b"=", ""), (b64("bob"), "bob"), (b64("ngu\u031bo\u031b\u0300i"), "ng\u01b0\u1eddi")]
)
def test_external_tells_it_beside_the_certificate(initial: bytes, authorization: str) -> None:
    assert server.begin(b"EXTERNAL", initial, BOUND).outcome == Vouched(authorization, b"a client's")
    later = server.begin(b"EXTERNAL", None, BOUND)
    assert later.outcome == Challenge(b"")
    assert later.step(initial.strip(b"=") and initial) == Vouched(authorization, b"a client's")


@pytest.mark.parametrize("initial", [b"/w==", b64("b\0b"), b"!"])
def test_external_with_a_name_that_is_none_fails(initial: bytes) -> None:
    assert isinstance(server.begin(b"EXTERNAL", initial, BOUND).outcome, Failed)
