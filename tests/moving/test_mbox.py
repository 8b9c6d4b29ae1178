"""An mbox of any sort gives its letters as they were sent, with unique-ids, dates and flags, and each only once."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import tracemalloc
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import UsageError
from postoffice.moving import fromlines
from postoffice.moving.letters import Found
from postoffice.moving.mbox import Mbox
from postoffice.store.model import NO_FLAGS, Flag

from .conftest import Move, letters

LINE = b"From bob@b.example Mon Jan  1 10:00:00 2024\n"
Write = Callable[..., Path]


@pytest.fixture
def mbox(tmp_path: Path) -> Write:
    def write(*octets: bytes) -> Path:
        path = tmp_path / "mbox"
        path.write_bytes(b"".join(octets))
        return path

    return write


async def kept(move: Move) -> list[bytes]:
    return list((await letters(move.mailbox)).values())


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (b"", []),
        (LINE, [b""]),
        (LINE + b"\n", [b""]),
        (LINE + b"\n\n", [b"\r\n"]),
        (LINE + b"a: b\n\nc\n\n" + LINE + b"d: e\n", [b"a: b\r\n\r\nc\r\n", b"d: e\r\n"]),
        (LINE + b"a: b\n\nc\n\n\n" + LINE + b"d: e\n\n", [b"a: b\r\n\r\nc\r\n\r\n", b"d: e\r\n"]),
        (LINE + b"a: b\n\nno empty line\n" + LINE + b"d: e\n", [b"a: b\r\n\r\nno empty line\r\n", b"d: e\r\n"]),
        (LINE + b"a: b\n\nno end", [b"a: b\r\n\r\nno end\r\n"]),
        (LINE + b"a: b\n\n\nFrom now on\n", [b"a: b\r\n\r\n\r\nFrom now on\r\n"]),
        (LINE + b"a: b\n\nFrom - \nc: d\n\nx\nFrom - \n", [b"a: b\r\n", b"c: d\r\n\r\nx\r\nFrom - \r\n"]),
        (b"From a@b\na: b\n\nFrom c@d\n\nFrom e\n", [b"a: b\r\n", b"\r\nFrom e\r\n"]),
        (b"From -\r\na: b\r\n\r\nc\r\n\r\n" + LINE + b"d: e\r\n", [b"a: b\r\n\r\nc\r\n", b"d: e\r\n"]),
        (LINE + b"a: b\n\n>From x\n>>From y\n>Fro\n> From\n", [b"a: b\r\n\r\nFrom x\r\n>From y\r\n>Fro\r\n> From\r\n"]),
    ],
)
async def test_letters_are_parted_and_unquoted(move: Move, mbox: Write, file: bytes, expected: list[bytes]) -> None:
    await move.mbox(mbox(file))
    assert await kept(move) == expected


TAIL = b"\n" + LINE + b"x: y\n"
BODY = b">From a\n\n" + LINE + b"in the body\n"


@pytest.mark.parametrize(
    ("length", "behind", "is_believed"),
    [
        (len(BODY), TAIL, True),
        (len(BODY), b"", True),
        (len(BODY), b"\n", True),
        (len(BODY) - 1, b"", True),
        (len(BODY) - 1, TAIL, False),
        (len(BODY) + 500, TAIL, False),
        (10**30, TAIL, False),
        (0, TAIL, False),
    ],
)
def test_content_length_is_believed_where_it_leads_to_a_letter_or_the_end(
    mbox: Write, length: int, behind: bytes, is_believed: bool
) -> None:
    box = Mbox(mbox(LINE, b"a: b\nContent-Length: %d\n\n" % length, BODY, behind))
    found = [b"".join(one.open().octets) for one in box.letters() if isinstance(one, Found)]
    box.close()
    assert found[0] == b"a: b\r\n\r\n" + (BODY.replace(b"\n", b"\r\n") if is_believed else b"From a\r\n")
    assert len(found) == (1 if is_believed else 2) + (behind == TAIL)


async def test_unique_ids_flags_and_dates_come_along_and_notes_of_programs_do_not(move: Move, mbox: Write) -> None:
    path = mbox(
        LINE,
        b"X-UIDL: a!b\nStatus: RO\nx-status: AF\nSubject: one\nX-IMAPbase: 12 3\nX-Keywords:\n  x\n  y\n",
        b"\nX-UIDL: mine\n\n",
        b"From bob@b.example Mon Jan  1 10:00 +0200 2024\nSubject: two\nX-Mozilla-Status: 0006\n\n",
        b"From - \nSubject: three\nReceived: by x; Mon, 1 Jan 2024 10:00:09 +0000\nX-Mozilla-Status: 0009\n\n",
        b"From - \nSubject: four\nReceived: by x; Mon, 1 Jan 2024 10:00:09 +0000\nDate: now\n\n",
        b"From - \nDate: Mon, 1 Jan 2024 10:00:10 +0000\n\n",
    )
    report = await move.mbox(path)
    snapshot = await move.mailbox.snapshot()
    assert await kept(move) == [
        b"Subject: one\r\n\r\nX-UIDL: mine\r\n",
        b"Subject: two\r\n",
        b"Subject: four\r\nReceived: by x; Mon, 1 Jan 2024 10:00:09 +0000\r\nDate: now\r\n",
        b"Date: Mon, 1 Jan 2024 10:00:10 +0000\r\n",
    ]
    entries = await move.mailbox.describe(snapshot.keys)
    assert [(entry.internal_date - 1704103200, entry.flags) for entry in entries if entry] == [
        (0, Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED),
        (-7200, Flag.ANSWERED | Flag.FLAGGED),
        (9, NO_FLAGS),
        (10, NO_FLAGS),
    ]
    assert (snapshot.unique_ids[0], report.unnamed) == ("a!b", 3)
    assert ["letter 3" in str(complaint) for complaint in move.complaints] == [True]


async def test_as_kept_leaves_every_octet_in_the_letter(move: Move, mbox: Write) -> None:
    path = mbox(LINE, b"X-UIDL: a\nStatus: RO\n\n>From x\n")
    await move.mbox(path, is_as_kept=True)
    assert await letters(move.mailbox) == {"a": b"X-UIDL: a\r\nStatus: RO\r\n\r\n>From x\r\n"}


async def test_dovecots_unique_ids_are_made_of_its_uids(move: Move, mbox: Write) -> None:
    path = mbox(
        *(LINE, b"a: 1\nX-IMAPbase: 1795896063 0000000009 $Label\nX-UID: 2     \nX-UIDL: x\n\n>From a\n\n"),
        *(LINE, b"a: 2\nX-UID: 8\n\n", LINE, b"a: 3\nX-UID: 3\n\n", LINE, b"a: 4\n"),
    )
    report = await move.mbox(path, uidl_format="%08Xu%08Xv")
    found = await letters(move.mailbox)
    assert list(found)[:2] == ["000000026b0b32ff", "000000086b0b32ff"]
    assert (next(iter(found.values())), report.unnamed) == (b"a: 1\r\nX-UIDL: x\r\n\r\n>From a\r\n", 2)


async def test_without_uids_of_dovecot_nothing_is_imported(move: Move, mbox: Write) -> None:
    with pytest.raises(UsageError, match="no X-IMAPbase"):
        await move.mbox(mbox(LINE, b"a: 1\n"), uidl_format="%08Xu%08Xv")


async def test_a_note_of_a_server_to_itself_is_no_letter(move: Move, mbox: Write) -> None:
    note = b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 77 9\n\nThis text is part of it.\n\n"
    path = mbox(LINE, note, LINE, b"a: 1\nX-UID: 1\n")
    await move.mbox(path, uidl_format="%v.%u")
    assert await letters(move.mailbox) == {"77.1": b"a: 1\r\n"}


async def test_a_second_run_brings_what_is_new_whatever_the_server_did_to_the_file(move: Move, mbox: Write) -> None:
    twin = LINE + b"a: twin\n\nx\n\n"
    await move.mbox(mbox(LINE, b"a: 1\n\n>From x\n\n", twin, twin, LINE, b"a: 2\n\n"))
    path = mbox(twin, LINE, b"a: 2\nStatus: RO\nX-UIDL: z\n\n", twin, twin, LINE, b"Status: O\na: 1\n\n>From x\n")
    report = await move.mbox(path)
    assert (report.letters, report.known) == (1, 4)
    assert (await kept(move)).count(b"a: twin\r\n\r\nx\r\n") == 3


async def test_in_another_folder_the_same_letter_is_another(move: Move, mbox: Write) -> None:
    path = mbox(LINE, b"a: 1\n")
    await move.mbox(path)
    assert (await move.mbox(path, folder="Archive/2024")).letters == 1
    assert (await move.mbox(path, folder="Archive/2024")).letters == 0
    assert len(await letters(move.mailbox, "Archive/2024")) == 1


@pytest.mark.parametrize("octets", [b"\0\1\2", b"Subject: a letter\n\nand no mbox\n", b"\n" + LINE])
def test_a_file_that_is_no_mbox_is_said_to_be_none(mbox: Write, octets: bytes) -> None:
    with pytest.raises(UsageError, match="is no mbox") as raised:
        Mbox(mbox(octets))
    assert raised.value.status == os.EX_DATAERR


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("none", "No such file"), ("pipe", "is no file"), (".", "is no file")):
        with pytest.raises(UsageError, match=words):
            Mbox(tmp_path / name)


def hold(path: Path, told: Connection) -> None:
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        told.send(True)
        told.recv()


def test_who_writes_to_it_is_not_disturbed(mbox: Write) -> None:
    path = mbox(LINE, b"a: 1\n")
    ours, theirs = multiprocessing.Pipe()
    holder = multiprocessing.get_context("spawn").Process(target=hold, args=(path, theirs))
    holder.start()
    ours.recv()
    with pytest.raises(UsageError, match="somebody is writing") as raised:
        Mbox(path)
    ours.send(True)
    holder.join()
    assert raised.value.status == os.EX_TEMPFAIL
    lock = path.with_name("mbox.lock")
    lock.touch()
    with pytest.raises(UsageError, match=r"mbox\.lock"):
        Mbox(path)
    os.utime(lock, (0, 0))
    Mbox(path).close()


async def test_a_change_ends_the_import_and_what_came_is_kept(move: Move, mbox: Write) -> None:
    path = mbox(*(LINE + b"a: %d\n\nx\n\n" % number for number in range(300)))
    whole = path.read_bytes()
    box = Mbox(path)

    def then_somebody_writes() -> Iterator[Found]:
        for number, found in enumerate(type(box).letters(box)):
            assert isinstance(found, Found)
            yield found
            if number == 100:
                path.write_bytes(whole[len(whole) // 2 :])

    box.letters = then_somebody_writes  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="was changed"):
        await move.take(box)
    box.close()
    assert await kept(move) == [b"a: %d\r\n\r\nx\r\n" % number for number in range(101)]
    path.write_bytes(whole)
    assert (await move.mbox(path)).letters == 199


async def test_a_huge_letter_and_a_huge_line_need_little_memory(move: Move, mbox: Write) -> None:
    path = mbox(LINE)
    with path.open("ab") as file:
        file.write(b"Subject: huge\n\n" + b">" * (20 << 20) + b"\n")
        for _ in range(20):
            file.write(b">From here on it is long and longer\n" * 8192)
    tracemalloc.start()
    report = await move.mbox(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.octets, peak < 16 << 20) == (17 + (20 << 20) + 2 + 20 * 8192 * 36, True)


PORTIONS = st.lists(st.sampled_from([b"\n", b">", b"From ", b"Fro", b"m ", b"x", b">>From y\n", b"From z"]))


@given(PORTIONS)
def test_quoting_and_unquoting_are_each_others_inverse_however_octets_come(portions: list[bytes]) -> None:
    quoter, whole = fromlines.Quoter(), fromlines.Quoter()
    quoted = [*map(quoter.feed, portions), quoter.end()]
    assert b"\nFrom " not in b"\n" + b"".join(quoted)
    assert b"".join(fromlines.unquoted(iter(quoted))) == b"".join(portions)
    assert whole.feed(b"".join(portions)) + whole.end() == b"".join(quoted)


@given(st.binary(max_size=40), st.integers(0, 253402300799))
def test_a_from_line_is_known_as_one_and_tells_its_date(sender: bytes, date: int) -> None:
    line = fromlines.from_line(sender, date)
    assert fromlines.begins_letter(line, follows_empty=False)
    assert fromlines.date_of(line) == date
