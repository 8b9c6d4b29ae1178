"""The notation itself: what is written is read as the same, and what is none is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.protocols.notation import (
    Closes,
    Comment,
    Counted,
    Handshake,
    Line,
    NotationError,
    Passes,
    Prose,
    Scene,
    Step,
    escaped,
    format_steps,
    line_octets,
    line_text,
    parse,
    pattern_of,
    unescaped,
)
from postoffice.store.memory import MemoryStore
from postoffice.testing.matching import Mismatch
from postoffice.testing.scenes import made_letter
from postoffice.testing.transcripts import run_as_client, run_as_pair, run_as_server


def test_every_mark_is_read() -> None:
    text = """
        # RFC 1939 §10
        @ account mrose tanstaaf
        S: +OK
        C: <open connection>
        ~ 600 s
        ! TLS
        C# 5000 octets
        S. closes
    """
    steps: tuple[Step, ...] = (
        Comment("RFC 1939 §10"),
        Scene("account mrose tanstaaf"),
        Line("S", "+OK"),
        Prose("C", "open connection"),
        Passes(600),
        Handshake(),
        Counted("C", 5000),
        Closes("S"),
    )
    assert parse(text) == steps
    assert parse(format_steps(steps)) == steps


def test_as_many_blanks_are_indentation_as_the_first_line_has() -> None:
    assert parse("S:    +OK\nC:    RETR 1\nS:      folded\nS:") == (
        Line("S", "+OK"),
        Line("C", "RETR 1"),
        Line("S", "  folded"),
        Line("S", ""),
    )


@pytest.mark.parametrize("line", ["hello", "X: hello", "~ soon", "! SSL", "C# many octets", "@"])
def test_what_is_no_notation_is_named_with_its_line(line: str) -> None:
    with pytest.raises(NotationError, match="line 2"):
        parse(f"# a comment\n{line}")


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("QUIT", b"QUIT\r\n"),
        ("QUIT\\n", b"QUIT\n"),
        ("QUIT\\", b"QUIT"),
        ("QUIT\\\\", b"QUIT\\\r\n"),
        ("a\\x00b\\r", b"a\0b\r\r\n"),
        ("a\\r\\nb\\r\\n", b"a\r\nb\r\n"),
        ("", b"\r\n"),
    ],
)
def test_a_line_says_how_it_ends(text: str, octets: bytes) -> None:
    assert line_octets(text) == octets


@given(st.binary(max_size=80))
def test_any_octets_can_be_written_as_a_line_and_read_again(octets: bytes) -> None:
    assert unescaped(escaped(octets)) == octets
    text = line_text(octets)
    assert line_octets(text) == octets
    assert parse(f"S: x\nC: {text}")[1:] == (Line("C", text),)


def test_dots_match_anything_within_a_line() -> None:
    assert pattern_of("+OK ... octets").fullmatch(b"+OK 120 octets")
    assert not pattern_of("+OK ...").fullmatch(b"+OK 120\r\nmore")
    assert not pattern_of("+OK 1.0").fullmatch(b"+OK 120")


@pytest.mark.parametrize("octets", [*range(2, 200), 4096, 4097, 4159])
def test_a_made_letter_has_exactly_that_many_octets_and_needs_no_dots(octets: int) -> None:
    letter = made_letter(octets)
    assert len(letter) == octets
    assert letter.endswith(b"\r\n")
    assert letter.count(b"\r") == letter.count(b"\n") == letter.count(b"\r\n")
    assert b"\r\n." not in letter


GREETED = "@ door pop3\n@ account mrose tanstaaf\n@ letter mrose 120\nS: +OK\n"
LOGGED_IN = GREETED + "C: USER mrose\nS: +OK\nC: PASS ...\nS: +OK\n"


@pytest.mark.parametrize(
    "text",
    [
        GREETED + "C: CAPA\nS: -ERR\n",
        LOGGED_IN + "C: STAT\nS: +OK 1 121\n",
        LOGGED_IN + "C: LIST\nS: +OK\nS: 1 120\nS: 2 120\nS: .\n",
        LOGGED_IN + "C: RETR 1\nS: +OK\nS# 119 octets\nS: .\n",
        LOGGED_IN + "C: LIST 7\nS: -ERR [IN-USE]\n",
        LOGGED_IN + "@ exact\nC: NOOP\nS: +OK something else\n",
        LOGGED_IN + "C: NOOP\nS: +OK\nC: NOOP\n",
        LOGGED_IN + "S. closes\n",
        LOGGED_IN + "@ finally mrose 0\n",
        "@ door mx\nS: 220\nC: EHLO a\nS: 251 x\n",
        "@ door mx\nS: 220\nC: EHLO a\nS: 250 x\nC: RSET\nS: 250 2.1.0\n",
    ],
)
async def test_a_door_that_speaks_otherwise_is_found_out(text: str) -> None:
    if text.endswith("S. closes\n"):  # nothing closes, so only the clock can end this run
        text = text.replace("S. closes", "C: QUIT\nS: +OK\nC: NOOP\nS: +OK")
    with pytest.raises(Mismatch):
        await run_as_server(text, MemoryStore())


@pytest.mark.parametrize(
    "text",
    [
        "S: +OK\nC: STAT\nS: +OK 1 2\n",
        LOGGED_IN + "C: STAT\n",
        "@ door mx\nS: 220\nC: MAIL FROM:<a@b.example>\nS: 250 granted\n",
    ],
)
async def test_a_client_that_could_not_say_it_is_found_out(text: str) -> None:
    with pytest.raises(Mismatch):
        run_as_client(text)


async def test_a_pair_that_disagrees_with_the_text_is_found_out() -> None:
    with pytest.raises(Mismatch):
        await run_as_pair(LOGGED_IN + "C: LIST\nS: +OK\nS: 1 999\nS: .\n", MemoryStore())
