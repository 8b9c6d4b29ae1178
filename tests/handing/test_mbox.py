"""Letters go onto the end of an mbox once, whole, and leave the spool."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.handing.conftest import LETTERS, Spool

from postoffice.errors import Refused, UsageError
from postoffice.handing.journal import Journal
from postoffice.handing.locks import locked
from postoffice.moving.giving import read
from postoffice.moving.letters import Found
from postoffice.moving.mbox import Mbox
from postoffice.moving.to_mbox import from_line, in_mbox
from postoffice.store.embedded import MailboxFile

OTHERS = b"From carol@c.example Mon Jan  1 10:00:00 2024\nSubject: hers\n\nbody\n\n"


def letters_in(mbox: Path) -> list[bytes]:
    with closing(Mbox(mbox)) as box:
        return sorted(b"".join(found.open().octets) for found in box.letters() if isinstance(found, Found))


async def octets_in_mbox(spool: Spool) -> list[bytes]:
    """What an mbox has of each letter in a spool."""
    mailbox = MailboxFile.open(spool.file)
    letters = []
    for given in await read(mailbox, (await mailbox.snapshot()).keys):
        letters.append(b"".join([portion async for portion in in_mbox(given, from_line(given))]))
    await mailbox.close()
    return letters


async def email_ids(spool: Spool) -> list[str]:
    mailbox = MailboxFile.open(spool.file)
    entries = await mailbox.describe((await mailbox.snapshot()).keys)
    await mailbox.close()
    return [entry.email_id for entry in entries if entry is not None]


async def test_every_letter_stands_at_the_end(spool: Spool, tmp_path: Path) -> None:
    mbox = tmp_path / "mbox"
    mbox.write_bytes(OTHERS)
    await spool.put(*LETTERS)
    handed = await spool.hand_over(f"mbox:{mbox}")
    assert (handed.letters, handed.status) == (len(LETTERS), 0)
    assert mbox.read_bytes().startswith(OTHERS + b"From alice@a.example Tue Nov 14 22:13:20 2023\n")
    assert letters_in(mbox) == sorted((*LETTERS, b"Subject: hers\r\n\r\nbody\r\n"))
    assert (await spool.left(), await spool.remembered()) == (0, len(LETTERS))
    assert not (tmp_path / "mbox.lock").exists()


@pytest.mark.parametrize("cut", [1, 2])
async def test_an_empty_line_parts_it_from_what_stands_before(spool: Spool, tmp_path: Path, cut: int) -> None:
    mbox = tmp_path / "mbox"
    mbox.write_bytes(OTHERS[:-cut])
    await spool.put(LETTERS[0])
    await spool.hand_over(f"mbox:{mbox}")
    assert letters_in(mbox) == sorted((LETTERS[0], b"Subject: hers\r\n\r\nbody\r\n"))


@pytest.mark.parametrize("what", ["nothing", "a part", "zeros", "the first and zeros", "all"])
async def test_what_a_run_that_died_left_is_found_or_cut_off(spool: Spool, tmp_path: Path, what: str) -> None:
    mbox = tmp_path / "mbox"
    await spool.put(*LETTERS)
    written = await octets_in_mbox(spool)
    whole = b"".join(written)
    left, recognised = {
        "nothing": (b"", 0),
        "a part": (whole[: len(written[0]) + 30], 1),
        "zeros": (bytes(5000), 0),
        "the first and zeros": (written[0] + bytes(100) + whole[len(written[0]) + 100 :], 1),
        "all": (whole, len(LETTERS)),
    }[what]
    mbox.write_bytes(OTHERS + left)
    with closing(Journal(spool.file.with_suffix(".journal"))) as journal:
        journal.begin(await email_ids(spool), len(OTHERS))
    handed = await spool.hand_over(f"mbox:{mbox}")
    assert (handed.recognised, handed.letters) == (recognised, len(LETTERS) - recognised)
    assert mbox.read_bytes() == OTHERS + whole
    assert bool(spool.told("torn")) is (what not in ("nothing", "all"))


@pytest.mark.parametrize("has_them", [True, False])
async def test_letters_are_known_where_somebody_wrote_the_file_anew(
    spool: Spool, tmp_path: Path, has_them: bool
) -> None:
    """As a mail program does, which notes that a letter was read, and takes others out."""
    mbox = tmp_path / "mbox"
    await spool.put(*LETTERS)
    written = await octets_in_mbox(spool)
    marked = [one.replace(b"\n", b"\nStatus: RO\nX-Mozilla-Status: 0001\n", 1) for one in written]
    mbox.write_bytes(b"".join(marked[:-1]) if has_them else OTHERS)
    with closing(Journal(spool.file.with_suffix(".journal"))) as journal:
        journal.begin(await email_ids(spool), 40)
    handed = await spool.hand_over(f"mbox:{mbox}")
    assert handed.recognised == (len(LETTERS) - 1 if has_them else 0)
    expected = LETTERS if has_them else (*LETTERS, b"Subject: hers\r\n\r\nbody\r\n")
    assert letters_in(mbox) == sorted(expected)


async def test_others_may_have_written_behind_letters_of_ours(spool: Spool, tmp_path: Path) -> None:
    mbox = tmp_path / "mbox"
    await spool.put(*LETTERS)
    mbox.write_bytes(b"".join(await octets_in_mbox(spool)) + OTHERS)
    with closing(Journal(spool.file.with_suffix(".journal"))) as journal:
        journal.begin(await email_ids(spool), 0)
    handed = await spool.hand_over(f"mbox:{mbox}")
    assert (handed.recognised, handed.letters) == (len(LETTERS), 0)
    assert letters_in(mbox) == sorted((*LETTERS, b"Subject: hers\r\n\r\nbody\r\n"))


async def test_a_lock_of_either_kind_is_waited_for(tmp_path: Path) -> None:
    mbox = tmp_path / "mbox"
    mbox.touch()
    with mbox.open("r+b") as ours, mbox.open("r+b") as theirs:
        async with locked(ours.fileno(), mbox):
            assert (tmp_path / "mbox.lock").exists()
            with pytest.raises(Refused, match="another program has it locked") as caught:
                async with locked(theirs.fileno(), mbox, seconds=0):
                    pass
            assert caught.value.status == os.EX_TEMPFAIL
        assert not (tmp_path / "mbox.lock").exists()
        (tmp_path / "mbox.lock").write_bytes(b"")  # procmail's
        with pytest.raises(Refused):
            async with locked(ours.fileno(), mbox, seconds=0):
                pass


async def test_a_lock_of_another_process_is_waited_for(tmp_path: Path) -> None:
    mbox = tmp_path / "mbox"
    mbox.touch()
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(mbox)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    with mbox.open("r+b") as ours:
        with pytest.raises(Refused):
            async with locked(ours.fileno(), mbox, seconds=0):
                pass
        process.stdin.close()
        async with locked(ours.fileno(), mbox):
            pass
    assert await process.wait() != 0


async def test_a_lock_file_of_a_process_that_is_gone_is_taken_away(spool: Spool, tmp_path: Path) -> None:
    mbox = tmp_path / "mbox"
    (tmp_path / "mbox.lock").write_bytes(b"4194303\n")  # beyond the highest number of a process here
    await spool.put(LETTERS[0])
    assert (await spool.hand_over(f"mbox:{mbox}")).letters == 1


async def test_what_is_no_mbox_is_not_written_to(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "diary").write_bytes(b"Dear diary\n")
    await spool.put(LETTERS[0])
    with pytest.raises(UsageError, match="is no mbox") as caught:
        await spool.hand_over(f"mbox:{tmp_path}/diary")
    assert caught.value.status == os.EX_DATAERR
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="is no file"):
        await spool.hand_over(f"mbox:{tmp_path}/fifo")
    assert (tmp_path / "diary").read_bytes() == b"Dear diary\n"
    assert await spool.left() == 1
