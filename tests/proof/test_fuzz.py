"""The fuzzer's targets, driven by Hypothesis and by the transcripts: small, for every day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proof.fuzz.__main__ import WORDS, seeds
from proof.fuzz.cuts import control_and_octets, cut
from proof.fuzz.targets import TARGETS

from postoffice.protocols.pop3.server import Pop3Server

pieces = st.one_of(st.sampled_from(WORDS), st.binary(max_size=20), st.just(b"\r\n"))
inputs = st.tuples(st.integers(0, 255), st.lists(pieces, max_size=25)).map(lambda it: bytes([it[0]]) + b"".join(it[1]))


@pytest.mark.parametrize("name", TARGETS)
@given(inputs)
def test_any_octets_keep_every_promise(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_transcripts_say_keeps_every_promise(name: str) -> None:
    for seed in seeds():
        TARGETS[name](seed)


@given(inputs)
def test_a_cut_loses_nothing(data: bytes) -> None:
    control, octets = control_and_octets(data)
    assert b"".join(cut(octets, control)) == octets


def test_a_machine_that_answers_a_line_twice_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Pop3Server.receive

    def doubled(self: Pop3Server, octets: bytes) -> None:
        sound(self, octets.replace(b"STAT\r\n", b"STAT\r\nSTAT\r\n"))

    monkeypatch.setattr(Pop3Server, "receive", doubled)
    with pytest.raises(AssertionError):
        TARGETS["pop3-server"](b"\x07STAT\r\n")
