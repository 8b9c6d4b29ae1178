"""A run is killed at every step of what it does to files, and runs again: no letter is lost, doubled or cut."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from tests.handing.conftest import LETTERS, Spool
from tests.handing.test_maildir import letters_in as letters_in_maildir
from tests.handing.test_mbox import OTHERS
from tests.handing.test_mbox import letters_in as letters_in_mbox

from postoffice.handing.journal import Journal
from postoffice.handing.target import target
from postoffice.handing.way import hand_over, open_hand
from postoffice.store.embedded import MailboxFile
from postoffice.testing.killing import killed_at

HERS = b"Subject: hers\r\n\r\nbody\r\n"


async def run(folder: Path, text: str, vfs: str | None = None) -> None:
    mailbox = MailboxFile.open(folder / "bob.mailbox", vfs=vfs)
    hand = open_hand(target(text), folder)
    assert hand is not None
    with closing(hand), closing(Journal(folder / "bob.journal")) as journal:
        await hand_over(mailbox, hand, journal)
    await mailbox.close()


async def into_maildir(folder: Path, vfs: str) -> None:
    await run(folder, f"maildir:{folder}/Maildir", vfs)


async def into_mbox(folder: Path, vfs: str) -> None:
    await run(folder, f"mbox:{folder}/mbox", vfs)


async def into_command(folder: Path, vfs: str) -> None:
    await run(folder, command(folder), vfs)


def command(folder: Path) -> str:
    return f'command:cat > "{folder}/$POSTOFFICE_LETTER_ID.$$"'


async def _kill_everywhere(spool: Spool, tmp_path: Path, kind: str, *, in_half: bool, stride: int) -> int:
    """Gives how many steps there were."""
    deed = into_maildir if kind == "maildir" else into_mbox
    step, is_killed = 1, True
    while is_killed:
        folder = tmp_path / f"run-{step}"
        shutil.copytree(spool.file.parent, folder)
        (folder / "mbox").write_bytes(OTHERS)
        is_killed = killed_at(step, deed, folder, in_half=in_half)
        again = Spool(folder / "bob.mailbox")
        await again.hand_over(f"{kind}:{folder}/{'Maildir' if kind == 'maildir' else 'mbox'}")
        assert await again.left() == 0
        assert await again.remembered() == len(LETTERS)
        if kind == "maildir":
            assert letters_in_maildir(folder / "Maildir") == sorted(LETTERS), step
        else:
            assert letters_in_mbox(folder / "mbox") == sorted((*LETTERS, HERS)), step
        shutil.rmtree(folder)
        step += stride
    return step


@pytest.mark.parametrize("in_half", [False, True])
@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_killed_at_some_steps(spool: Spool, tmp_path: Path, kind: str, in_half: bool) -> None:
    await spool.put(*LETTERS)
    await _kill_everywhere(spool, tmp_path, kind, in_half=in_half, stride=6 if in_half else 7)


@pytest.mark.slow
@pytest.mark.parametrize("in_half", [False, True])
@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_killed_at_every_step(spool: Spool, tmp_path: Path, kind: str, in_half: bool) -> None:
    await spool.put(*LETTERS)
    assert await _kill_everywhere(spool, tmp_path, kind, in_half=in_half, stride=1) > 40


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
async def test_a_command_gets_no_letter_twice_without_a_word(spool: Spool, tmp_path: Path, stride: int) -> None:
    """At every step none is lost or cut; at most one is given twice, and that one is told."""
    await spool.put(*LETTERS)
    step, is_killed, doubled = 1, True, 0
    while is_killed:
        folder = tmp_path / f"run-{step}"
        shutil.copytree(spool.file.parent, folder)
        is_killed = killed_at(step, into_command, folder)
        again = Spool(folder / "bob.mailbox")
        handed = await again.hand_over(command(folder))
        kept = sorted(file.read_bytes().replace(b"\n", b"\r\n") for file in folder.glob("m*.*[0-9]"))
        assert set(kept) == set(LETTERS), step
        assert len(kept) - len(LETTERS) <= handed.doubtful <= 1, step
        doubled += len(kept) - len(LETTERS)
        assert await again.left() == 0
        shutil.rmtree(folder)
        step += stride
    assert doubled or stride > 1
