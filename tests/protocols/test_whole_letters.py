"""Letters that came whole take a quick way, and it leads to the same place as the long one."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from postoffice.protocols.dots import DotReader, Unstuffer, stuff, unstuff
from postoffice.protocols.lines import NEED_DATA, LineReader
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Answer, Body, EndOfBody, Greeting, Pop3Client

PLAIN = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"x"]), max_size=16).map(b"".join)
LETTERS = st.lists(PLAIN.map(lambda plain: plain + b"\r\n") | st.just(b""), max_size=6)
CUTS = st.lists(st.integers(0, 120), max_size=12)


def portions(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    return [octets[a:b] for a, b in itertools.pairwise(places)]


@given(PLAIN, CUTS)
@example(b"\r\n.\r\n..x", [2, 4])
def test_content_comes_out_of_wire_form_in_any_portions(plain: bytes, cuts: list[int]) -> None:
    unstuffer = Unstuffer()
    assert b"".join(map(unstuffer.feed, portions(stuff(plain), cuts))) == plain


@given(PLAIN)
@example(b".\r\n")
def test_any_wire_form_is_unstuffed_as_it_is_whole(wire: bytes) -> None:
    unstuffer = Unstuffer()
    assert b"".join(unstuffer.feed(wire[i : i + 1]) for i in range(len(wire))) == unstuff(wire)


@given(PLAIN, st.binary(max_size=20))
def test_a_whole_letter_is_what_a_dot_reader_gives(wire: bytes, behind: bytes) -> None:
    octets = wire + b"\r\n.\r\n" + behind
    reader = DotReader()
    long_way = reader.feed(octets)
    lines = LineReader(1000)
    lines.receive(b"+OK\r\n" + octets)
    assert lines.take() == b"+OK"
    assert lines.take_dotted(len(octets)) == long_way
    assert lines.take_all() == reader.rest


def test_a_letter_that_is_not_here_whole_is_left_there() -> None:
    lines = LineReader(1000)
    lines.receive(b"half\r\n.\r")
    assert lines.take_dotted(1000) is None
    assert lines.take_all() == b"half\r\n.\r"


@given(PLAIN)
def test_a_whole_letter_may_have_so_many_octets_and_no_more(wire: bytes) -> None:
    lines = LineReader(1000)
    lines.receive(wire + b"\r\n.\r\n")
    found = DotReader().feed(wire + b"\r\n.\r\n")
    if found:
        assert lines.take_dotted(len(found) - 1) is None
    assert lines.take_dotted(len(found)) == found


@given(LETTERS, CUTS, st.integers(0, 20))
def test_a_client_hears_the_same_letters_in_any_portions(letters: list[bytes], cuts: list[int], limit: int) -> None:
    """Whether it takes those that are here whole, of so many octets at most, or has all of them in portions."""
    client = Pop3Client()
    said = [b"+OK hello\r\n", b"+OK\r\n"]
    client.receive(said[0])
    assert isinstance(client.next_event(), Greeting)
    client.send(commands.password(b"x"))
    client.receive(said[1])
    client.next_event()
    for number in range(len(letters)):
        client.send(commands.retrieve(number + 1))
    heard: list[bytes] = []
    for portion in portions(b"".join(b"+OK\r\n" + stuff(letter) + b".\r\n" for letter in letters), cuts):
        client.receive(portion)
        while (event := client.next_event()) is not NEED_DATA:
            match event:
                case Answer(has_body=has_body):
                    heard.append((has_body and client.take_body(limit)) or b"")
                case Body(wire):
                    heard[-1] += wire
                case other:
                    assert isinstance(other, EndOfBody)
    assert [unstuff(wire) for wire in heard] == letters
    assert client.pending == 0
