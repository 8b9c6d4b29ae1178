"""A letter goes from the server when it is whole in a copy of the mailbox file, and not when it only seems to be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from postoffice.client.collect import Options, Report, collect
from postoffice.client.rules import WhenCopied
from postoffice.client.url import Source
from postoffice.errors import DamagedStore, UsageError
from postoffice.home.copies import must_be_another, whole_in
from postoffice.store.embedded import MailboxFile
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

ONE, TWO = b"Subject: 1\r\n\r\n..\r\n", b"Subject: 2\r\n\r\n"
LARGE = b"Subject: 3\r\n\r\n" + b"a long line\r\n" * 60_000


async def pull(port: int, file: Path, copy: Path) -> Report:
    mailbox = MailboxFile.open(file, create=True)
    try:
        options = Options(PASSWORD, rules=(WhenCopied(copy),), whole_in=whole_in)
        return await collect(Source("127.0.0.1", port, USER), mailbox, options)
    finally:
        await mailbox.close()


async def test_what_is_copied_may_go(tmp_path: Path) -> None:
    file, copy = tmp_path / "home.mailbox", tmp_path / "copy.mailbox"
    peer = Pop3Peer({"1": ONE, "3": LARGE})
    async with peer.listening() as port:
        assert (await pull(port, file, copy)).deleted == 0, "a disk that is not there now is no copy"
        shutil.copy(file, copy)
        peer.letters["2"] = TWO
        report = await pull(port, file, copy)
    assert (report.letters, report.deleted, list(peer.letters)) == (1, 2, ["2"])


async def test_what_is_damaged_in_the_copy_stays(tmp_path: Path) -> None:
    file, copy = tmp_path / "home.mailbox", tmp_path / "copy.mailbox"
    peer = Pop3Peer({"1": ONE, "3": LARGE})
    async with peer.listening() as port:
        await pull(port, file, copy)
        octets = file.read_bytes()
        at = octets.rindex(b"a long line")
        copy.write_bytes(octets[:at] + b"A long line" + octets[at + 11 :])
        assert (await pull(port, file, copy)).deleted == 1
        assert list(peer.letters) == ["3"]
        copy.write_bytes(b"no mailbox at all" * 1000)
        with pytest.raises(DamagedStore):
            await pull(port, file, copy)
    assert list(peer.letters) == ["3"]


def test_a_mailbox_file_is_no_copy_of_itself_by_whatever_name(tmp_path: Path) -> None:
    file, link, other = tmp_path / "home.mailbox", tmp_path / "link", tmp_path / "copy.mailbox"
    link.symlink_to(file)
    for exists in (False, True):
        if exists:
            file.touch()
            (tmp_path / "hard").hardlink_to(file)
            with pytest.raises(UsageError, match="no copy of it"):
                must_be_another([WhenCopied(tmp_path / "hard")], file)
        for name in (file, link):
            with pytest.raises(UsageError, match="no copy of it"):
                must_be_another([WhenCopied(name)], file)
        must_be_another([WhenCopied(other)], file)
