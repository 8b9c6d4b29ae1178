"""What Thunderbird keeps comes in with its folders and flags, and without what it wrote into the letters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postoffice.errors import UsageError
from postoffice.moving.profiles import find_profile
from postoffice.store.model import INBOX, NO_FLAGS, Flag

from .conftest import Move, letters
from .test_export import facts

LINE = b"From - Mon Jan  1 10:00:00 2024\n"


def noted(number: int, status: int = 0, more: int = 0, keys: str = "", line: bytes = LINE) -> bytes:
    """A letter as it lies there."""
    return (
        line
        + f"X-Account-Key: account1\nX-UIDL: id-{number}\nX-Mozilla-Status: {status:04x}\n".encode()
        + f"X-Mozilla-Status2: {more:08x}\nX-Mozilla-Keys: {keys:<80}\n".encode()
        + f"Subject: {number}\nDate: Tue, 2 Jan 2024 10:00:00 +0000\n\n>From here\n\n".encode()
    )


def plain(number: int) -> bytes:
    return f"Subject: {number}\r\nDate: Tue, 2 Jan 2024 10:00:00 +0000\r\n\r\nFrom here\r\n".encode()


def alone(number: int) -> bytes:
    """One from a file of its own, where nothing is quoted."""
    return plain(number).replace(b"From here\r\n", b">From here\r\n\r\n")


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for path, octets in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(octets)
    return root


ACCOUNT = {
    "Inbox": noted(1) + noted(2, 0x1) + noted(3, 0x8) + noted(4, 0x3) + noted(5, 0x4 | 0x1000) + noted(6, 0, 0x20_0000),
    "Inbox.msf": b'// <!-- <mdb:mork:z v="1.4"/> -->',
    "Inbox.sbd/Projects": noted(7),
    "Inbox.sbd/Projects.msf": b"",
    "Inbox.sbd/Projects.sbd/2024.archive": noted(8) + noted(9, 0x400),
    "Sent": noted(10, 0x1, keys="$label1"),
    "Trash": b"",
    "Templates.msf": b"",
    "popstate.dat": b"# POP3 State File\n",
    "msgFilterRules.dat": b'version="9"\n',
    "Kept/cur/1700000001000.eml": noted(11, 0x1, line=b""),
    "Kept/cur/1700000002000.eml": noted(12, 0x9),
    "Kept/tmp/.keep": b"",
    "Kept.sbd/Deep/cur/1.eml": noted(13),
    "Kept.sbd/Deep/tmp/x": b"",
}


async def folders(move: Move) -> dict[str, list[bytes]]:
    return {one.name: list((await letters(move.mailbox, one.name)).values()) for one in await move.mailbox.folders()}


async def test_an_account(move: Move, tmp_path: Path) -> None:
    report = await move.thunderbird(tree(tmp_path / "pop.example.org", ACCOUNT))
    assert (report.letters, report.lost) == (11, 0)
    assert await folders(move) == {
        INBOX: [plain(number) for number in (1, 2, 4, 5, 6)],
        "INBOX/Projects": [plain(7)],
        "INBOX/Projects/2024.archive": [plain(8), plain(9)],
        "Kept": [alone(11)],
        "Kept/Deep": [alone(13)],
        "Sent": [plain(10)],
    }
    assert [(unique_id, flags, date) for unique_id, _, date, flags in await facts(move.mailbox)] == [
        ("id-1", NO_FLAGS, 1_704_189_600.0),
        ("id-2", Flag.SEEN, 1_704_189_600.0),
        ("id-4", Flag.SEEN | Flag.ANSWERED, 1_704_189_600.0),
        ("id-5", Flag.FLAGGED, 1_704_189_600.0),
        ("id-6", Flag.DELETED, 1_704_189_600.0),
    ]
    assert [one[2:] for one in await facts(move.mailbox, "Kept")] == [(1_704_189_600.0, Flag.SEEN)]
    said = [one.what for one in move.complaints]
    assert len(said) == 3
    assert sum("passed over" in one for one in said) == 2
    assert sum("not pulled as a whole" in one for one in said) == 1
    report = await move.thunderbird(tmp_path / "pop.example.org")
    assert (report.letters, report.known) == (0, 11)


async def test_a_folder_that_was_compacted_meanwhile_doubles_nothing(move: Move, tmp_path: Path) -> None:
    root = tree(tmp_path / "pop.example.org", ACCOUNT)
    await move.thunderbird(root)
    (root / "Inbox").write_bytes(noted(6, 0x1) + noted(1, 0x1) + noted(99))
    report = await move.thunderbird(root)
    assert (report.letters, report.known) == (1, 8)


@pytest.mark.parametrize("name", ["profile", "profile/Mail"])
async def test_a_profile_with_one_account_that_has_letters(move: Move, tmp_path: Path, name: str) -> None:
    files = {f"profile/Mail/pop.example.org/{path}": octets for path, octets in ACCOUNT.items()}
    files |= {
        "profile/prefs.js": b"",
        "profile/Mail/pop.example.org.msf": b"",
        "profile/Mail/Local Folders/Trash": b"",
        "profile/Mail/smart mailboxes/Inbox": noted(1),
        "profile/Mail/Feeds/feeds.json": b"[]",
        "profile/Mail/Feeds/News": noted(50),
    }
    tree(tmp_path, files)
    report = await move.thunderbird(tmp_path / name)
    assert report.letters == 11
    assert next(iter(await folders(move))) == INBOX
    assert sum("news feeds" in one.what for one in move.complaints) == 1


async def test_several_accounts_are_folders_around_their_own(move: Move, tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "Mail/pop.a.example/Inbox": noted(1),
            "Mail/Local Folders/Archives.sbd/2024": noted(2),
            "ImapMail/imap.b.example/INBOX": noted(3),
            "ImapMail/imap.b.example/INBOX.sbd/x": noted(4),
        },
    )
    assert (await move.thunderbird(tmp_path)).letters == 4
    assert await folders(move) == {
        INBOX: [],
        "Local Folders/Archives/2024": [plain(2)],
        "pop.a.example/INBOX": [plain(1)],
        "imap.b.example/INBOX": [plain(3)],
        "imap.b.example/INBOX/x": [plain(4)],
    }


async def test_what_holds_no_letters_is_one_sentence(move: Move, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no letters of Thunderbird") as raised:
        await move.thunderbird(tmp_path / "empty")
    assert raised.value.status == os.EX_DATAERR


async def test_no_link_is_followed(move: Move, tmp_path: Path) -> None:
    root = tree(tmp_path / "in", {"Inbox": noted(1)})
    (tmp_path / "secret").write_bytes(noted(2))
    (root / "Other").symlink_to(tmp_path / "secret")
    (root / "Inbox.sbd").symlink_to(root)
    assert (await move.thunderbird(root)).letters == 1


# --- which profile

INI = """[Profile1]
Name=old
IsRelative=1
Path=old.default

