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
from postoffice.protocols.sasl.server import BEARER, Challenge, Channel, Claim, Failed, Fault, NeedToken, Proven

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
def test_a_message_of_another_form_is_told_so_before_it_fails(message: bytes) -> None:
    for mechanism, status in ((b"OAUTHBEARER", "invalid_request"), (b"XOAUTH2", "400")):
        exchange = server.begin(mechanism, base64.b64encode(message) or b"=")
        assert isinstance(exchange.outcome, Challenge)
        assert json.loads(base64.b64decode(exchange.outcome.encoded))["status"] == status
        outcome = exchange.step(b"AQ==")
        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.MALFORMED


HERE = Channel(names=frozenset({"pop.b.example", "*.mail.example"}), ports=frozenset({995, 10995}))


@pytest.mark.parametrize(
    ("pairs", "is_here"),
    [
        ("", True),
        ("host=pop.b.example\x01port=995\x01", True),
        ("host=POP.B.Example\x01", True),
        ("host=x.mail.example\x01port=10995\x01", True),
        ("host=pop.c.example\x01", False),
        ("host=x.y.mail.example\x01", False),
        ("host=pop.b.example\x01port=110\x01", False),
        ("port=99999999999999999999\x01", False),
        ("port=+995\x01", False),
        ("HOST=pop.c.example\x01", False),
    ],
)
def test_a_token_for_another_host_or_port_is_not_taken(pairs: str, is_here: bool) -> None:
    exchange = server.begin(b"OAUTHBEARER", b64(f"n,a=bob,\x01{pairs}auth=Bearer {TOKEN}\x01\x01"), HERE)
    if is_here:
        assert exchange.outcome == NeedToken("bob", TOKEN)
        return
    assert isinstance(exchange.outcome, Challenge)
    assert exchange.step(b"AQ==") == Failed(Fault.MALFORMED, "the token was meant for another server")


def test_one_pair_said_twice_is_malformed() -> None:
    outcome = heard(b"OAUTHBEARER", b"n,,\x01host=a\x01host=b\x01auth=Bearer t\x01\x01")
    assert isinstance(outcome, Challenge)


@given(st.binary(max_size=80), st.sampled_from(BEARER))
def test_any_octets_end_in_a_question_or_a_failure(octets: bytes, mechanism: bytes) -> None:
    asked, told = server.begin(mechanism, None), server.begin(mechanism, base64.b64encode(octets) or b"=")
    asked.step(octets)
    for exchange in (asked, told):
        outcome = exchange.step(b"") if isinstance(exchange.outcome, Challenge) else exchange.outcome
        assert isinstance(outcome, NeedToken | Failed)


@pytest.mark.parametrize("claim", [Claim("", "", TOKEN), Claim("", "bob", "two words"), Claim("", "b\x01b", TOKEN)])
def test_a_client_sends_no_token_that_a_server_must_refuse(claim: Claim) -> None:
    for mechanism in BEARER:
        with pytest.raises(LocalProtocolError):
            client.begin(mechanism, claim)


def test_a_password_is_never_taken_for_a_token_and_a_token_never_printed() -> None:
    assert client.choose([*BEARER, b"LOGIN"], Claim("", "bob", "secret")) == b"LOGIN"
    assert TOKEN not in repr(NeedToken("bob", TOKEN))
