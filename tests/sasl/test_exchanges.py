"""SASL exchanges: what a client says is what a server hears, and nothing malformed becomes a claim."""

from __future__ import annotations

import base64
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl import client, server
from postoffice.protocols.sasl.server import CRAM_MD5, EXTERNAL, Challenge, Channel, Claim, Failed, Fault

BOB = Claim("", "bob", "secret")
BOUND = Channel(b"hash of a certificate", certificate=b"a client's", host="b.example")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40).map(
    lambda text: unicodedata.normalize("NFC", text)
)


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def fault(outcome: server.Outcome) -> Fault:
    assert isinstance(outcome, Failed)
    return outcome.fault


@given(TEXT | st.just(""), TEXT, TEXT, st.booleans())
def test_plain_carries_a_claim_with_and_without_initial_response(
    authorization: str, name: str, password: str, with_initial: bool
) -> None:
    claim = Claim(authorization, name, password)
    ours = client.begin(b"PLAIN", claim)
    theirs = server.begin(b"PLAIN", ours.initial if with_initial else None)
    if not with_initial:
        assert theirs.outcome == Challenge(b"")
        theirs.step(ours.step(b""))
    assert theirs.outcome == claim


@given(TEXT, TEXT)
def test_login_carries_a_claim(name: str, password: str) -> None:
    claim = Claim("", name, password)
    ours = client.begin(b"LOGIN", claim)
    assert ours.initial is None
    theirs = server.begin(b"LOGIN", None)
    asked = []
    while isinstance(theirs.outcome, Challenge):
        asked.append(base64.b64decode(theirs.outcome.encoded))
        theirs.step(ours.step(theirs.outcome.encoded))
    assert asked == [b"Username:", b"Password:"]
    assert theirs.outcome == claim


def test_login_takes_the_name_as_initial_response() -> None:
    exchange = server.begin(b"LOGIN", b64(b"scanner"))
    assert exchange.outcome == Challenge(b64(b"Password:"))
    assert exchange.step(b64(b"secret")) == Claim("", "scanner", "secret")


@pytest.mark.parametrize(
    "message",
    [
        b"", b"bob", b"\0bob", b"bob\0secret", b"\0bob\0", b"\0\0secret", b"\0\0", b"\0bob\0secret\0",
        b"\0bob\0sec\0ret", b"\0bob\0\xff\xfe", b"\0\xc3\0secret", b"\xff\0bob\0secret",
    ],
)  # fmt: skip
def test_a_plain_message_of_another_form_is_no_claim(message: bytes) -> None:
    assert fault(server.begin(b"PLAIN", b64(message) or b"=").outcome) is Fault.MALFORMED


@pytest.mark.parametrize("response", [b"\0", b"", b"\xff\xff"])
def test_login_refuses_empty_names_nul_and_what_is_not_utf8(response: bytes) -> None:
    assert fault(server.begin(b"LOGIN", None).step(b64(response))) is Fault.MALFORMED
    exchange = server.begin(b"LOGIN", b64(b"bob"))
    assert fault(exchange.step(b64(response))) is Fault.MALFORMED


@pytest.mark.parametrize("mechanism", list(server.MECHANISMS))
@pytest.mark.parametrize(
    "response", [b"=AAA", b"AAA=BBB", b"AGJv!", b"AGJvYgBz\n", b"A", b" AGJv", b"AGJv ", b"AA==AA==", b"AGJv="]
)
def test_base64_is_read_strictly(mechanism: bytes, response: bytes) -> None:
    assert fault(server.begin(mechanism, None, BOUND).step(response)) is Fault.NOT_BASE64
    if mechanism != CRAM_MD5:
        assert fault(server.begin(mechanism, response, BOUND).outcome) is Fault.NOT_BASE64


@given(st.binary(max_size=60))
def test_any_octets_end_in_a_claim_or_a_failure(octets: bytes) -> None:
    assume(octets != b"*")
    for response in (octets, b64(octets)):
        outcome = server.begin(b"PLAIN", None).step(response)
        assert isinstance(outcome, Claim | Failed)
        if isinstance(outcome, Claim):
            assert outcome.authentication
            assert outcome.password
            assert "\0" not in outcome.authorization + outcome.authentication + outcome.password


@pytest.mark.parametrize("mechanism", list(server.MECHANISMS))
def test_a_star_cancels(mechanism: bytes) -> None:
    exchange = server.begin(mechanism, None, BOUND)
    assert fault(exchange.step(b"*")) is Fault.CANCELLED
    with pytest.raises(LocalProtocolError):
        exchange.step(b64(b"more"))


def test_the_same_name_in_two_unicode_forms_is_one_name() -> None:
    outcome = server.begin(b"PLAIN", b64("\0ngu\u031bo\u031b\u0300i\0ma\u0302\u0323t".encode())).outcome
    assert outcome == Claim("", "ng\u01b0\u1eddi", "m\u1eadt")


def test_a_password_is_never_printed() -> None:
    assert "hunter2" not in repr(Claim("", "bob", "hunter2"))


def test_a_client_cancels_where_the_server_asks_too_often_or_nonsense() -> None:
    plain = client.begin(b"PLAIN", Claim("", "bob", "secret"))
    assert plain.step(b"") == b64(b"\0bob\0secret")
    assert plain.step(b"") == b"*"
    login = client.begin(b"LOGIN", Claim("", "bob", "secret"))
    assert login.step(b"?") == b"*"
    assert [login.step(b64(b"User Name")), login.step(b""), login.step(b"")] == [b64(b"bob"), b64(b"secret"), b"*"]


@pytest.mark.parametrize(
    "claim", [Claim("", "", "x"), Claim("", "bob", ""), Claim("a\0b", "bob", "x"), Claim("", "bob", "x\0")]
)
def test_a_client_sends_no_plain_that_a_server_must_refuse(claim: Claim) -> None:
    with pytest.raises(LocalProtocolError):
        client.begin(b"PLAIN", claim)


def test_login_cannot_act_for_somebody_else() -> None:
    with pytest.raises(LocalProtocolError):
        client.begin(b"LOGIN", Claim("alice", "bob", "x"))


def test_an_unknown_mechanism_never_begins() -> None:
    with pytest.raises(LocalProtocolError):
        server.begin(b"DIGEST-MD5", None)
    with pytest.raises(LocalProtocolError):
        client.begin(b"DIGEST-MD5", Claim("", "bob", "x"))
    with pytest.raises(LocalProtocolError):
        server.begin(EXTERNAL, None)


def test_a_client_chooses_the_best_mechanism_offered() -> None:
    assert client.choose([b"login", b"plain", b"CRAM-MD5"], BOB) == b"PLAIN"
    assert client.choose([b"LOGIN"], BOB) == b"LOGIN"
    assert client.choose([b"DIGEST-MD5", b"EXTERNAL"], BOB) is None


def test_a_client_prefers_a_digest_to_its_password_only_where_others_listen() -> None:
    offered = [b"LOGIN", b"PLAIN", b"CRAM-MD5"]
    assert client.choose(offered, BOB) == b"PLAIN"
    assert client.choose(offered, BOB, is_heard=True) == b"CRAM-MD5"
    assert client.choose([*offered, b"SCRAM-SHA-1"], BOB, is_heard=True) == b"SCRAM-SHA-1"
    assert client.choose([b"CRAM-MD5"], BOB) == b"CRAM-MD5"
