"""What a letter brings is saved under names that are safe, over nothing, as a whole, in bounded memory."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.home.conftest import Fill

from postoffice.errors import UsageError
from postoffice.home.letters import find
from postoffice.home.saving import Saved, save_attachments, save_letter
from postoffice.protocols.dots import Stuffer
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter

PDF = b"%PDF-1.7\r\n" + bytes(range(256)) * 40


def attached(name: str, content: bytes, kind: str = "application/pdf", encoding: str = "base64") -> bytes:
    octets = base64.encodebytes(content).replace(b"\n", b"\r\n") if encoding == "base64" else content
    head = f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
    return f"{head}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + octets


def letter(*parts: bytes) -> bytes:
    head = b"From: An <an@a.example>\r\nSubject: =?utf-8?q?c=C3=B4ng_n=E1=BB=A3?=\r\nMessage-ID: <1@a>\r\n"
    body = b"".join(b"--x\r\n" + part + b"\r\n" for part in (b"Content-Type: text/plain\r\n\r\nhello", *parts))
    return head + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + body + b"--x--\r\n"


async def saved(path: Path, folder: Path, *numbers: int) -> list[Saved]:
    mailbox = MailboxFile.open(path, sweeps=False)
    try:
        return await save_attachments(mailbox, (await find(mailbox, 1)).key, folder, numbers)
    finally:
        await mailbox.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    return folder


async def test_octets_names_and_rights(fill: Fill, folder: Path) -> None:
    path = await fill([letter(attached("report.pdf", PDF), attached("a.txt", b"x =\r\n", "text/plain", "8bit"))])
    first, second = await saved(path, folder)
    assert (first.number, first.path, first.octets) == (1, folder / "report.pdf", len(PDF))
    assert first.path.read_bytes() == PDF
    assert second.path.read_bytes() == b"x =\r\n"
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert sorted(folder.iterdir()) == [folder / "a.txt", folder / "report.pdf"]


async def test_nothing_is_written_over(fill: Fill, folder: Path) -> None:
    path = await fill([letter(attached("report.pdf", PDF), attached("report.pdf", b"%PDF-2"))])
    (folder / "report.pdf").write_text("mine")
    (folder / "report (2).pdf").symlink_to("/nonexistent")
    assert [one.path.name for one in await saved(path, folder)] == ["report (3).pdf", "report (4).pdf"]
    assert (folder / "report.pdf").read_text() == "mine"
    assert (folder / "report (3).pdf").read_bytes() == PDF


async def test_only_the_numbers_that_are_asked_for_in_their_order(fill: Fill, folder: Path) -> None:
    path = await fill([letter(*(attached(f"{name}.pdf", PDF) for name in "abc"))])
    assert [one.path.name for one in await saved(path, folder, 3, 1, 3)] == ["c.pdf", "a.pdf"]
    with pytest.raises(UsageError, match="there is no attachment 4; there is 1 to 3"):
        await saved(path, folder, 2, 4)
    assert not (folder / "b.pdf").exists()


async def test_a_letter_in_a_letter_is_saved_with_what_is_in_it(fill: Fill, folder: Path) -> None:
    inner = letter(attached("deep.pdf", PDF)).replace(b"boundary=x", b"boundary=y").replace(b"--x", b"--y")
    path = await fill([letter(b"Content-Type: message/rfc822\r\n\r\n" + inner)])
    one, other = await saved(path, folder)
    assert (one.path.name, other.path.name) == ("attachment-1.eml", "deep.pdf")
    assert one.path.read_bytes() == inner
    assert other.path.read_bytes() == PDF


async def test_the_letter_itself_octet_for_octet(fill: Fill, folder: Path) -> None:
    octets = letter(attached("report.pdf", PDF)) + b".\r\n..\r\n"
    path = await fill([octets])
    mailbox = MailboxFile.open(path, sweeps=False)
    one = await save_letter(mailbox, (await find(mailbox, 1)).key, folder, 1)
    await mailbox.close()
    assert one.path == folder / "công nợ.eml"
    assert one.path.read_bytes() == octets


async def test_where_it_came_from_is_noted_if_the_file_system_keeps_that(fill: Fill, folder: Path) -> None:
    try:
        os.setxattr(folder, "user.test", b"x")
    except OSError:
        pytest.skip("this file system keeps no attributes")
    [one] = await saved(await fill([letter(attached("report.pdf", PDF))]), folder)
    assert os.getxattr(one.path, "user.xdg.origin.email.from") == b"An <an@a.example>"
    assert os.getxattr(one.path, "user.xdg.origin.email.message-id") == b"<1@a>"


async def test_a_folder_that_is_not_there_and_one_that_may_not_be_written(fill: Fill, tmp_path: Path) -> None:
    path = await fill([letter(attached("report.pdf", PDF))])
    with pytest.raises(UsageError, match="there is no such folder"):
        await saved(path, tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be written"):
        await saved(path, Path("/proc/self"))


async def test_nothing_is_left_of_what_could_not_be_written(
    fill: Fill, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await fill([letter(attached("a.pdf", PDF), attached("b.pdf", PDF))])
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device") as refused:
        await saved(path, folder)
    assert refused.value.status == os.EX_CANTCREAT
    assert [one.name for one in folder.iterdir()] == ["a.pdf"]


CHILD = """
import asyncio, os, sys
from pathlib import Path
from postoffice.home.letters import find
from postoffice.home.saving import save_attachments
from postoffice.store.embedded import MailboxFile
from postoffice.testing.process import resident_peak

