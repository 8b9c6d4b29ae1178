"""The same octets are the same letter: what was taken in one way is known in another, and none is lost by that."""

from __future__ import annotations

from pathlib import Path

from postoffice.moving.sameness import Here
from postoffice.protocols.dots import stuff
from postoffice.store.model import INBOX, REMOVED, Letter

from .conftest import Move, letters
from .test_export import LETTERS, fill


async def test_every_form_of_the_same_letters_is_known(move: Move, back: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS)
    await move.to_eml(tmp_path / "eml")
    await move.to_zip(tmp_path / "zip")
    assert (await back.eml(tmp_path / "eml")).letters == 10
    report = await back.zip(tmp_path / "zip")
    assert (report.letters, report.known) == (0, 10)


async def test_a_letter_is_here_as_often_as_where_it_is_more_often(back: Move, tmp_path: Path) -> None:
    tree = tmp_path / "in"
    tree.mkdir()
    for number in range(2):
        (tree / f"{number}.eml").write_bytes(b"Subject: twice\r\n\r\n")
    assert (await back.eml(tree)).letters == 2
    assert (await back.eml(tree)).letters == 0
    (tree / "2.eml").write_bytes(b"Subject: twice\r\n\r\n")
    report = await back.eml(tree)
    assert (report.letters, report.known) == (1, 2)
    assert len(await letters(back.mailbox)) == 3


async def test_what_was_removed_comes_back(back: Move, tmp_path: Path) -> None:
    tree = tmp_path / "in"
    tree.mkdir()
    (tree / "x.eml").write_bytes(b"Subject: x\r\n\r\n")
    await back.eml(tree)
    await back.mailbox.remove((await back.mailbox.snapshot()).keys, into=REMOVED)
    assert (await back.eml(tree)).letters == 1
    await back.mailbox.move((await back.mailbox.snapshot()).keys, "Elsewhere")
    assert (await back.eml(tree)).known == 1


async def test_what_an_office_wrote_above_a_letter_is_a_part_of_it(move: Move, back: Move, tmp_path: Path) -> None:
    stage = await move.mailbox.stage()
    await stage.write(stuff(b"Subject: x\r\n\r\n"))
    await move.mailbox.append([Letter(await stage.finish(), 0.0, b"Return-Path: <a@b>\r\n")])
    await move.to_eml(tmp_path / "out")
    [file] = (tmp_path / "out" / INBOX).iterdir()
    assert file.read_bytes() == b"Return-Path: <a@b>\r\nSubject: x\r\n\r\n"
    assert (await move.eml(tmp_path / "out")).known == 1
    assert (await back.eml(tmp_path / "out")).letters == 1
    assert (await back.eml(tmp_path / "out")).known == 1


async def test_a_letter_that_is_known_by_its_name_is_found_once(move: Move, tmp_path: Path) -> None:
    line = "From a@b Mon Jan  1 10:00:00 2024\n"
    path = tmp_path / "in"
    path.write_text(f"{line}Subject: same\n\nbody\n\n" * 2)
    await move.mbox(path)
    path.write_text(f"{line}Subject: same\n\nbody\n\n" * 3)
    from contextlib import closing

    from postoffice.moving.mbox import Mbox

    with closing(Mbox(path)) as box:
        report = await move.take_once(box)
    assert (report.letters, report.known) == (1, 2)
    with closing(Mbox(path)) as box:
        report = await move.take_once(box)
    assert (report.letters, report.known) == (0, 3)


async def test_a_mailbox_without_letters_has_none(move: Move) -> None:
    here = await Here.of(move.mailbox)
    assert not await here.finds(b"x" * 32, 3)
