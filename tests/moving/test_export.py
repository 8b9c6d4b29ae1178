"""What is given out as a Maildir or an mbox comes back as it was: letters, order, unique-ids, dates, flags."""

from __future__ import annotations

import fcntl
import mailbox
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from postoffice.errors import UsageError
from postoffice.moving.giving import GoneMeanwhile, read
from postoffice.protocols.dots import stuff
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, REMOVED, Flag, Letter

from .conftest import Move, letters

LETTERS = (
    b"Return-Path: <a b@c>\r\nSubject: dots\r\n\r\n.\r\n..\r\nFrom me\r\n>From you\r\n\r\nFrom x\r\n",
    b"",
    b"\r\n",
    b"Subject: header only\r\n",
    b"Subject: no body\r\n\r\n",
    b"no header\r\n\r\n\r\n",
    b"From the start\r\nSubject: x\r\n\r\n",
    b"Subject: 8\xff\0bits\r\n\r\n\xff\0\r\n",
    b"Subject: long\r\n\r\n" + b"x" * 300_000 + b"\r\n" + b"From \r\n" * 60_000,
    b"Subject: cut\r\n\r\n" + b"y" * (256 * 1024 - 17) + b"\r\n.z\r\n",
)
STRANGE = (b"Subject: bare\n\r\nx\ny\r\n", b"Subject: two\r\n\r\nx\r\r\n", b" folded first\r\n\r\n")
UNIQUE_IDS = ("z", "a/b", ":P,S=1", "x" * 70, "~", "$!%", "0", "UID7-12", "000000036b040a80", ">")


async def fill(
    box: Mailbox, octets: Sequence[bytes], unique_ids: Sequence[str | None] = UNIQUE_IDS, folder: str = INBOX
) -> None:
    kept = []
    for number, (letter, unique_id) in enumerate(zip(octets, unique_ids, strict=False)):
        stage = await box.stage()
        await stage.write(stuff(letter))
        date = 1_700_000_000.0 - number // 3
        kept.append(Letter(await stage.finish(), date, b"", unique_id, Flag(number % 32), folder=folder))
    await box.append(kept)


async def facts(box: Mailbox, folder: str = INBOX) -> list[tuple[str, bytes, float, Flag]]:
    snapshot = await box.snapshot(folder=folder)
    entries = [entry for entry in await box.describe(snapshot.keys) if entry]
    octets = await letters(box, folder)
    return [(one.unique_id, octets[one.unique_id], one.internal_date, one.flags) for one in entries]


async def test_a_maildir_comes_back_as_it_was(move: Move, back: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS)
    await move.mailbox.create_folder("Sent/été.x")
    await fill(move.mailbox, (*STRANGE, *LETTERS[:2]), [None] * 5, "Sent/été.x")
    await move.mailbox.create_folder(REMOVED)
    await fill(move.mailbox, LETTERS[:1], [None], REMOVED)
    report = await move.to_maildir(tmp_path / "out")
    assert (report.total, report.letters, report.known) == (15, 15, 0)
    await back.maildir(tmp_path / "out", "dovecot")
    assert (move.complaints, back.complaints) == ([], [])
    assert await facts(back.mailbox) == await facts(move.mailbox)
    assert await facts(back.mailbox, "Sent/été.x") == await facts(move.mailbox, "Sent/été.x")
    assert [folder.name for folder in await back.mailbox.folders()] == [INBOX, "Sent/été.x"]


async def test_an_mbox_comes_back_as_it_was(move: Move, back: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS)
    report = await move.to_mbox(tmp_path / "out")
    assert (report.total, report.letters) == (10, 10)
    await back.mbox(tmp_path / "out")
    assert (move.complaints, back.complaints) == ([], [])
    assert await facts(back.mailbox) == await facts(move.mailbox)


async def test_what_an_mbox_cannot_keep_is_said(move: Move, back: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, STRANGE)
    await move.to_mbox(tmp_path / "out")
    assert ["other line ends" in str(complaint) for complaint in move.complaints] == [True, True]
    report = await back.mbox(tmp_path / "out")
    assert (report.letters, report.unnamed) == (3, 1)
    assert list((await letters(back.mailbox)).values())[2] == STRANGE[2]


async def test_no_field_of_a_sender_makes_a_letter_vanish_from_an_mbox(move: Move, back: Move, tmp_path: Path) -> None:
    """What programs note in an mbox, a sender may write too."""
    written = (
        b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\nX-IMAP: 1 2\r\n\r\n",
        b"Return-Path: <->\r\nX-Mozilla-Status: 0009\r\nSubject: two\r\n\r\n",
        b"X-Mozilla-Status: 0008\r\nContent-Length: 99999\r\nSubject: three\r\n\r\n",
    )
    await fill(move.mailbox, written)
    await move.to_mbox(tmp_path / "out")
    said = [str(complaint).partition("notes of programs: ")[2] for complaint in move.complaints]
    assert said == ["X-IMAP", "X-Mozilla-Status", "Content-Length, X-Mozilla-Status"]
    report = await back.mbox(tmp_path / "out")
    assert (report.letters, report.lost, back.complaints) == (3, 0, [])
    subjects = [
        letter.partition(b"Subject: ")[2].split(b"\r\n")[0] for letter in (await letters(back.mailbox)).values()
    ]
    assert subjects == [b"DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA", b"two", b"three"]


