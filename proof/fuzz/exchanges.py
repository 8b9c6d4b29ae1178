"""Exchanges of every mechanism: what a stranger answers proves nothing and breaks nothing."""

from __future__ import annotations

import binascii

from postoffice.protocols.sasl import digest
from postoffice.protocols.sasl.bearer import Server as Bearer
from postoffice.protocols.sasl.scram import Server as Scram
from postoffice.protocols.sasl.scram import make_verifier
from postoffice.protocols.sasl.server import (
    MECHANISMS,
    Challenge,
    Channel,
    Claim,
    Failed,
    NeedSecrets,
    NeedToken,
    NeedVerifiers,
    Vouched,
    begin,
)
from proof.fuzz.cuts import control_and_octets

_NAMES = sorted(MECHANISMS)
_CHANNEL = Channel(b"hash of a certificate", "ournonce", b"a certificate", "b.example", frozenset({"b.example"}))
_SALT = b"a salt of sixteen"
_VERIFIERS = {
    name: make_verifier(name, "tanstaaf", _SALT, 4096) for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")
}
_MOST_STEPS = 8


def server(data: bytes) -> None:
    """An exchange ends after a few steps, in a claim, in a failure, or in a question that we answer with no."""
    control, octets = control_and_octets(data)
    responses = octets.split(b"\n")
    if control & 128:  # a fuzzer hardly finds base64 by itself
        responses = [binascii.b2a_base64(response, newline=False) for response in responses]
    exchange = begin(_NAMES[control % 128 % len(_NAMES)], responses.pop(0) if control & 64 else None, _CHANNEL)
    for step in range(_MOST_STEPS):
        match exchange.outcome:
            case NeedVerifiers(_, scheme):
                assert isinstance(exchange, Scram)
                exchange.supply([_VERIFIERS[scheme]])
            case NeedSecrets():
                assert isinstance(exchange, digest.Server)
                exchange.supply([b"tanstaaf"])
            case NeedToken():
                assert isinstance(exchange, Bearer)
                exchange.refuse()
            case Challenge(encoded):
                assert b"\r" not in encoded
                assert b"\n" not in encoded
                exchange.step(responses[step] if step < len(responses) else b"*")
            case outcome:
                assert isinstance(outcome, Claim | Failed | Vouched)
                return
    raise AssertionError("the exchange does not end")