[Profile0]
Name=release
IsRelative=1
Path={path}
Default=1

[General]
StartWithLastProfile=1
"""


@pytest.mark.parametrize("place", [".thunderbird", "snap/thunderbird/common/.thunderbird"])
def test_the_profile_is_found(tmp_path: Path, place: str) -> None:
    root = tmp_path / place
    tree(
        root,
        {
            "abc.default/Mail/x/Inbox": b"",
            "old.default/Mail/x/Inbox": b"",
            "profiles.ini": INI.format(path="abc.default").encode(),
        },
    )
    assert find_profile(tmp_path) == root / "abc.default"
    text = INI.format(path="abc.default") + "\n[InstallFDC34C9F024745EB]\nDefault=old.default\nLocked=1\n"
    (root / "profiles.ini").write_text(text)
    assert find_profile(tmp_path) == root / "old.default"


def test_several_profiles_are_named(tmp_path: Path) -> None:
    for place in (".thunderbird", ".icedove"):
        tree(tmp_path / place, {"a/Mail/x": b"", "profiles.ini": INI.format(path="a").encode()})
    with pytest.raises(UsageError, match="several profiles") as raised:
        find_profile(tmp_path)
    assert ".icedove/a" in str(raised.value)


@pytest.mark.parametrize("octets", [None, b"", b"\xff\xfe[Profile0", b"[Profile0]\nPath=gone\n", b"[Profile0]\n"])
def test_no_profile_is_one_sentence(tmp_path: Path, octets: bytes | None) -> None:
    if octets is not None:
        tree(tmp_path / ".thunderbird", {"profiles.ini": octets})
    with pytest.raises(UsageError, match="no profile") as raised:
        find_profile(tmp_path)
    assert raised.value.status == os.EX_NOINPUT
