"""What is given out as .eml files, in a folder or a zip, comes back as it was: octets, flags, dates, folders, names."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postoffice.errors import DamagedStore, UsageError
from postoffice.moving import catalogue, folder_out
from postoffice.moving.folder_out import NOTE
from postoffice.moving.letterfiles import Places
from postoffice.store.model import INBOX, REMOVED, Flag, Letter

from .conftest import Move, letters
from .test_export import LETTERS, STRANGE, UNIQUE_IDS, facts, fill

FOLDERS = (
    "Archive/2024",
    "archive/2024",
    "Archive",
    "../../etc",
    "CON",
    "a/b.eml",
    "index.jsonl",
    "x" * 300,
    "Empty",
    "\u202e/",
)


async def fill_folders(move: Move) -> None:
    await fill(move.mailbox, (*LETTERS, *STRANGE[:2]), (*UNIQUE_IDS, None, None))
    for number, folder in enumerate(FOLDERS):
        await move.mailbox.create_folder(folder)
        await fill(
            move.mailbox, () if folder == "Empty" else (f"X: {number}\r\n\r\n".encode(), STRANGE[2]), [None] * 2, folder
        )
    await move.mailbox.create_folder(REMOVED)
    await fill(move.mailbox, LETTERS[:1], [None], REMOVED)


@pytest.mark.parametrize("form", ["eml", "zip"])
async def test_everything_comes_back_as_it_was(move: Move, back: Move, tmp_path: Path, form: str) -> None:
    await fill_folders(move)
    out = tmp_path / "out"
    report = await (move.to_eml(out) if form == "eml" else move.to_zip(out))
    assert (report.total, report.letters, move.complaints) == (30, 30, [])
    report = await (back.eml(out) if form == "eml" else back.zip(out))
    assert (report.letters, report.known, report.unnamed, back.complaints) == (30, 0, 0, [])
    names = [folder.name for folder in await back.mailbox.folders()]
    assert names == [INBOX, *(name.replace("\u202e", "\ufffd")[:500] for name in FOLDERS)]
    for folder, there in zip((INBOX, *FOLDERS), names, strict=True):
        assert await facts(back.mailbox, there) == await facts(move.mailbox, folder)
    report = await (back.eml(out) if form == "eml" else back.zip(out))
    assert (report.letters, report.known) == (0, 30)


async def test_a_file_is_the_letter_and_its_date_and_for_nobody_else(move: Move, tmp_path: Path) -> None:
    await fill_folders(move)
    await move.to_eml(tmp_path / "out")
    digests = {hashlib.sha256(octets).digest() for octets in (await letters(move.mailbox)).values()}
    files = list((tmp_path / "out" / "INBOX").iterdir())
    assert {hashlib.sha256(file.read_bytes()).digest() for file in files} == digests
    assert {file.stat().st_mtime for file in files} == {1_700_000_000.0 - number for number in range(4)}
    for path in (tmp_path / "out").rglob("*"):
        assert path.stat().st_mode & 0o7177 == 0 if path.is_file() else path.stat().st_mode & 0o77 == 0
    listed = [json.loads(line) for line in (tmp_path / "out" / "index.jsonl").read_text().splitlines()]
    assert (listed[0]["form"], listed[-1]) == ("eml", {"letters": 30})
    where = {line["folder"]: line["lies_in"] for line in listed if "lies_in" in line}
    assert where["Archive/2024"] == "Archive/2024"
    assert where["archive/2024"] == "archive (2)/2024"
    assert where["../../etc"] == "_/_/etc"
    assert (where["CON"], where["a/b.eml"], where["index.jsonl"]) == ("_CON", "a/b.eml_", "index.jsonl (2)")


async def test_only_the_folders_that_are_wanted(move: Move, tmp_path: Path) -> None:
    await fill_folders(move)
    assert (await move.to_eml(tmp_path / "out", wanted=("CON", "Empty"))).letters == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Empty", "_CON", "index.jsonl"]
    assert (await move.to_zip(tmp_path / "zip", wanted=(REMOVED,))).letters == 1
    with pytest.raises(UsageError, match="no such folder") as raised:
        await move.to_eml(tmp_path / "other", wanted=("None",))
    assert (raised.value.status, (tmp_path / "other").exists()) == (os.EX_NOINPUT, False)


# --- complete or not there


async def test_what_is_there_is_not_touched(move: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS[:1])
    out = tmp_path / "out"
    out.mkdir()
    await move.to_eml(out)
    with pytest.raises(UsageError, match="with something in it") as raised:
        await move.to_eml(out)
    assert raised.value.status == os.EX_CANTCREAT
    (tmp_path / "file").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="no folder"):
        await move.to_eml(tmp_path / "file")
    with pytest.raises(UsageError, match="--replace"):
        await move.to_zip(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"theirs"
    await move.to_zip(tmp_path / "file", replaces=True)
    theirs = tmp_path / ".new.part"
    theirs.mkdir()
    (theirs / "precious").touch()
    with pytest.raises(UsageError, match="not of ours"):
        await move.to_eml(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir() if "mailbox" not in path.name) == [
        ".new.part",
        "file",
        "out",
    ]


async def test_what_a_run_that_was_killed_left_is_told_and_begun_anew(move: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS[:2])
    left = tmp_path / ".out.part" / "INBOX" / "deep"
    left.mkdir(parents=True)
    (left / "half of a let").touch()
    (tmp_path / ".out.part" / NOTE).touch()
    await move.to_eml(tmp_path / "out")
    assert ["broken off" in str(one) for one in move.complaints] == [True]
    assert not (tmp_path / ".out.part").exists()
    assert len(list((tmp_path / "out" / "INBOX").iterdir())) == 2
    assert not (tmp_path / "out" / NOTE).exists()


async def test_two_exports_to_one_place_do_not_meet(move: Move, tmp_path: Path) -> None:
    (tmp_path / ".out.part").mkdir()
    descriptor = os.open(tmp_path / ".out.part", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another export") as raised:
        await move.to_eml(tmp_path / "out")
    os.close(descriptor)
    assert raised.value.status == os.EX_TEMPFAIL


async def test_a_place_that_somebody_takes_meanwhile_is_his(move: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS[:1])
    out = tmp_path / "out"
    where = {"INBOX": out}
    folder = Places.folder

    def taken_meanwhile(self: Places, name: str) -> tuple[str, ...]:
        where[name].mkdir()
        (out / "theirs").touch()
        return folder(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Places, "folder", taken_meanwhile)
        with pytest.raises(UsageError, match="meanwhile"):
            await move.to_eml(out)
    assert [path.name for path in out.iterdir()] == ["theirs"]
    assert not (tmp_path / ".out.part").exists()


@pytest.mark.parametrize("form", ["eml", "zip"])
async def test_a_huge_letter_needs_little_memory_on_both_ways(
    move: Move, back: Move, tmp_path: Path, form: str
) -> None:
    stage = await move.mailbox.stage()
    block = os.urandom(5_000).hex().encode() * 6
    lines = b"".join(block[at : at + 70] + b"\r\n" for at in range(0, 59_500, 70))
    for _ in range(3400):
        await stage.write(lines)
    staged = await stage.finish()
    assert staged.content.octets > 200_000_000
    await move.mailbox.append([Letter(staged, 0.0)])
    tracemalloc.start()
    await (move.to_eml(tmp_path / "out") if form == "eml" else move.to_zip(tmp_path / "out"))
    report = await (back.eml(tmp_path / "out") if form == "eml" else back.zip(tmp_path / "out"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.letters, report.octets) == (1, staged.content.octets)
    assert peak < 24 << 20


# --- of other programs


async def test_a_tree_without_a_list(back: Move, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path, octets in {
        "one.eml": b"Date: Mon, 1 Jan 2024 10:00:00 +0000\n\nbody\n.dot",
        "Inbox/two.EML": b"Subject: 2\r\n\r\nbody\r\nbare\nend\r\n",
        "Work/2024/three.eml": b"no header",
        "Work/empty.eml": b"",
        "readme.txt": b"x",
        ".hidden/four.eml": b"Subject: 4\n",
        "Work/._three.eml": b"what macOS puts there",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(octets)
        os.utime(tree / path, (1_600_000_000,) * 2)
    (tree / "link.eml").symlink_to(tmp_path / "secret")
    (tree / "folder.eml").mkdir()
    (tree / "loop").symlink_to(tree)
    report = await back.eml(tree)
    assert (report.total, report.letters, report.lost) == (6, 4, 3)
    assert sorted(str(one).removeprefix(f"{tree}").strip("/, :") for one in back.complaints) == [
        "1 files in it are no .eml, and passed over",
        "folder.eml: cannot be read: this is no file",
        "link.eml: cannot be read: Too many levels of symbolic links",
        "loop: cannot be read: Too many levels of symbolic links",
    ]
    assert [folder.name for folder in await back.mailbox.folders()] == [INBOX, "Work/2024", "Work"]
    inbox = await facts(back.mailbox)
    assert [(octets, date) for _, octets, date, _ in inbox] == [
        (b"Subject: 2\r\n\r\nbody\r\nbare\nend\r\n", 1_600_000_000.0),
        (b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\nbody\r\n.dot\r\n", 1_704_103_200.0),
    ]
    assert list((await letters(back.mailbox, "Work/2024")).values()) == [b"no header\r\n"]


async def test_a_folder_removed_of_another_program_is_no_waste_basket(back: Move, tmp_path: Path) -> None:
    """What lies in a folder of that name here is let go, and not looked at when letters are compared."""
    (tmp_path / "tree" / REMOVED).mkdir(parents=True)
    (tmp_path / "tree" / REMOVED / "1.eml").write_bytes(b"Subject: kept\r\n\r\n")
    for new in (1, 0):
        report = await back.eml(tmp_path / "tree")
        assert (report.letters, report.known) == (new, 1 - new)
    assert [folder.name for folder in await back.mailbox.folders()] == [INBOX, "Removed letters"]
    assert list((await letters(back.mailbox, "Removed letters")).values()) == [b"Subject: kept\r\n\r\n"]


async def test_a_file_that_was_changed_is_taken_as_it_is_now_and_told(move: Move, back: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS[3:7])
    out = tmp_path / "out"
    await move.to_eml(out)
    longer, same, gone, _ = sorted((out / INBOX).iterdir(), key=lambda path: path.stat().st_size)
    longer.write_bytes(longer.read_bytes() + b"more\n")
    same.write_bytes(same.read_bytes().replace(b"o", b"0"))
    gone.unlink()
    (out / INBOX / "new.eml").write_bytes(b"Subject: new\n")
    report = await back.eml(out)
    assert (report.letters, report.lost) == (4, 1)
    said = [one.what for one in back.complaints]
    assert sorted(said) == ["is not what was written there; it is taken as it is now"] * 2 + [
        "stands in the list and is not there"
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b'{"postoffice": "letters", "version": 1, "form": "eml"}\n', "not whole"),
        (b'{"postoffice": "letters", "version": 1}\n[]\n{"file": 1}\n\xff{\n' + b"[" * 200_000, "understood"),
        (b'{"postoffice": "letters", "version": 1}\n{"file": "../../x.eml", "folder": "x", "octets": 1}', "understood"),
        (
            b'{"postoffice": "letters", "version": 1}\n{"file": "x.eml", "folder": "x", "octets": 1, "received": 1e300,'
            b'"sha256": "' + b"0" * 64 + b'"}\n',
            "understood",
        ),
        (b"not ours", ""),
        (b'{"other": "program"}\n', ""),
        (b"", ""),
    ],
)
async def test_a_list_that_says_nothing_costs_no_letter(back: Move, tmp_path: Path, lines: bytes, said: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.eml").write_bytes(b"Subject: x\n")
    (tmp_path / "in" / "index.jsonl").write_bytes(lines)
    report = await back.eml(tmp_path / "in")
    assert (report.letters, report.lost) == (1, 0)
    assert any(said in str(one) for one in back.complaints) or not said


async def test_a_list_of_a_newer_version_is_one_sentence(back: Move, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "index.jsonl").write_bytes(b'{"postoffice": "letters", "version": 2}\n')
    with pytest.raises(DamagedStore, match="newer version"):
        await back.eml(tmp_path / "in")


@settings(max_examples=50)
@given(
    st.text(max_size=50),
    st.text(max_size=50),
    st.floats(-2e11, 2e11),
    st.integers(0, 31),
    st.text(max_size=70),
)
def test_a_line_comes_back(file: str, folder: str, received: float, flags: int, unique_id: str) -> None:
    from postoffice.store.model import Entry

    entry = Entry(1, 1, "e", unique_id, 3, 3, False, Flag(flags), 1, received, 0.0, b"", b"")
    lines = (
        catalogue.first_line("eml") + catalogue.letter_line(file, folder, entry, 3, b"x" * 32) + catalogue.last_line(1)
    )
    found = catalogue.read(iter((lines[:20], lines[20:])), "x")
    assert found is not None
    [one] = found.letters.values()
    if unicodedata.is_normalized("NFC", file) and file.isprintable():
        assert one.file == file
    assert (one.received, one.flags, one.octets, one.sha256) == (received, Flag(flags), 3, b"x" * 32)
    assert found.complaints == []


async def test_where_the_kernel_has_no_call_for_all_files_each_is_synced(
    move: Move, back: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_out, "_can_sync_file_system", lambda: False)
    synced: set[int] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    await fill_folders(move)
    await move.to_eml(tmp_path / "out")
    made = {path.stat().st_ino for path in ((tmp_path / "out"), *(tmp_path / "out").rglob("*"))}
    assert made <= synced
    assert (await back.eml(tmp_path / "out")).letters == 30
