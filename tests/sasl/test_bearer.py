"""OAUTHBEARER and XOAUTH2: the example, both ends against each other, and the step in which a server says why not."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl import client, server
from postoffice.protocols.sasl.bearer import Server
from postoffice.protocols.sasl.server import BEARER, Challenge, Claim, Failed, Fault, NeedToken, Proven

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


def heard(mechanism: bytes, message: bytes) -> server.Outcome:
    return server.begin(mechanism, base64.b64encode(message) or b"=").outcome


def asked(mechanism: bytes = b"OAUTHBEARER") -> Server:
    exchange = server.begin(mechanism, client.begin(mechanism, Claim("", "bob", TOKEN)).initial)
    assert isinstance(exchange, Server)
    return exchange


def test_the_example_of_rfc_7628_is_understood() -> None:
    initial = (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52"
        b"YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    assert server.begin(b"OAUTHBEARER", initial).outcome == NeedToken("user@example.com", TOKEN)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x01"), min_size=1, max_size=30)
TOKENS = st.from_regex(r"[A-Za-z0-9._~+/-]{1,60}={0,2}", fullmatch=True)


@given(NAMES, TOKENS, st.sampled_from(BEARER), st.booleans())
def test_any_name_and_token_come_through(name: str, token: str, mechanism: bytes, with_initial: bool) -> None:
    ours = client.begin(mechanism, Claim("", name, token))
    theirs = server.begin(mechanism, ours.initial if with_initial else None)
    assert isinstance(theirs, Server)
    if not with_initial:
        theirs.step(ours.step(b""))
    assert theirs.outcome == NeedToken(name, token)
    assert theirs.accept() == Proven(name)


@pytest.mark.parametrize(
    ("mechanism", "status", "acknowledged"), [(b"OAUTHBEARER", "invalid_token", b"AQ=="), (b"XOAUTH2", "400", b"")]
)
def test_a_refused_client_is_told_why_and_fails_only_when_it_has_heard(
    mechanism: bytes, status: str, acknowledged: bytes
) -> None:
    ours, theirs = client.begin(mechanism, Claim("", "bob", TOKEN)), asked(mechanism)
    challenge = theirs.refuse()
    assert isinstance(challenge, Challenge)
    assert json.loads(base64.b64decode(challenge.encoded))["status"] == status
    response = ours.step(challenge.encoded)
    assert response == acknowledged
    outcome = theirs.step(response)
    assert isinstance(outcome, Failed)
    assert outcome.fault is Fault.UNPROVEN


@pytest.mark.parametrize("response", [b"*", b"!", b"", b64("auth=Bearer another")])
def test_nothing_that_follows_a_refusal_opens(response: bytes) -> None:
    exchange = asked()
    exchange.refuse()
    assert isinstance(exchange.step(response), Failed)
    with pytest.raises(LocalProtocolError):
        exchange.accept()


@pytest.mark.parametrize(
    "message",
    [b"", b"n,,\x01\x01", b"n,,\x01auth=Bearer t\x01", b"n,,\x01auth=Basic t\x01\x01", b"n,,\x01auth=Bearer \x01\x01",
     b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", b"p=tls-unique,,\x01auth=Bearer t\x01\x01",
     b"n,a=b=2Xb,\x01auth=Bearer t\x01\x01", b"n,a=b\0b,\x01auth=Bearer t\x01\x01", b"n,,\x01auth=Bearer t t\x01\x01",
     b"n,,\x01auth=Bearer t\x01\x01x", b"\xff,,\x01auth=Bearer t\x01\x01"],
)  # fmt: skip
def test_another_form_carries_no_token(message: bytes) -> None:
    for mechanism in BEARER:
        outcome = heard(mechanism, message)
        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.MALFORMED


@given(st.binary(max_size=80), st.sampled_from(BEARER))
def test_any_octets_end_in_a_question_or_a_failure(octets: bytes, mechanism: bytes) -> None:
    for outcome in (server.begin(mechanism, None).step(octets), heard(mechanism, octets)):
        assert isinstance(outcome, NeedToken | Failed)


@pytest.mark.parametrize("claim", [Claim("", "", TOKEN), Claim("", "bob", "two words"), Claim("", "b\x01b", TOKEN)])
def test_a_client_sends_no_token_that_a_server_must_refuse(claim: Claim) -> None:
    for mechanism in BEARER:
        with pytest.raises(LocalProtocolError):
            client.begin(mechanism, claim)


def test_a_password_is_never_taken_for_a_token_and_a_token_never_printed() -> None:
    assert client.choose([*BEARER, b"LOGIN"], Claim("", "bob", "secret")) == b"LOGIN"
    assert TOKEN not in repr(NeedToken("bob", TOKEN))