async def test_pythons_own_readers_read_both(move: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS)
    await move.to_maildir(tmp_path / "maildir")
    await move.to_mbox(tmp_path / "mbox")
    maildir = mailbox.Maildir(tmp_path / "maildir")
    assert sorted(map(maildir.get_bytes, maildir.iterkeys())) == sorted(
        letter.replace(b"\r\n", b"\n") for letter in LETTERS
    )
    mbox = mailbox.mbox(tmp_path / "mbox")
    assert [message["X-UIDL"] for message in mbox] == list(UNIQUE_IDS)
    mbox.close()


async def test_a_second_maildir_run_adds_what_is_new_and_leaves_what_others_changed(move: Move, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await fill(move.mailbox, LETTERS[:3])
    await move.to_maildir(out)
    first = min((out / "cur").iterdir())
    seen = first.rename(out / "cur" / f"{first.name}S")
    (out / "tmp" / first.name.partition(",")[0]).write_bytes(b"half of a let")
    await fill(move.mailbox, LETTERS[3:5], UNIQUE_IDS[3:])
    report = await move.to_maildir(out)
    assert (report.letters, report.known, len(list((out / "cur").iterdir()))) == (2, 3, 5)
    assert seen.exists()
    assert list((out / "tmp").iterdir()) == []


async def test_a_list_of_unique_ids_that_is_dovecots_own_stays(move: Move, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "cur").mkdir(parents=True)
    (out / "cur" / "1.a:2,").write_bytes(b"theirs\n")
    (out / "dovecot-uidlist").write_bytes(b"3 V1 N5\n4 :1.a\n")
    await fill(move.mailbox, LETTERS[:1])
    report = await move.to_maildir(out)
    assert (report.letters, (out / "dovecot-uidlist").read_bytes()) == (1, b"3 V1 N5\n4 :1.a\n")
    assert ["stays as it is" in str(complaint) for complaint in move.complaints] == [True]


async def test_an_mbox_that_is_there_is_replaced_only_if_that_is_said(move: Move, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await fill(move.mailbox, LETTERS[:1])
    out.write_bytes(b"")
    await move.to_mbox(out)
    whole = out.read_bytes()
    with pytest.raises(UsageError, match="--replace") as raised:
        await move.to_mbox(out)
    assert (raised.value.status, out.read_bytes()) == (os.EX_CANTCREAT, whole)
    (tmp_path / ".out.part").write_bytes(b"x" * 100_000)
    await move.to_mbox(out, replaces=True)
    assert out.read_bytes() == whole
    assert not (tmp_path / ".out.part").exists()


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_two_exports_to_one_place_do_not_meet(move: Move, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    held = out if kind == "maildir" else tmp_path / ".out.part"
    if kind == "maildir":
        out.mkdir()
    else:
        held.touch()
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another export") as raised:
        await (move.to_maildir(out) if kind == "maildir" else move.to_mbox(out))
    os.close(descriptor)
    assert raised.value.status == os.EX_TEMPFAIL


async def test_where_nothing_can_be_made_nothing_is(move: Move, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as raised:
        await move.to_maildir(tmp_path / "none" / "out")
    assert raised.value.status == os.EX_CANTCREAT
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        await move.to_maildir(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="no file"):
        await move.to_mbox(tmp_path / "folder", replaces=True)


async def test_a_huge_letter_needs_little_memory_on_its_way_out(move: Move, tmp_path: Path) -> None:
    stage = await move.mailbox.stage()
    for _ in range(100):
        await stage.write(b"From here on a line of usual length\r\n" * 8192)
    await move.mailbox.append([Letter(await stage.finish(), 0.0)])
    tracemalloc.start()
    await move.to_maildir(tmp_path / "maildir")
    await move.to_mbox(tmp_path / "mbox")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert (tmp_path / "mbox").stat().st_size > 100 * 8192 * 37


async def test_a_letter_that_is_removed_while_it_is_given_out_leaves_nothing(move: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, (LETTERS[0], LETTERS[8], LETTERS[4]))
    [first, large, _] = (await move.mailbox.snapshot()).keys
    [given, gone] = await read(move.mailbox, [first, large])
    await move.mailbox.remove([large])
    with pytest.raises(GoneMeanwhile):
        await gone.is_plain()
    assert await given.is_plain()
    report = await move.to_mbox(tmp_path / "out")
    assert (report.letters, (tmp_path / "out").read_bytes().count(b"X-UIDL")) == (2, 2)
