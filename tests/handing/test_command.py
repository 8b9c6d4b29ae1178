"""Letters go to a command, and what it says about each is believed."""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import closing
from pathlib import Path

import pytest
from tests.handing.conftest import LETTERS, Spool, as_sent
from tests.handing.test_mbox import email_ids

from postoffice.errors import Refused
from postoffice.handing.command import CommandHand
from postoffice.handing.journal import Journal
from postoffice.handing.round import Doubtful
from postoffice.handing.way import hand_over
from postoffice.store.embedded import MailboxFile


def keeping(folder: Path) -> str:
    """A command that keeps each letter in a file of its own."""
    folder.mkdir()
    return f'command:cat > "{folder}/$POSTOFFICE_LETTER_ID"'


async def test_each_letter_is_what_a_command_reads(spool: Spool, tmp_path: Path) -> None:
    await spool.put(*LETTERS)
    names = await email_ids(spool)
    handed = await spool.hand_over(keeping(tmp_path / "kept"))
    assert (handed.letters, handed.status) == (len(LETTERS), 0)
    assert as_sent([file.read_bytes() for file in (tmp_path / "kept").iterdir()]) == sorted(LETTERS)
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == sorted(names)
    assert (await spool.left(), await spool.remembered()) == (0, len(LETTERS))


async def test_a_command_reads_a_whole_file_and_no_pipe(spool: Spool, tmp_path: Path) -> None:
    """Whoever dies while it reads cannot make it take a part for the whole."""
    await spool.put(LETTERS[2])
    await spool.hand_over(f'command:stat -L -c "%f %s" /dev/stdin > {tmp_path}/facts')
    mode, size = (tmp_path / "facts").read_text().split()
    assert stat.S_ISREG(int(mode, 16))
    assert int(size) == len(LETTERS[2].replace(b"\r\n", b"\n"))


async def test_one_that_does_not_read_its_letter_has_it_all_the_same(spool: Spool) -> None:
    await spool.put(LETTERS[2])
    assert (await spool.hand_over("command:true")).letters == 1


@pytest.mark.parametrize(
    ("ends", "status"),
    [("exit 75", os.EX_TEMPFAIL), ("exit 1", os.EX_TEMPFAIL), ("exit 65", 69), ("exit 69", 69), ("kill -9 $$", 75)],
)
async def test_what_a_command_does_not_take_stays_and_is_tried_again(
    spool: Spool, tmp_path: Path, ends: str, status: int
) -> None:
    await spool.put(*LETTERS[:3])
    first = (await email_ids(spool))[0]
    text = f'command:test "$POSTOFFICE_LETTER_ID" != {first} || {{ echo "\x1b[31mno" >&2; {ends}; }}'
    handed = await spool.hand_over(text)
    assert (handed.letters, handed.declined, handed.status) == (2, 1, status)
    assert await spool.left() == 1
    [told] = spool.told("declined")
    assert told["letter"] == first
    assert str(told["because"]).endswith(": \N{REPLACEMENT CHARACTER}[31mno")
    assert (await spool.hand_over(text)).declined == 1
    assert spool.told("in_doubt") == []  # it said that it has not got it
    assert (await spool.hand_over("command:true")).letters == 1


async def test_a_command_that_is_not_there_is_asked_once(spool: Spool) -> None:
    await spool.put(*LETTERS)
    with pytest.raises(Refused, match="status 127") as caught:
        await spool.hand_over("command:/nowhere/procmail -d bob")
    assert caught.value.status == os.EX_UNAVAILABLE
    assert await spool.left() == len(LETTERS)
    assert spool.told("declined") == []


async def test_a_command_that_takes_too_long_is_ended_with_all_that_it_began(spool: Spool, tmp_path: Path) -> None:
    await spool.put(LETTERS[0])
    mailbox = MailboxFile.open(spool.file)
    hand = CommandHand(f"sleep 1000 & echo $! > {tmp_path}/child; wait", tmp_path, seconds=0.5)
    with closing(Journal(spool.file.with_suffix(".journal"))) as journal:
        handed = await hand_over(mailbox, hand, journal)
    await mailbox.close()
    assert (handed.declined, handed.status) == (1, os.EX_TEMPFAIL)
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "status")
    assert not child.exists() or "State:\tZ" in child.read_text()
    handed = await spool.hand_over(keeping(tmp_path / "kept"))
    assert (handed.letters, handed.doubtful) == (1, 1)  # it may have done its work before that


@pytest.mark.parametrize("status", [0, 75])
async def test_who_is_stopped_waits_for_the_command_that_runs(spool: Spool, tmp_path: Path, status: int) -> None:
    await spool.put(*LETTERS[:2])
    for name in ("begun", "goes on"):
        os.mkfifo(tmp_path / name)
    text = f'command:echo > {tmp_path}/begun; read go < "{tmp_path}/goes on"; exit {status}'
    run = asyncio.create_task(spool.hand_over(text))
    await asyncio.to_thread((tmp_path / "begun").read_bytes)
    run.cancel()
    await asyncio.to_thread((tmp_path / "goes on").write_text, "\n")
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await spool.left() == (1 if status == 0 else 2)
    assert (await spool.hand_over("command:true")).doubtful == 0


@pytest.mark.parametrize("doubtful", Doubtful)
async def test_who_died_while_a_command_ran_leaves_a_letter_in_doubt(
    spool: Spool, tmp_path: Path, doubtful: Doubtful
) -> None:
    await spool.put(*LETTERS[:3])
    names = await email_ids(spool)
    with closing(Journal(spool.file.with_suffix(".journal"))) as journal:
        journal.begin(names[1:2])
    text = f'command:echo "$POSTOFFICE_LETTER_ID $POSTOFFICE_DOUBTFUL" >> {tmp_path}/log'
    handed = await spool.hand_over(text, doubtful)
    assert [facts["letter"] for facts in spool.told("in_doubt")] == [names[1]]
    log = (tmp_path / "log").read_text().splitlines()
    if doubtful is Doubtful.AGAIN:
        assert log == [f"{names[0]} ", f"{names[1]} 1", f"{names[2]} "]
        assert (handed.letters, handed.doubtful, handed.held, handed.status) == (3, 1, 0, 0)
        return
    assert log == [f"{names[0]} ", f"{names[2]} "]
    assert (handed.letters, handed.held, handed.status) == (2, 1, os.EX_TEMPFAIL)
    await spool.put(LETTERS[3])  # others go on, and it is told in every run
    assert (await spool.hand_over(text, doubtful)).held == 1
    assert (await spool.hand_over(text)).letters == 1
    assert await spool.left() == 0


async def test_nothing_of_a_letter_is_for_the_shell(spool: Spool, tmp_path: Path) -> None:
    evil = b"Return-Path: <$(touch /tmp/x)@a.example>\r\nSubject: `touch x`; touch x\r\n\r\n$(touch x)\r\n"
    await spool.put(evil)
    await spool.hand_over(f"command:cd {tmp_path} && cat > got && env > environment && echo $0 $* > arguments")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arguments", "environment", "got", "spool"]
    assert b"touch" not in (tmp_path / "environment").read_bytes() + (tmp_path / "arguments").read_bytes()