async def main():
    mailbox = MailboxFile.open(Path(sys.argv[1]), sweeps=False)
    [one] = await save_attachments(mailbox, (await find(mailbox, 1)).key, Path(sys.argv[2]))
    await mailbox.close()
    print(one.octets, resident_peak(os.getpid()))

asyncio.run(main())
"""


MEBIBYTE = 1024 * 1024
LINE = base64.b64encode(b".\x00" * 28 + b"x") + b"\r\n"
BLOCKS = {
    "base64": (LINE * (MEBIBYTE // len(LINE)), 57 * (MEBIBYTE // len(LINE))),
    "Base64": (b"QUJD" * (MEBIBYTE // 4), 3 * MEBIBYTE // 4),
    "quoted-printable": (b"=41" * (MEBIBYTE // 3), MEBIBYTE // 3),
    "x-uuencode": (b"M" * MEBIBYTE, 0),
    "8bit": (b"x" * MEBIBYTE, MEBIBYTE),
}
"""A MiB of a file in each encoding, with how much it is decoded. Only the first one has lines."""


@pytest.mark.parametrize(
    ("encoding", "mebibytes"),
    [*((encoding, 30) for encoding in BLOCKS), pytest.param("base64", 1024, marks=pytest.mark.slow)],
)
async def test_a_large_attachment_takes_little_memory(
    tmp_path: Path, folder: Path, encoding: str, mebibytes: int
) -> None:
    path = tmp_path / "large.mailbox"
    mailbox = MailboxFile.open(path, create=True)
    stage, stuffer = await mailbox.stage(), Stuffer()
    head = letter(attached("../big.sh", b"", "application/x-big", encoding))[: -len(b"\r\n--x--\r\n")]
    await stage.write(stuffer.feed(head))
    block, decoded = BLOCKS[encoding]
    for _ in range(mebibytes):
        await stage.write(stuffer.feed(block))
    await stage.write(stuffer.feed(b"\r\n--x--\r\n") + stuffer.end())
    await mailbox.append([Letter(await stage.finish(), 0.0)])
    await mailbox.close()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, folder], capture_output=True, text=True, timeout=600, check=True
    )
    octets, peak = map(int, done.stdout.split())
    assert octets == decoded * mebibytes
    assert peak < 80 * MEBIBYTE
    [file] = folder.iterdir()
    assert (file.name, file.stat().st_size, file.stat().st_mode & 0o777) == ("big.sh", octets, 0o600)
