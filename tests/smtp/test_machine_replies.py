"""SMTP replies: formatted as RFC 5321 and RFC 2034 want them, read as the field writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import Refusal, RemoteProtocolError, temporary
from postoffice.protocols.sasl.server import Failed, Fault
from postoffice.protocols.smtp.replies import (
    MOST_LINES,
    Reply,
    ReplyReader,
    format_reply,
    from_failed,
    from_refusal,
)

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def read(octets: bytes, *, has_status: bool = True) -> Reply:
    reader = ReplyReader()
    *before, last = octets.split(b"\r\n")[:-1]
    for line in before:
        assert reader.add(line, has_status=has_status) is None
        assert not reader.is_between
    reply = reader.add(last, has_status=has_status)
    assert reply is not None
    assert reader.is_between
    return reply


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    code = draw(st.sampled_from([220, 235, 250, 354, 421, 450, 451, 452, 501, 550, 554]))
    enhanced = ""
    if code // 100 != 3 and draw(st.booleans()):
        enhanced = f"{code // 100}.{draw(st.integers(0, 7))}.{draw(st.integers(0, 30))}"
    lines = draw(st.lists(TEXT.filter(lambda text: not text[:1].isdigit()), min_size=1, max_size=5))
    return Reply(code, tuple(lines), enhanced)


@given(replies())
def test_what_a_server_formats_a_client_reads(reply: Reply) -> None:
    assert read(format_reply(reply)) == reply


@given(st.text(max_size=1200), st.sampled_from(["", "5.1.1"]))
def test_no_text_breaks_its_line(text: str, enhanced: str) -> None:
    octets = format_reply(Reply(550, (text, text), enhanced))
    lines = octets.split(b"\r\n")
    assert len(lines) == 3
    for line in lines[:2]:
        assert len(line) + 2 <= 512
        assert line.isascii()
        assert line.decode().isprintable()
    assert lines[0].startswith(b"550-")
    assert lines[1].startswith(b"550 ")


def test_the_enhanced_code_stands_in_every_line() -> None:
    assert (
        format_reply(Reply(550, ("one", "two", "three"), "5.1.1"))
        == b"550-5.1.1 one\r\n550-5.1.1 two\r\n550 5.1.1 three\r\n"
    )


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250\r\n", Reply(250, ("",))),
        (b"250 \r\n", Reply(250, ("",))),
        (b"250-\r\n250\r\n", Reply(250, ("", ""))),
        (b"550 5.1.1\r\n", Reply(550, ("",), "5.1.1")),
        (b"550-5.1.1 a\r\n550 b\r\n", Reply(550, ("a", "b"), "5.1.1")),
        (b"550 4.1.1 not its class\r\n", Reply(550, ("4.1.1 not its class",))),
        (b"250 2.1.0.5 no status\r\n", Reply(250, ("2.1.0.5 no status",))),
        (b"354 3.0.0 go\r\n", Reply(354, ("3.0.0 go",))),
        ("550 5.1.1 kh\u00f4ng c\u00f3\r\n".encode(), Reply(550, ("kh\u00f4ng c\u00f3",), "5.1.1")),
        (b"550 \xff\r\n", Reply(550, ("\ufffd",))),
    ],
)
def test_replies_of_the_field_are_understood(octets: bytes, reply: Reply) -> None:
    assert read(octets) == reply


def test_the_reply_to_ehlo_is_not_searched_for_a_status() -> None:
    assert read(b"250-2.0.0 x\r\n250 SIZE\r\n", has_status=False) == Reply(250, ("2.0.0 x", "SIZE"))
    assert read(b"554 5.7.1 no\r\n", has_status=False) == Reply(554, ("no",), "5.7.1")


@pytest.mark.parametrize("line", [b"", b"25", b"hello", b"150 x", b"650 x", b"250x", b"2500 x", b"250\tx"])
def test_what_begins_with_no_code_is_no_reply(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ReplyReader().add(line)


def test_the_lines_of_a_reply_have_one_code() -> None:
    reader = ReplyReader()
    reader.add(b"250-a")
    with pytest.raises(RemoteProtocolError):
        reader.add(b"251 b")


def test_a_reply_without_end_is_not_read_for_ever() -> None:
    reader = ReplyReader()
    for _ in range(MOST_LINES - 1):
        assert reader.add(b"250-more") is None
    with pytest.raises(RemoteProtocolError):
        reader.add(b"250-more")


@pytest.mark.parametrize(
    ("permanent", "status", "code"),
    [
        (True, "1.1", 550),
        (True, "1.3", 501),
        (True, "1.7", 501),
        (True, "1.10", 556),
        (True, "2.2", 552),
        (True, "3.4", 552),
        (True, "4.6", 554),
        (True, "6.7", 553),
        (True, "7.0", 530),
        (True, "7.1", 550),
        (True, "7.8", 535),
        (True, "99.9", 550),
        (False, "2.2", 452),
        (False, "3.1", 452),
        (False, "3.2", 421),
        (False, "5.3", 452),
        (False, "7.0", 454),
        (False, "7.1", 450),
        (False, "99.9", 451),
    ],
)
def test_a_refusal_has_the_basic_code_of_its_status(permanent: bool, status: str, code: int) -> None:
    reply = from_refusal(Refusal(permanent, status, "No", "private reason"))
    assert reply.code == code
    assert reply.enhanced == f"{code // 100}.{status}"
    assert b"private" not in format_reply(reply)


def test_what_is_unknown_is_temporary() -> None:
    reply = from_refusal(temporary("a bug"))
    assert reply.code == 451
    assert reply.is_temporary
    assert not reply.is_positive


@pytest.mark.parametrize(("fault", "code"), [(Fault.CANCELLED, 501), (Fault.NOT_BASE64, 501), (Fault.MALFORMED, 535)])
def test_each_fault_of_an_exchange_has_its_reply(fault: Fault, code: int) -> None:
    assert from_failed(Failed(fault, "because")).code == code
