"""Octets that come in any portions, of any length: the same commands, the same letters, in bounded memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.protocols.dots import stuff
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.pop3 import commands, replies
from postoffice.protocols.pop3.client import Answer, Body, EndOfBody, Event, Pop3Client
from postoffice.protocols.pop3.commands import Command, format_command
from postoffice.protocols.pop3.grammar import Invalid, parse
from postoffice.protocols.pop3.replies import Challenge, Code, Reply
from postoffice.protocols.pop3.server import Pop3Server
from postoffice.protocols.pop3.table import COMMAND_OCTETS, RULES, Arguments, Keyword
from postoffice.protocols.pop3.top import TopReader

numbers = st.integers(0, 10**18 - 1)
texts = st.binary(min_size=1, max_size=200).filter(lambda t: not set(t) & set(b"\0\r\n"))
words = texts.filter(lambda t: b" " not in t)
digests = st.text("0123456789abcdef", min_size=32, max_size=32).map(str.encode)
mechanisms = st.from_regex(rb"[A-Z0-9_-]{1,20}", fullmatch=True)
ranges = st.one_of(st.just(b"*"), st.from_regex(rb"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,3}", fullmatch=True))
base64s = st.one_of(st.just(b"="), st.from_regex(rb"[A-Za-z0-9+/]{1,300}={0,2}", fullmatch=True))

ARGUMENTS: dict[Arguments, st.SearchStrategy[tuple[int | bytes, ...]]] = {
    Arguments.NONE: st.just(()),
    Arguments.TEXT: st.tuples(texts),
    Arguments.NUMBER: st.tuples(numbers),
    Arguments.OPTIONAL_NUMBER: st.one_of(st.just(()), st.tuples(numbers)),
    Arguments.OPTIONAL_RANGE: st.one_of(st.just(()), st.tuples(ranges)),
    Arguments.NUMBER_AND_COUNT: st.tuples(numbers, numbers),
    Arguments.NAME_AND_DIGEST: st.tuples(words, digests),
    Arguments.MECHANISM: st.one_of(st.just(()), st.tuples(mechanisms), st.tuples(mechanisms, base64s)),
}
every_command = st.sampled_from(list(Keyword)).flatmap(
    lambda keyword: ARGUMENTS[RULES[keyword].arguments].map(lambda arguments: Command(keyword, arguments))
)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    """`octets` cut at places, some of which may give empty portions."""
    borders = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(borders)]


@given(every_command)
def test_what_is_formatted_is_parsed_as_the_same(command: Command) -> None:
    line = format_command(command)
    assert line.endswith(b"\r\n")
    if len(line) <= COMMAND_OCTETS or command.keyword is Keyword.AUTH:
        assert parse(line[:-2]) == command
    else:
        assert parse(line[:-2]) == Invalid("command line is too long")


@given(every_command)
def test_keywords_come_in_any_case(command: Command) -> None:
    line = format_command(command)[:-2]
    word, space, rest = line.partition(b" ")
    assert parse(word.lower() + space + rest) == parse(line)


@given(st.binary(max_size=300))
def test_any_line_is_a_command_or_invalid_and_what_is_said_of_it_repeats_nothing(line: bytes) -> None:
    parsed = parse(line)
    if isinstance(parsed, Invalid):
        assert parsed.because.isascii()
        assert len(parsed.because) < 100


@given(st.lists(every_command, max_size=8), st.lists(st.integers(0, 5000), max_size=12))
def test_any_cut_of_the_octets_gives_the_same_commands(said: list[Command], places: list[int]) -> None:
    octets = b"".join(format_command(command) for command in said) + b"NOSUCH\r\n" + b"z" * 300 + b"\r\n"
    assert _received(cut(octets, places)) == _received([octets])


def _received(portions: list[bytes]) -> list[object]:
    server = Pop3Server()
    server.greet("ready")
    taken: list[object] = []
    for portion in portions:
        server.receive(portion)
        while (command := server.next_command()) is not NEED_DATA:
            taken.append(command)
            server.error("not now")
    return taken


@given(st.binary(max_size=500), st.lists(st.integers(0, 2000), max_size=12))
def test_any_cut_of_the_replies_gives_the_same_letter(content: bytes, places: list[int]) -> None:
    wire = stuff(content + b"\r\n")
    octets = b"+OK 12 octets\r\n" + wire + b".\r\n-ERR [SYS/TEMP] no\r\n+OK 2 320\r\n"
    granted, letter, refused, stat = _events(cut(octets, places))
    assert granted == Answer(commands.retrieve(1), Reply(True, b"12 octets"), True)
    assert letter == wire
    assert refused == Answer(commands.retrieve(2), Reply(False, b"no", b"SYS/TEMP"), False)
    assert stat == Answer(commands.STAT, Reply(True, b"2 320"), False)


def _events(portions: list[bytes]) -> list[Event | bytes]:
    """What a client hears that sent RETR 1, RETR 2 and STAT; the body put together."""
    client = Pop3Client()
    client.receive(b"+OK ready\r\n+OK welcome\r\n")
    client.next_event()
    client.send(commands.password(b"x"))
    client.next_event()
    for command in (commands.retrieve(1), commands.retrieve(2), commands.STAT):
        client.send(command)
    events: list[Event | bytes] = []
    body = b""
    for portion in portions:
        client.receive(portion)
        while (event := client.next_event()) is not NEED_DATA:
            if isinstance(event, Body):
                body += event.wire
            else:
                events.append(body if isinstance(event, EndOfBody) else event)
    return events


def test_an_endless_line_is_thrown_away_as_it_comes_and_the_session_stays_in_step() -> None:
    server = Pop3Server()
    server.greet("ready")
    for _ in range(1000):
        server.receive(b"x" * 65_536)
        assert server.next_command() is NEED_DATA
        assert server.unread_octets <= 65_536
    server.receive(b"\r\nCAPA\r\n")
    assert server.next_command() == Invalid("command line is too long")
    server.error("too long")
    assert server.next_command() == commands.CAPA


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"+OK", Reply(True, b"")),
        (b"+OK ", Reply(True, b"")),
        (b"-ERR [IN-USE] busy", Reply(False, b"busy", b"IN-USE")),
        (b"-ERR [sys/temp]", Reply(False, b"", b"SYS/TEMP")),
        (b"+OK  [not a code]", Reply(True, b" [not a code]")),
        (b"+ AAAA", Challenge(b"AAAA")),
        (b"+", Challenge(b"")),
    ],
)
def test_a_reply_line_is_read_for_what_it_is(line: bytes, reply: Reply | Challenge) -> None:
    assert replies.parse(line) == reply


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=600))
def test_free_text_never_looks_like_a_code_and_never_grows_over_the_line(text: str) -> None:
    line = replies.format_ok(text)
    assert len(line) <= 512
    assert line.endswith(b"\r\n")
    parsed = replies.parse(line[:-2])
    assert isinstance(parsed, Reply)
    assert parsed.code == b""


def test_an_error_carries_its_code() -> None:
    assert replies.format_error("busy", Code.IN_USE) == b"-ERR [IN-USE] busy\r\n"


letters = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"..", b": "]), max_size=30).map(b"".join)


@given(letters, st.integers(0, 6), st.lists(st.integers(0, 100), max_size=8))
def test_the_top_is_the_header_the_blank_line_and_so_many_lines_however_it_is_cut(
    letter: bytes, lines: int, places: list[int]
) -> None:
    wire = letter + b"\r\n"
    reader = TopReader(lines)
    top = b"".join(reader.feed(portion) for portion in cut(wire, places) if not reader.is_complete)
    header, blank, body = (b"\r\n" + wire).partition(b"\r\n\r\n")
    expected = (header + blank)[2:]
    expected += b"".join(line + b"\r\n" for line in body.split(b"\r\n")[: min(lines, body.count(b"\r\n"))])
    assert top == (expected if blank else wire)


@pytest.mark.parametrize("lines", range(5))
def test_the_top_is_the_same_octet_by_octet_with_nothing_in_between(lines: int) -> None:
    wire = b"Subject: a\r\n\r\none\r\n\rtwo\n\r\nthree\r\n"
    whole = TopReader(lines).feed(wire)
    reader = TopReader(lines)
    top = b""
    for index in range(len(wire)):
        for portion in (wire[index : index + 1], b""):
            top += b"" if reader.is_complete else reader.feed(portion)
    assert top == whole
    assert top.count(b"\r\n") == min(2 + lines, 5)


def test_a_command_of_255_octets_is_taken_and_one_of_256_is_not() -> None:
    for keyword in (b"USER ", b"PASS "):
        name = b"x" * (COMMAND_OCTETS - len(keyword) - 2)
        assert _received([keyword + name + b"\r\n"]) == [Command(Keyword(keyword.strip()), (name,))]
        assert _received([keyword + name + b"x\r\n"]) == [Invalid("command line is too long")]


def test_an_indicator_is_followed_by_a_space_even_without_text() -> None:
    assert replies.format_ok("") == b"+OK \r\n"
    assert replies.format_error("") == b"-ERR \r\n"
