"""What is recorded of a live conversation is a transcript: it runs, and it holds no secret and no letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.protocols.notation import Passes, Recorder, Scene, format_steps, parse
from postoffice.store.memory import MemoryStore
from postoffice.testing.transcripts import run_as_server

# What turns on the secret or on the letter itself cannot be told by a trace that leaves them out.
ON_SECRETS = {
    "pop3-failed-logins", "pop3-login", "pop3-password-with-spaces", "pop3-states", "pop3-user-and-pass-together",
    "submission",
}  # fmt: skip
ON_LETTERS = {"smtp-smuggling", "smtp-loop", "smtp-limit-counts-content"}
ALL = [
    path
    for path in sorted(Path(__file__).parent.glob("*.txt"))
    if path.stem not in ON_SECRETS | ON_LETTERS
    and not any(isinstance(step, Passes) for step in parse(path.read_text()))
]


def recorded(*said: tuple[str, bytes]) -> list[str]:
    recorder = Recorder()
    return [line for who, octets in said for line in recorder.hear(who, octets)]


@pytest.mark.parametrize("pipelined", [False, True], ids=["in turn", "pipelined"])
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
async def test_a_trace_pasted_behind_its_scene_runs(path: Path, pipelined: bool) -> None:
    trace: list[str] = []
    await run_as_server(path.read_text(), MemoryStore(), pipelined=pipelined, trace=trace.append)
    scene = format_steps(tuple(step for step in parse(path.read_text()) if isinstance(step, Scene)))
    again: list[str] = []
    text = re.sub(r"\bm[0-9a-f]{25}\b", "...", "\n".join(trace))  # ids that nobody gets twice
    await run_as_server(scene + text, MemoryStore(), trace=again.append)
    assert _without_ids(again) == _without_ids(trace)


def _without_ids(lines: list[str]) -> list[str]:
    """What was said, in no order, for commands that were pipelined are not when a trace is played."""
    return sorted(re.sub(r"\bm[0-9a-f]{25}\b|(?<=Taken as )\w+", "...", line) for line in lines)


def test_no_secret_of_pop3_is_written() -> None:
    lines = recorded(
        ("S", b"+OK ready <1.2@a.example>\r\n"),
        ("C", b"USER mrose\r\nPASS tan staaf\r\n"),
        ("S", b"+OK\r\n-ERR no\r\n"),
        ("C", b"pass tanstaaf\r\nAPOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"),
        ("S", b"-ERR\r\n-ERR\r\n"),
        ("C", b"AUTH PLAIN AG1yb3NlAHRhbnN0YWFm\r\n"),
        ("S", b"-ERR\r\n"),
        ("C", b"AUTH PLAIN\r\n"),
        ("S", b"+ \r\n"),
        ("C", b"AG1yb3NlAHRhbnN0YWFm\r\n"),
        ("S", b"+OK\r\n"),
        ("!", b"S closes"),
    )
    assert [line for line in lines if line.startswith("C")] == [
        "C: USER mrose",
        "C: PASS ...",
        "C: pass ...",
        "C: APOP mrose ...",
        "C: AUTH PLAIN ...",
        "C: AUTH PLAIN",
        "C: ...",
    ]
    assert lines[-1] == "S. closes"


def test_a_response_sent_before_it_was_asked_for_is_a_secret_too() -> None:
    asked = recorded(
        ("S", b"+OK\r\n"),
        ("C", b"AUTH PLAIN\r\nAG1yb3NlAHRhbnN0YWFm\r\nSTAT\r\n"),
        ("S", b"+ \r\n+OK\r\n+OK 0 0\r\n"),
    )
    refused = recorded(("S", b"+OK\r\n"), ("C", b"AUTH LOGIN\r\nbXJvc2U=\r\nc2VjcmV0\r\n"), ("S", b"-ERR\r\n-ERR\r\n"))
    lost = recorded(("S", b"220 a\r\n"), ("C", b"AUTH LOGIN\r\nbXJvc2U=\r\n"), ("!", b"C closes"))
    assert "C: STAT" in asked
    for lines in (asked, refused, lost):
        assert "C: ..." in lines or "C: ...\\" in lines
        assert not any(secret in line for line in lines for secret in ("AG1yb3", "bXJvc2U", "c2Vjcm"))


def test_the_beginning_of_a_secret_is_one_too() -> None:
    lines = recorded(("S", b"+OK\r\n"), ("C", b"PASS tansta"), ("!", b"C closes"))
    assert lines == ["S: +OK", "C: PASS ...\\", "C. closes"]


def test_letters_are_counted_and_not_shown() -> None:
    popped = recorded(
        ("S", b"+OK\r\n"),
        ("C", b"RETR 1\r\n"),
        ("S", b"+OK 12 octets\r\nsecret\r\n..dot\r"),
        ("S", b"\n.\r"),
        ("S", b"\n"),
    )
    assert popped == ["S: +OK", "C: RETR 1", "S: +OK 12 octets", "S# 15 octets", "S: ."]
    pushed = recorded(
        ("S", b"220 a\r\n"),
        ("C", b"DATA\r\n"),
        ("S", b"354 go\r\n"),
        ("C", b"secret\r\n"),
        ("C", b".\r\nQUIT\r\n"),
        ("S", b"250 ok\r\n"),
    )
    assert pushed == ["S: 220 a", "C: DATA", "S: 354 go", "C# 8 octets", "C: .", "C: QUIT", "S: 250 ok"]


def test_a_line_without_end_is_counted_in_bounded_memory() -> None:
    recorder = Recorder()
    assert recorder.hear("S", b"+OK\r\n") == ["S: +OK"]
    for _ in range(1000):
        assert recorder.hear("C", b"x" * 10_000) == []
        assert sum(map(len, recorder._buffers.values())) <= 10_001
    assert recorder.hear("C", b"\r\nCAPA\r\n") == ["C# 10000002 octets", "C: CAPA"]


def test_what_came_inside_tls_is_marked() -> None:
    lines = recorded(
        ("S", b"+OK\r\n"),
        ("C", b"STLS\r\n"),
        ("S", b"+OK\r\n"),
        ("!", b"TLS"),
        ("C", b"CAPA\r\n"),
        ("S", b"+OK\r\n"),
    )
    assert lines == ["S: +OK", "C: STLS", "S: +OK", "! TLS", "C: CAPA", "S: +OK"]


@given(st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=60)), max_size=12))
def test_whatever_is_said_the_lines_are_notation(said: list[tuple[str, bytes]]) -> None:
    lines = recorded(*said, ("!", b"C closes"))
    assert len(parse("\n".join(lines))) == len(lines)


@given(st.lists(st.sampled_from([b"USER a\r\n", b"PASS b\r\n", b"STAT\r\n", b"\x00\n"]), max_size=6), st.data())
def test_any_cut_of_the_octets_gives_the_same_lines(said: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(said)
    place = data.draw(st.integers(0, len(octets)))
    whole = recorded(("S", b"+OK\r\n"), ("C", octets), ("!", b"C closes"))
    cut = recorded(("S", b"+OK\r\n"), ("C", octets[:place]), ("C", octets[place:]), ("!", b"C closes"))
    assert cut == whole
