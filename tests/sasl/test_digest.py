"""CRAM-MD5: the example of its RFC, both ends against each other, and nothing but the right digest is proof."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError
from postoffice.protocols.sasl import client, digest, server
from postoffice.protocols.sasl.digest import Server
from postoffice.protocols.sasl.server import Challenge, Channel, Claim, Failed, Fault, NeedSecrets, Proven

HERE = Channel(host="b.example")
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


def asked(response: bytes) -> server.Outcome:
    return begun().step(base64.b64encode(response))


def begun() -> Server:
    exchange = server.begin(b"CRAM-MD5", None, HERE)
    assert isinstance(exchange, Server)
    return exchange


def test_the_example_of_rfc_2195_is_reckoned() -> None:
    stamped = b"<1896.697170952@postoffice.reston.mci.net>"
    assert digest.cram(stamped, b"tanstaaftanstaaf") == b"b913a602c7eda7a495b4e6e7334d3890"
    ours = client.begin(b"CRAM-MD5", Claim("", "tim", "tanstaaftanstaaf"))
    assert ours.initial is None
    assert ours.step(base64.b64encode(stamped)) == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"
    assert ours.step(base64.b64encode(stamped)) == b"*", "a server asks once"


def test_the_example_of_rfc_1939_is_reckoned() -> None:
    assert digest.apop(b"<1896.697170952@dbc.mtview.ca.us>", b"tanstaaf") == b"c4c9334bac560ecc979e58001b3e22fb"


def test_no_stamp_comes_twice() -> None:
    stamps = {digest.stamp("b.example") for _ in range(1000)}
    assert len(stamps) == 1000
    assert all(stamp.startswith("<") and stamp.endswith("@b.example>") for stamp in stamps)


@given(NAMES, NAMES, st.lists(NAMES, max_size=3))
def test_the_right_secret_is_proof_and_no_other(name: str, password: str, others: list[str]) -> None:
    ours, theirs = client.begin(b"CRAM-MD5", Claim("", name, password)), begun()
    assert isinstance(theirs.outcome, Challenge)
    need = theirs.step(ours.step(theirs.outcome.encoded))
    assert isinstance(need, NeedSecrets)
    kept = [other.encode() for other in others if other.encode().rstrip(b"\0") != password.encode().rstrip(b"\0")]
    outcome = theirs.supply([*kept, password.encode()])
    assert outcome == Proven(need.username, len(kept))


@pytest.mark.parametrize("kept", [[], [b"another"], [b"another", b""]])
def test_a_wrong_digest_proves_nothing(kept: list[bytes]) -> None:
    theirs = begun()
    theirs.step(base64.b64encode(b"bob " + b"0" * 32))
    outcome = theirs.supply(kept)
    assert isinstance(outcome, Failed)
    assert outcome.fault is Fault.UNPROVEN
    with pytest.raises(LocalProtocolError):
        theirs.supply([b"secret"])


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"bob",
        b" " + b"0" * 32,
        b"bob " + b"0" * 31,
        b"bob " + b"g" * 32,
        b"b\0b " + b"0" * 32,
        b"\xff " + b"0" * 32,
    ],
)
def test_another_form_is_malformed(response: bytes) -> None:
    outcome = asked(response)
    assert isinstance(outcome, Failed)
    assert outcome.fault is Fault.MALFORMED


def test_a_name_may_have_spaces() -> None:
    assert asked(b"bob and carol " + b"0" * 32) == NeedSecrets("bob and carol")


def test_an_initial_response_to_a_mechanism_in_which_the_server_begins_is_refused() -> None:
    outcome = server.begin(b"CRAM-MD5", base64.b64encode(b"bob " + b"0" * 32), HERE).outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault is Fault.MALFORMED


@given(st.binary(max_size=80))
def test_any_octets_end_in_a_question_or_a_failure(octets: bytes) -> None:
    for response in (octets, base64.b64encode(octets)):
        assert isinstance(begun().step(response), NeedSecrets | Failed)
