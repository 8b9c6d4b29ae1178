"""SCRAM: the examples of the RFCs octet by octet, both ends against each other, and what must not get through."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl import client, server
from postoffice.protocols.sasl.scram import Client, Server, Verifier, can_carry, make_verifier
from postoffice.protocols.sasl.server import (
    SCRAM,
    Challenge,
    Channel,
    Claim,
    Failed,
    Fault,
    NeedVerifiers,
    Outcome,
    Proven,
)

SALT = b"a salt of some octets"
BOUND = Channel(b"hash of a certificate")
BOB = Claim("", "bob", "secret")


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


def scheme(mechanism: bytes) -> str:
    return mechanism.removesuffix(b"-PLUS").decode()


def verifier(mechanism: bytes, password: str = "secret") -> Verifier:
    return make_verifier(scheme(mechanism), password, SALT, 4096)


def couple(ours: client.Exchange, theirs: server.Exchange, *kept: Verifier) -> Outcome:
    """Carry everything to and fro; what the server ends with."""
    assert isinstance(theirs, Server)
    while isinstance(theirs.outcome, Challenge | NeedVerifiers):
        if isinstance(theirs.outcome, NeedVerifiers):
            theirs.supply(kept)
        else:
            theirs.step(ours.step(theirs.outcome.encoded))
    return theirs.outcome


def pair(mechanism: bytes, claim: Claim, ours: Channel = BOUND, theirs: Channel = BOUND) -> tuple[Client, Server]:
    begun = client.begin(mechanism, claim, ours)
    heard = server.begin(mechanism, begun.initial, theirs)
    assert isinstance(begun, Client)
    assert isinstance(heard, Server)
    return begun, heard


@pytest.mark.parametrize(
    ("mechanism", "nonces", "salt", "messages"),
    [
        (  # RFC 5802 §5
            b"SCRAM-SHA-1",
            ("fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"),
            "QSXCR+Q6sek8bf92",
            (
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
        ),
        (  # RFC 7677 §3
            b"SCRAM-SHA-256",
            ("rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            (
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ),
    ],
    ids=["RFC 5802", "RFC 7677"],
)
def test_the_examples_of_the_rfcs_are_spoken_by_both_ends(
    mechanism: bytes, nonces: tuple[str, str], salt: str, messages: tuple[str, ...]
) -> None:
    first, challenge, final, signature = map(b64, messages)
    ours = client.begin(mechanism, Claim("", "user", "pencil"), Channel(nonce=nonces[0]))
    assert ours.initial == first
    assert ours.step(challenge) == final
    assert not ours.is_satisfied
    assert ours.step(signature) == b""
    assert ours.is_satisfied

    theirs = server.begin(mechanism, first, Channel(nonce=nonces[1]))
    assert isinstance(theirs, Server)
    assert theirs.outcome == NeedVerifiers("user", mechanism.decode())
    kept = make_verifier(mechanism.decode(), "pencil", base64.b64decode(salt), 4096)
    assert theirs.supply([kept]) == Challenge(challenge)
    assert theirs.step(final) == Challenge(signature)
    assert theirs.step(b"") == Proven("user")


@pytest.mark.parametrize("mechanism", SCRAM)
def test_every_mechanism_proves_the_right_password_and_no_other(mechanism: bytes) -> None:
    channel = BOUND if mechanism.endswith(b"-PLUS") else Channel()
    ours, theirs = pair(mechanism, BOB, channel, channel)
    assert couple(ours, theirs, verifier(mechanism)) == Proven("bob")
    assert ours.is_satisfied
    ours, theirs = pair(mechanism, Claim("", "bob", "guess"), channel, channel)
    outcome = couple(ours, theirs, verifier(mechanism))
    assert isinstance(outcome, Failed)
    assert outcome.fault is Fault.UNPROVEN
    assert not ours.is_satisfied


NAMES = st.text(st.characters(codec="ascii", min_codepoint=0x21), min_size=1, max_size=20)
VIETNAMESE = st.text("aăâeêioôơuưyđÁỆỹ=, ", min_size=1, max_size=20)


@settings(max_examples=60)
@given(NAMES | VIETNAMESE, NAMES | VIETNAMESE, st.sampled_from(SCRAM), st.booleans())
def test_any_name_and_password_that_saslprep_allows_comes_through(
    name: str, password: str, mechanism: bytes, with_initial: bool
) -> None:
    claim = Claim("", name, password)
    if not can_carry(claim):
        with pytest.raises(LocalProtocolError):
            client.begin(mechanism, claim, BOUND)
        return
    channel = BOUND if mechanism.endswith(b"-PLUS") else Channel()
    ours = client.begin(mechanism, claim, channel)
    theirs = server.begin(mechanism, ours.initial if with_initial else None, channel)
    outcome = couple(ours, theirs, verifier(mechanism, password))
    assert isinstance(outcome, Proven)
    assert outcome.username.split() == name.split()
    assert ours.is_satisfied


def test_any_of_several_passwords_is_right() -> None:
    kept = [verifier(b"SCRAM-SHA-256", password) for password in ("one", "two", "three")]
    for which, password in enumerate(("one", "two", "three")):
        ours, theirs = pair(b"SCRAM-SHA-256", Claim("", "bob", password), Channel(), Channel())
        assert couple(ours, theirs, *kept) == Proven("bob", which)
        assert ours.is_satisfied


def test_verifiers_of_several_salts_are_not_mixed() -> None:
    _, theirs = pair(b"SCRAM-SHA-1", BOB, Channel(), Channel())
    other = make_verifier("SCRAM-SHA-1", "secret", b"another salt of it", 4096)
    for wrong in ([verifier(b"SCRAM-SHA-1"), other], []):
        with pytest.raises(LocalProtocolError):
            theirs.supply(wrong)


# --- somebody in between


def test_a_proof_is_worth_nothing_in_another_connection() -> None:
    ours, theirs = pair(b"SCRAM-SHA-256-PLUS", BOB, Channel(b"the certificate of a thief"), BOUND)
    outcome = couple(ours, theirs, verifier(b"SCRAM-SHA-256-PLUS"))
    assert outcome == Failed(Fault.MALFORMED, "SCRAM: channel-bindings-dont-match")


def test_a_client_that_was_not_told_of_plus_is_refused_where_it_was_offered() -> None:
    _, theirs = pair(b"SCRAM-SHA-256", BOB, BOUND, BOUND)
    assert theirs.outcome == Failed(Fault.MALFORMED, "SCRAM: server-does-support-channel-binding")
    ours, theirs = pair(b"SCRAM-SHA-256", BOB, BOUND, Channel())
    assert couple(ours, theirs, verifier(b"SCRAM-SHA-256")) == Proven("bob")


def test_plus_needs_something_to_bind_to() -> None:
    with pytest.raises(LocalProtocolError):
        server.begin(b"SCRAM-SHA-1-PLUS", None, Channel())
    with pytest.raises(LocalProtocolError):
        client.begin(b"SCRAM-SHA-1-PLUS", BOB, Channel())
    exchange = server.begin(b"SCRAM-SHA-1-PLUS", b64("n,,n=bob,r=abc"), BOUND)
    assert exchange.outcome == Failed(Fault.MALFORMED, "SCRAM: server-does-support-channel-binding")


def test_a_server_that_does_not_know_the_password_satisfies_nobody() -> None:
    ours, theirs = pair(b"SCRAM-SHA-256", BOB, Channel(), Channel())
    assert isinstance(theirs.outcome, NeedVerifiers)
    challenge = theirs.supply([verifier(b"SCRAM-SHA-256")])
    assert isinstance(challenge, Challenge)
    ours.step(challenge.encoded)
    assert ours.step(b64("v=" + base64.b64encode(bytes(32)).decode())) == b"*"
    assert not ours.is_satisfied


@pytest.mark.parametrize(
    "challenge",
    [b"!", b"//8=", b64("r=another,s=QSXCR+Q6sek8bf92,i=4096"), b64("r=mine,s=QSXCR+Q6sek8bf92,i=4096"),
     b64("r=mineX,s=QSXCR+Q6sek8bf92,i=1"), b64("r=mineX,s=QSXCR+Q6sek8bf92,i=99999999999"), b64("e=other-error"),
     b64("e=nonsense"), b64("m=new,r=mineX,s=QSXCR+Q6sek8bf92,i=4096")],
)  # fmt: skip
def test_a_client_cancels_what_is_no_challenge_for_it(challenge: bytes) -> None:
    ours = client.begin(b"SCRAM-SHA-1", BOB, Channel(nonce="mine"))
    assert ours.step(challenge) == b"*"
    assert not ours.is_satisfied


# --- what is malformed


@pytest.mark.parametrize(
    ("message", "because"),
    [
        ("", "other-error"),
        ("n,,", "other-error"),
        ("n,,n=,r=abc", "other-error"),
        ("n,,n=bob,r=", "other-error"),
        ("n,,r=abc,n=bob", "other-error"),
        ("n,,m=ext,n=bob,r=abc", "extensions-not-supported"),
        ("n,,n=b=2Xb,r=abc", "invalid-username-encoding"),
        ("n,,n=b\u0007b,r=abc", "invalid-username-encoding"),
        ("n,a=,n=bob,r=abc", "other-error"),
        ("n,a=c=2Xl,n=bob,r=abc", "other-error"),
        ("n,a=c\0l,n=bob,r=abc", "other-error"),
        ("x,,n=bob,r=abc", "other-error"),
        ("p=tls-unique,,n=bob,r=abc", "channel-binding-not-supported"),
        ("p=tls-exporter,,n=bob,r=abc", "unsupported-channel-binding-type"),
        ("n,,n=bob,r=a\u00e9c", "other-error"),
    ],
)
def test_a_first_message_of_another_form_is_refused(message: str, because: str) -> None:
    exchange = server.begin(b"SCRAM-SHA-256", b64(message) or b"=", Channel())
    assert exchange.outcome == Failed(Fault.MALFORMED, f"SCRAM: {because}")


@given(st.binary(max_size=80), st.sampled_from(SCRAM), st.integers(0, 2))
def test_any_octets_at_any_step_prove_nothing(octets: bytes, mechanism: bytes, at: int) -> None:
    ours = client.begin(mechanism, BOB, BOUND if mechanism.endswith(b"-PLUS") else Channel())
    theirs = server.begin(mechanism, None, BOUND if mechanism.endswith(b"-PLUS") else Channel())
    assert isinstance(theirs, Server)
    for step in itertools.count():
        if isinstance(theirs.outcome, NeedVerifiers):
            theirs.supply([verifier(mechanism)])
        if not isinstance(theirs.outcome, Challenge):
            break
        honest = ours.step(theirs.outcome.encoded)
        theirs.step(base64.b64encode(octets) if step == at else honest)
    if octets or at < 2:
        assert isinstance(theirs.outcome, Failed)
    else:
        assert theirs.outcome == Proven("bob")


@pytest.mark.parametrize(
    "octets", [b"c=biws,r=x,p=AAAA", b"c=biws,p=AAAA", b"c=!,r=%b,p=AAAA", b"c=biws,r=%b", b"\xff"]
)
def test_a_final_message_of_another_form_is_refused(octets: bytes) -> None:
    theirs = server.begin(b"SCRAM-SHA-1", b64("n,,n=bob,r=abc"), Channel(nonce="def"))
    assert isinstance(theirs, Server)
    theirs.supply([verifier(b"SCRAM-SHA-1")])
    outcome = theirs.step(base64.b64encode(octets.replace(b"%b", b"abcdef")))
    assert isinstance(outcome, Failed)
    assert outcome.fault is Fault.MALFORMED


def test_nothing_of_a_password_is_shown() -> None:
    assert "secret" not in repr(client.begin(b"SCRAM-SHA-1", BOB))


def test_a_client_binds_where_both_can_and_falls_back_where_saslprep_forbids() -> None:
    offered = [b"PLAIN", b"scram-sha-1", b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS"]
    assert client.choose(offered, BOB, BOUND) == b"SCRAM-SHA-256-PLUS"
    assert client.choose(offered, BOB) == b"SCRAM-SHA-256"
    assert client.choose(offered, Claim("", "bob", "a\u0007b")) == b"PLAIN"
    assert client.choose([b"SCRAM-SHA-1"], Claim("", "bob", "a\u0007b")) is None
