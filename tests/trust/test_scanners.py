"""What clamd, or a command, says of a letter is understood, and that it says nothing is never taken for clean."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.errors import UsageError
from postoffice.testing.clamd import EICAR, ClamdPeer, Fault
from postoffice.trust.scan.answers import Answer, Clean, Found, NoAnswer, Scanner, TooLarge, named
from postoffice.trust.scan.naming import scanner

LETTER = b"Subject: hello\r\n\r\nHow are you?\r\n"
BAD = b"Subject: hello\r\n\r\n" + EICAR + b"\r\n"


async def pieces(letter: bytes, octets: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(letter), octets):
        yield letter[start : start + octets]


async def asked(one: Scanner, letter: bytes, seconds: float = 20.0) -> Answer:
    return await one.scan(pieces(letter), seconds)


@pytest.fixture(params=["unix", "tcp"])
async def clamd(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[ClamdPeer, Scanner]]:
    peer = ClamdPeer()
    async with peer.listening(tmp_path / "clamd" if request.param == "unix" else None) as name:
        yield peer, scanner(name)


Pair = tuple[ClamdPeer, Scanner]


async def test_clamd_says_clean_or_what_it_found(clamd: Pair) -> None:
    peer, one = clamd
    assert await asked(one, LETTER) == Clean()
    assert await asked(one, BAD) == Found("Test.Eicar")
    assert await asked(one, b"") == Clean()
    assert peer.letters == [LETTER, BAD, b""], "other octets than those of the letter were scanned"
    assert await one.signatures(20.0) == "ClamAV 1.4.3/1"


async def test_a_letter_that_clamd_takes_no_more_of_is_too_large(clamd: Pair) -> None:
    peer, one = clamd
    peer.limit = 100_000
    assert await asked(one, LETTER) == Clean()
    for size in (100_001, 1_000_000, 50_000_000):
        assert isinstance(await asked(one, b"x" * size), TooLarge)
    assert await asked(one, b"x" * 100_000) == Clean()


async def test_limits_inside_of_clamd_are_no_virus(clamd: Pair) -> None:
    peer, one = clamd
    peer.signatures = {"Heuristics.Limits.Exceeded.MaxScanSize": b"hello"}
    assert await asked(one, LETTER) == TooLarge("Heuristics.Limits.Exceeded.MaxScanSize")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.NONSENSE, "answers '250 2.0.0 Ok"),
        (Fault.BREAKS_OFF, "broke off without an answer"),
        (Fault.BREAKS_OFF_EARLY, "broke off without an answer"),
        (Fault.ERROR, 'answers "stream: Can\'t allocate memory ERROR"'),
    ],
)
@pytest.mark.parametrize("letter", [LETTER, b"x" * 5_000_000])
async def test_a_clamd_that_fails_says_nothing(clamd: Pair, fault: Fault, said: str, letter: bytes) -> None:
    peer, one = clamd
    peer.fault = fault
    with pytest.raises(NoAnswer) as told:
        await asked(one, letter)
    assert said in str(told.value)
    assert str(told.value).isprintable()
    assert not told.value.is_away


async def test_a_clamd_that_hangs_is_waited_for_so_long_and_no_longer(clamd: Pair) -> None:
    peer, one = clamd
    peer.fault = Fault.HANGS
    began = time.monotonic()
    for letter in (LETTER, b"x" * 5_000_000):
        with pytest.raises(NoAnswer, match=r"did not answer within 0.2 s"):
            await asked(one, letter, 0.2)
    assert time.monotonic() - began < 10


async def test_what_is_no_clamd_is_told(clamd: Pair) -> None:
    peer, one = clamd
    peer.fault = Fault.NONSENSE
    with pytest.raises(NoAnswer, match=r"is no clamd: it answers 'What\?'") as told:
        await one.signatures(20.0)
    assert told.value.is_away


async def test_a_clamd_that_is_not_there_is_away(tmp_path: Path) -> None:
    async with ClamdPeer().listening() as name:
        pass
    (tmp_path / "file").touch()
    for place in (name, f"clamd:{tmp_path / 'nothing'}", f"clamd:{tmp_path / 'file'}", "clamd:nobody.invalid:3310"):
        one = scanner(place)
        for ask in (asked(one, LETTER), one.signatures(20.0)):
            with pytest.raises(NoAnswer, match="cannot be reached") as told:
                await ask
            assert told.value.is_away


async def test_who_stops_asking_leaves_nothing_open(clamd: Pair) -> None:
    peer, one = clamd
    peer.fault = Fault.HANGS
    before = open_files()
    asking = [asyncio.ensure_future(asked(one, b"x" * 5_000_000)) for _ in range(8)]
    while peer.asked < 8:
        await asyncio.sleep(0)
    for each in asking:
        each.cancel()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    assert open_files() <= before + 8, "our ends are not closed; those of the server still are open"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- a command -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("true", Clean()),
        ("cat >/dev/null; exit 1", Found("something without a name")),
        ('echo "stdin: Win.Test-1 FOUND"; echo; echo "--- SCAN SUMMARY ---"; exit 1', Found("Win.Test-1")),
        ("echo a bad thing; echo more; exit 1", Found("a bad thing")),
        ("printf 'red \\033[31m\\n'; exit 1", Found(named("red \033[31m"))),
    ],
)
async def test_a_command_says_by_its_status(command: str, answer: Answer) -> None:
    assert await asked(scanner(f"command:{command}"), LETTER) == answer


@pytest.mark.parametrize("octets", [30, 1_000_000, 20_000_000])
async def test_a_command_has_the_whole_letter_as_a_file(tmp_path: Path, octets: int) -> None:
    letter = LETTER + b"x" * octets
    one = scanner(f"command:test -f /dev/stdin && cat > {tmp_path}/copy && test ! -s /dev/stdin || true", tmp_path)
    assert await asked(one, letter) == Clean()
    assert (tmp_path / "copy").read_bytes() == letter
    assert [one.name for one in tmp_path.iterdir()] == ["copy"], "it left something"


@pytest.mark.parametrize(
    ("command", "said", "is_away"),
    [
        ("echo no database >&2; exit 2", "ended with status 2: no database", False),
        ("kill -SEGV $$", "ended with SIGSEGV", False),
        ("/nowhere/scanner", "ended with status 127", True),
    ],
)
async def test_a_command_that_fails_says_nothing(command: str, said: str, is_away: bool) -> None:
    with pytest.raises(NoAnswer) as told:
        await asked(scanner(f"command:{command}"), LETTER)
    assert said in str(told.value)
    assert told.value.is_away == is_away


async def test_a_command_that_hangs_is_ended_with_what_it_began(tmp_path: Path) -> None:
    mark = tmp_path / "lives"
    os.mkfifo(mark)
    reader = os.open(mark, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(NoAnswer, match=r"did not end within 0.3 s"):
        await asked(scanner(f"command:sleep 1000 > {mark} & sleep 1000 > {mark}"), LETTER, 0.3)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"", "somebody still writes there"
    os.close(reader)


@pytest.mark.parametrize(
    "text",
    ["", "clamd", "clamd:", "clamd:relative/path", "clamd:host", "clamd:host:0", "clamd:h:99999", "command:", "x:y"],
)
def test_what_is_no_scanner_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError) as told:
        scanner(text)
    assert told.value.status == os.EX_USAGE
    assert "is no scanner" in str(told.value)
    assert "\n" not in str(told.value)


def test_scanners_have_names() -> None:
    assert scanner("clamd:/run/clamav/clamd.ctl").name == "clamd at /run/clamav/clamd.ctl"
    assert scanner("clamd:[::1]:3310").name == "clamd at [::1]:3310"
    assert scanner("command:clamscan -").name == "the command clamscan -"
