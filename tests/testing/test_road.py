"""The road kit tells what is broken on a road."""

from __future__ import annotations

import os
import struct
import zlib
from email import message_from_bytes
from email.policy import SMTP

import pytest

from postoffice.testing.journey import STEPS, Journey, StepMissing, check_trace
from postoffice.testing.letter import BODY, SUBJECT, write_letter
from postoffice.testing.road import ENDED, Road
from postoffice.testing.watch import NotSeen, Sighting, Watch

TRACE = (
    b"Return-Path: <alice@a.example>\r\n"
    b"Received: from mx.a.example ([127.0.0.1]) by mx.b.example with ESMTPS\r\n\tid 1; Mon\r\n"
    b"Received: from [127.0.0.1]\r\n\tby mx.a.example with ESMTPSA id 2; Mon\r\n"
)
HOSTS = ["mx.b.example", "mx.a.example"]


async def test_a_letter_for_an_office_that_crashed_is_missing_there() -> None:
    async with Road() as road:
        names: list[str] = []
        with pytest.raises(StepMissing) as caught:
            await _travel_and_kill_b(road, names)
        assert names == list(STEPS[: STEPS.index("accepted")])
        assert caught.value.name == "accepted"
        assert "letter.deferred" in str(caught.value)
    assert not road.folder.exists()


async def _travel_and_kill_b(road: Road, names: list[str]) -> None:
    async for step in Journey(road).travel():
        names.append(step.name)
        if step.name == "opened":
            road.b.kill()
            await road.b.watch.first(ENDED)


async def test_an_office_that_cannot_open_tells_why() -> None:
    async with Road() as road:
        await road.a.ready()
        other = await _second_server(road)
        assert other.facts["status"] == os.EX_TEMPFAIL
        assert "another postoffice serves this folder already" in road.b.watch.log[-1]


async def _second_server(road: Road) -> Sighting:
    """Office B, started again on the folder of A, which runs."""
    await road.b.ready()
    await road.b.close()
    road.b.watch.seen.clear()
    road.b.data = road.a.data
    await road.b.open(trace=False)
    return await road.b.watch.first(ENDED)


def test_our_trace_is_told_field_by_field() -> None:
    assert check_trace(TRACE, "alice@a.example", HOSTS) == [
        "Return-Path <alice@a.example>",
        "Received by mx.b.example",
        "Received by mx.a.example",
    ]


@pytest.mark.parametrize(
    "above",
    [
        b"",
        TRACE + b"X-Spam: no\r\n",
        b"X-Spam: no\r\n" + TRACE,
        TRACE + b"\r\n",
        TRACE + b"From \r\n",
        TRACE.replace(b"by mx.a.example", b"by mx.a.example.org"),
        TRACE.replace(b"alice", b"mallory"),
        TRACE.replace(b"Return-Path", b"Received"),
        TRACE[: TRACE.rindex(b"Received")],
    ],
)
def test_anything_else_above_a_letter_is_found(above: bytes) -> None:
    with pytest.raises(NotSeen):
        check_trace(above, "alice@a.example", HOSTS)


def test_the_letter_is_what_a_mail_program_sends() -> None:
    letter = write_letter("alice@a.example", "bob@b.example", 0.0)
    assert letter.octets.isascii()
    assert letter.octets.count(b"\n") == letter.octets.count(b"\r") == letter.octets.count(b"\r\n")
    assert b"\r\n..." in letter.octets
    message = message_from_bytes(letter.octets, policy=SMTP)
    assert message["Subject"] == SUBJECT
    text = message.get_body()
    assert text is not None
    assert text.get_content().replace("\r\n", "\n") == BODY
    [picture] = message.iter_attachments()
    assert picture.get_content() == letter.picture


def test_the_picture_is_a_sound_png() -> None:
    picture = write_letter("alice@a.example", "bob@b.example", 0.0).picture
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(picture):
        octets, kind = struct.unpack_from(">I4s", picture, at)
        data = picture[at + 8 : at + 8 + octets]
        assert struct.unpack_from(">I", picture, at + 8 + octets)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + octets
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)


async def test_a_watch_gives_up_at_once_when_something_else_is_seen() -> None:
    watch = Watch("an office")
    watch.tell(Sighting("letter.failed", 1.0, {"letter": "1"}))
    with pytest.raises(NotSeen, match=r"an office told letter.failed \(letter 1\) instead of letter.relayed"):
        await watch.first("letter.relayed", unless=("letter.failed",))
    with pytest.raises(NotSeen, match=r"did not tell letter.relayed in 0 s"):
        await watch.first("letter.relayed", seconds=0)
