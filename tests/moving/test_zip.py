"""A zip from anywhere: what it hides, hurts with or calls by odd names is told, and the rest comes."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import pytest

from postoffice.errors import UsageError
from postoffice.moving import zipped
from postoffice.moving.taking import Witness
from postoffice.moving.to_zip import to_zip
from postoffice.store.model import INBOX

from .conftest import Move, letters
from .test_export import LETTERS, fill

LETTER = b"Subject: x\r\n\r\n"


def made(path: Path, members: dict[str, bytes], **how: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, octets in members.items():
            archive.writestr(name, octets, **how)
    return path


async def folders(move: Move) -> dict[str, list[bytes]]:
    names = [folder.name for folder in await move.mailbox.folders()]
    return {name: found for name in names if (found := list((await letters(move.mailbox, name)).values()))}


async def test_names_lead_nowhere_but_to_folders(move: Move, tmp_path: Path) -> None:
    names = (
        "a.eml",
        "../../b.eml",
        "/etc/c.eml",
        "C:\\d\\e.eml",
        "x/./../f.EML",
        "x/",
        "inbox/g.eml",
        "__MACOSX/._a.eml",
    )
    path = made(tmp_path / "in", {name: name.encode() + b"\r\n" for name in names})
    report = await move.zip(path)
    assert (report.letters, report.lost, move.complaints) == (6, 0, [])
    assert await folders(move) == {
        INBOX: [b"../../b.eml\r\n", b"a.eml\r\n", b"inbox/g.eml\r\n"],
        "etc": [b"/etc/c.eml\r\n"],
        "C:/d": [b"C:\\d\\e.eml\r\n"],
        "x": [b"x/./../f.EML\r\n"],
    }


async def test_names_in_other_charsets(move: Move, tmp_path: Path) -> None:
    path = tmp_path / "in"
    raw = {b"\x84/1.eml": b"1\r\n", "công nợ/2.eml".encode(): b"2\r\n"}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, octets in raw.items():
            archive.writestr(octets.decode()[0] * len(name), octets)
        told = zipfile.ZipInfo("?.eml")
        name = "発/3.eml".encode()
        told.extra = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, 0) + name
        archive.writestr(told, b"3\r\n")
    octets = data.getvalue()
    for name in raw:
        octets = octets.replace(raw[name][:1] * len(name), name)
    path.write_bytes(octets)
    assert (await move.zip(path)).letters == 3
    assert set(await folders(move)) == {"ä", "công nợ", "発"}


async def test_two_members_of_one_name_are_two_letters(move: Move, tmp_path: Path) -> None:
    path = tmp_path / "in"
    made(path, {"a.eml": b"1\r\n", "b.eml": b"2\r\n"})
    path.write_bytes(path.read_bytes().replace(b"b.eml", b"a.eml"))
    assert (await move.zip(path)).letters == 2


async def test_what_is_encrypted_damaged_or_packed_otherwise_is_told(move: Move, tmp_path: Path) -> None:
    path = made(
        tmp_path / "in", {"a.eml": LETTER, "good.eml": LETTER, "z.eml": b"y" * 1000, "other.eml": b"w\r\n" * 99}
    )
    octets = bytearray(path.read_bytes())
    central = octets.index(b"PK\x01\x02")
    octets[central + 8] |= 1  # the first one says that it is encrypted
    at = octets.index(b"y" * 1000)
    octets[at + 500] = 0
    octets[octets.index(b"other.eml", central) - 46 + 10] = 12  # bzip2
    path.write_bytes(octets)
    report = await move.zip(path)
    assert (report.letters, report.lost) == (1, 3)
    assert sorted(one.what for one in move.complaints) == [
        "cannot be read: is damaged: Bad CRC-32 for file 'z.eml'",
        "cannot be read: is packed in a way that is not known here",
        "is encrypted; unpack it first",
    ]


async def test_a_bomb_is_no_letter(move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "GROWN_OCTETS", 1 << 20)
    path = made(
        tmp_path / "in",
        {"bomb.eml": bytes(10 << 20), "large.eml": b"line\r\n" * 100_000, "good.eml": LETTER},
        compress_type=zipfile.ZIP_DEFLATED,
    )
    report = await move.zip(path)
    assert (report.letters, report.lost) == (2, 1)
    assert "as no letter does" in str(move.complaints[0])


async def test_a_member_that_says_less_than_it_has_gives_no_more(move: Move, tmp_path: Path) -> None:
    path = made(tmp_path / "in", {"a.eml": bytes(5 << 20)}, compress_type=zipfile.ZIP_DEFLATED)
    octets = bytearray(path.read_bytes())
    central = octets.index(b"PK\x01\x02")
    octets[central + 24 : central + 28] = struct.pack("<I", 1000)
    path.write_bytes(octets)
    report = await move.zip(path)
    assert (report.letters, report.lost) == (0, 1)


def test_members_that_share_octets_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "in", {f"{number}.eml": b"x" * 100 for number in range(3)})
    octets = bytearray(path.read_bytes())
    central = octets.index(b"PK\x01\x02")
    after = octets.index(b"PK\x01\x02", central + 4)
    octets[after + 42 : after + 46] = struct.pack("<I", 0)
    path.write_bytes(octets)
    with pytest.raises(UsageError, match="share octets") as raised:
        zipped.ZipFiles(path)
    assert raised.value.status == os.EX_DATAERR


def test_a_list_of_members_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "DIRECTORY_OCTETS", 100)
    path = made(tmp_path / "in", {f"{number}.eml": b"" for number in range(3)})
    with pytest.raises(UsageError, match="list of members"):
        zipped.ZipFiles(path)


@pytest.mark.parametrize(
    "octets", [b"", b"PK", b"no zip" * 100, b"PK\x05\x06" + b"\xff" * 18, b"PK\x05\x06" + b"\0" * 10]
)
def test_what_is_no_zip_is_one_sentence(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "in").write_bytes(octets)
    with pytest.raises(UsageError, match=r"no zip|list of members") as raised:
        zipped.ZipFiles(tmp_path / "in")
    assert raised.value.status == os.EX_DATAERR


@pytest.mark.parametrize("at", range(0, 400, 7))
async def test_a_zip_with_a_flipped_bit_loses_at_most_what_is_told(tmp_path: Path, move: Move, at: int) -> None:
    path = made(tmp_path / "in", {"a.eml": LETTER * 3, "b/c.eml": LETTER * 9}, compress_type=zipfile.ZIP_DEFLATED)
    octets = bytearray(path.read_bytes())
    octets[at % len(octets)] ^= 1 << at % 8
    path.write_bytes(octets)
    try:
        report = await move.zip(path)
    except UsageError as error:
        assert error.status == os.EX_DATAERR  # noqa: PT017
    else:
        assert all(one in (LETTER * 3, LETTER * 9) for found in (await folders(move)).values() for one in found)
        assert report.letters + report.lost + len(move.complaints) >= 2


async def test_a_zip_of_ours_that_was_put_into_a_folder_is_still_ours(move: Move, back: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS[3:5])
    await move.to_zip(tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out") as ours, zipfile.ZipFile(tmp_path / "in", "w") as again:
        for member in ours.infolist():
            again.writestr(f"mail/{member.filename}", ours.read(member))
    assert (await back.zip(tmp_path / "in")).letters == 2
    assert list(await folders(back)) == [INBOX]
    assert list(await letters(back.mailbox)) == list(await letters(move.mailbox))


async def test_a_zip_goes_through_a_pipe(move: Move, tmp_path: Path) -> None:
    await fill(move.mailbox, LETTERS)

    class Pipe:
        octets = b""

        def write(self, octets: bytes, /) -> int:
            self.octets += octets
            return len(octets)

        def flush(self) -> None:
            pass

    pipe = Pipe()
    await to_zip(move.mailbox, pipe, Witness(move.complaints.append, lambda _: None))
    with zipfile.ZipFile(io.BytesIO(pipe.octets)) as archive:
        assert archive.testzip() is None
        found = [archive.read(name) for name in archive.namelist() if name.endswith(".eml")]
    assert found == list((await letters(move.mailbox)).values())
