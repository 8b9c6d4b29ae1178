"""Maildirs of Dovecot, Courier and others: unique-ids, order, dates and flags come along, and nothing comes twice."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from postoffice.errors import StoreUnavailable, UsageError
from postoffice.moving.maildir import Maildir, folder_file_name, folder_name
from postoffice.moving.taking import Witness, take_in
from postoffice.moving.tree import Tree
from postoffice.store.model import Flag

from .conftest import LETTER, Move, letters

Make = Callable[..., Path]
CANONICAL = LETTER.replace(b"\n", b"\r\n")


async def test_dovecots_uidlist_gives_unique_ids_and_order(move: Move, maildir: Make) -> None:
    path = maildir(
        {
            "cur/1.c:2,": LETTER + b"third\n",
            "new/3.a": LETTER + b"first\n",
            "cur/2.b,S=24:2,S": LETTER + b"second\n",
            "dovecot-uidlist": b"3 V1795426944 N9 Gda50\n3 W29 :3.a\n5 PUID7-12 S24 W30 :2.b,S=24\n8 :1.c\n",
        }
    )
    report = await move.maildir(path, "dovecot")
    assert await letters(move.mailbox) == {
        "000000036b040a80": CANONICAL + b"first\r\n",
        "UID7-12": CANONICAL + b"second\r\n",
        "000000086b040a80": CANONICAL + b"third\r\n",
    }
    assert (report.letters, report.octets, report.unnamed, move.complaints) == (3, 106, 0, [])


async def test_letters_that_the_old_server_has_not_shown_yet_wait_for_the_next_run(move: Move, maildir: Make) -> None:
    path = maildir({"new/1.early": LETTER, "cur/2.shown:2,": LETTER, "dovecot-uidlist": b"1 77 3\n2 2.shown\n"})
    report = await move.maildir(path, "dovecot")
    assert (report.letters, report.unnamed) == (1, 0)
    assert "1 letters have no unique-id yet" in str(move.complaints[0])
    (path / "dovecot-uidlist").write_bytes(b"1 77 4\n2 2.shown\n3 1.early\n")
    report = await move.maildir(path, "dovecot")
    assert (report.letters, report.known, report.unnamed) == (1, 1, 0)
    assert list((await move.mailbox.snapshot()).unique_ids) == ["000000020000004d", "000000030000004d"]


async def test_letters_that_the_old_server_never_showed_come_last_with_new_unique_ids(
    move: Move, maildir: Make
) -> None:
    path = maildir({"new/1.early": LETTER, "cur/2.shown:2,": LETTER, "dovecot-uidlist": b"1 77 3\n2 2.shown\n"})
    report = await move.maildir(path, "dovecot", takes_unnumbered=True)
    first, second = await letters(move.mailbox)
    assert (first, len(second), report.unnamed) == ("000000020000004d", 26, 1)


@pytest.mark.parametrize(
    ("uidl_format", "unique_id"),
    [
        ("%v.%u", "255.7"),
        ("%08Xu%08Xv", "00000007000000ff"),
        ("UID%u-%v", "UID7-255"),
        ("%f", "1.a"),
        ("%UXv%g", "FFe"),
    ],
)
async def test_any_format_of_unique_ids_that_dovecot_has_is_known(
    move: Move, maildir: Make, uidl_format: str, unique_id: str
) -> None:
    path = maildir({"cur/1.a:2,": LETTER, "dovecot-uidlist": b"3 V255 N8\n7 Ge :1.a\n"})
    await move.maildir(path, "dovecot", uidl_format=uidl_format)
    assert list(await letters(move.mailbox)) == [unique_id]


async def test_couriers_list_gives_unique_ids_with_uids_and_without(move: Move, maildir: Make) -> None:
    path = maildir(
        {
            "cur/1.a:2,": LETTER,
            "cur/2.b+c é:2,S": LETTER,
            "cur/3.d:2,": LETTER,
            "courierpop3dsizelist": "/3 9 55\n3.d:2, 26 4:55:0\n1.a:2, 26 8:55\n2.b+c é:2,S 26 0:0\n".encode(),
        }
    )
    await move.maildir(path, "courier")
    assert list(await letters(move.mailbox)) == ["2.b+2Bc+20+C3+A9", "UID4-55", "UID8-55"]


async def test_dates_and_flags_are_kept(move: Move, maildir: Make) -> None:
    await move.maildir(maildir({"cur/1.a:2,FRS": LETTER, "cur/2.b:2,DT": LETTER, "new/3.c": LETTER}))
    entries = await move.mailbox.describe((await move.mailbox.snapshot()).keys)
    facts = [(entry.internal_date, entry.flags) for entry in entries if entry]
    assert facts == [
        (1_600_000_000, Flag.FLAGGED | Flag.ANSWERED | Flag.SEEN),
        (1_600_000_001, Flag.DRAFT | Flag.DELETED),
        (1_600_000_002, Flag(0)),
    ]


@pytest.mark.parametrize(
    ("name", "kept", "letter"),
    [
        ("1.a", b"a\nb\n.\n", b"a\r\nb\r\n.\r\n"),
        ("1.a", b"a\r\nb\r\n", b"a\r\nb\r\n"),
        ("1.a", b"a\r\nb\nc", b"a\r\nb\r\nc\r\n"),
        ("1.a", b"a\rb\r\r\nc\r", b"a\rb\r\r\nc\r\r\n"),
        ("1.a,S=4,W=4", b"a\nb\n", b"a\nb\n\r\n"),
        ("1.a,S=5,W=5", b"a\nb\r\n", b"a\nb\r\n"),
        ("1.a,S=4,W=6", b"a\nb\n", b"a\r\nb\r\n"),
        ("1.a", b"", b""),
        ("1.a", b"." * 300_000 + b"\n" + b".\n" * 300_000, b"." * 300_000 + b"\r\n" + b".\r\n" * 300_000),
        ("1.a", b"x" * (256 * 1024 - 1) + b"\r\n.y\r\n", b"x" * (256 * 1024 - 1) + b"\r\n.y\r\n"),
    ],
)
async def test_line_ends_become_canonical(move: Move, maildir: Make, name: str, kept: bytes, letter: bytes) -> None:
    await move.maildir(maildir({f"cur/{name}:2,": kept}))
    assert list((await letters(move.mailbox)).values()) == [letter]
    assert list((await move.mailbox.snapshot()).octets) == [len(letter)]


async def test_folders_come_along(move: Move, maildir: Make) -> None:
    await move.maildir(maildir({"cur/1.a:2,": LETTER, ".Sent.&AOk-t&AOk-/cur/1.a:2,S": LETTER, ".notes": b""}))
    assert [folder.name for folder in await move.mailbox.folders()] == ["INBOX", "Sent/été"]
    assert list((await letters(move.mailbox, "Sent/été")).values()) == [CANONICAL]


@pytest.mark.parametrize("name", ["Sent", "Thư & đi", "a/b/c", "&", "tab\t"])
def test_a_folders_name_survives_both_ways(name: str) -> None:
    assert folder_name(folder_file_name(name)) == name


async def test_a_second_run_adds_only_what_is_new_whatever_the_server_did_to_the_names(
    move: Move, maildir: Make
) -> None:
    path = maildir({"new/1.a": LETTER, "cur/2.b,S=24:2,": LETTER})
    assert (await move.maildir(path)).letters == 2
    (path / "new" / "1.a").rename(path / "cur" / "1.a,S=24,W=28:2,S")
    (path / "new" / "3.c").write_bytes(LETTER)
    report = await move.maildir(path)
    assert (report.letters, report.known, len(await letters(move.mailbox))) == (1, 2, 3)


async def test_an_import_that_ended_in_the_middle_goes_on(move: Move, maildir: Make) -> None:
    path = maildir({f"cur/{number:04}.a:2,": LETTER for number in range(600)})
    tree = Tree(path)

    def enough(_: object) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await take_in(Maildir(tree), move.mailbox, Witness(lambda _: None, enough))
    assert len((await move.mailbox.snapshot()).keys) == 256
    report = await move.maildir(path)
    tree.close()
    assert (report.letters, report.known) == (344, 256)


async def test_a_unique_id_that_cannot_stay_is_replaced_and_that_is_said(move: Move, maildir: Make) -> None:
    lines = b"".join(b"%d P%s :%d.a\n" % (n, uid, n) for n, uid in enumerate((b"x", b"x", b"y" * 71, b"\xe9"), 1))
    path = maildir({**{f"cur/{n}.a:2,": LETTER for n in range(1, 5)}, "dovecot-uidlist": b"3 V1 N5\n" + lines})
    report = await move.maildir(path, "dovecot")
    unique_ids = list(await letters(move.mailbox))
    assert (unique_ids[0], [len(one) for one in unique_ids[1:]], report.renamed) == ("x", [26, 26, 26], 3)
    assert ["2.a" in move.complaints[0].where, "another letter" in move.complaints[0].what] == [True, True]


async def test_lines_of_a_uidlist_that_say_nothing_are_named(move: Move, maildir: Make) -> None:
    path = maildir({"cur/1.a:2,": LETTER, "dovecot-uidlist": b"3 V1 N5\n7 :1.a\nnonsense\n6 :0.a\n"})
    await move.maildir(path, "dovecot")
    assert [complaint.where.rpartition(", ")[2] for complaint in move.complaints] == ["line 3", "line 4"]
    assert list(await letters(move.mailbox)) == ["0000000700000001"]


@pytest.mark.parametrize(
    ("files", "kind", "says"),
    [
        ({"dovecot-uidlist": b"\0\0"}, "dovecot", "line 1"),
        ({}, "dovecot", "no such file"),
        ({}, "courier", "no such file"),
    ],
)
async def test_without_readable_unique_ids_nothing_is_imported(
    move: Move, maildir: Make, files: dict[str, bytes], kind: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        await move.maildir(maildir({"cur/1.a:2,": LETTER, **files}), kind)
    assert await letters(move.mailbox) == {}


async def test_what_cannot_be_read_is_named_and_the_rest_comes(move: Move, maildir: Make, tmp_path: Path) -> None:
    path = maildir({"cur/1.a:2,": LETTER, "cur/4.d:2,": LETTER, "new/4.d": LETTER})
    (tmp_path / "secret").write_bytes(b"not theirs\n")
    (path / "cur" / "2.b:2,").symlink_to(tmp_path / "secret")
    (path / "cur" / "3.c:2,").mkdir()
    os.mkfifo(path / "cur" / "5.e:2,")
    report = await move.maildir(path)
    assert (report.letters, report.lost) == (2, 4)
    assert sorted(Path(complaint.where).name[:3] for complaint in move.complaints) == ["2.b", "3.c", "4.d", "5.e"]
    again = await move.maildir(path)
    assert (again.letters, again.known, again.lost) == (0, 2, 4)


async def test_a_full_disk_is_said_and_nothing_is_half_imported(move: Move, maildir: Make) -> None:
    path = maildir({f"cur/{number:04}.a:2,": LETTER for number in range(300)})
    tree = Tree(path)
    room = iter([1 << 30, 1 << 10])

    async def free_octets() -> int:
        return next(room)

    with pytest.raises(StoreUnavailable, match="full"):
        await take_in(Maildir(tree), move.mailbox, Witness(lambda _: None, lambda _: None), free_octets)
    tree.close()
    assert len((await move.mailbox.snapshot()).keys) == 256
    assert (await move.maildir(path)).letters == 44


async def test_a_huge_letter_needs_little_memory(move: Move, maildir: Make) -> None:
    path = maildir({})
    with (path / "new" / "1.huge").open("wb") as file:
        for _ in range(200):
            file.write(b"a line of usual length for a letter\n" * 8192)
    tracemalloc.start()
    report = await move.maildir(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.octets, peak < 16 << 20) == (200 * 8192 * 37, True)
