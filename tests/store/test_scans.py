"""What scanners said goes where the letters go: into another file by `merge`, and out of a damaged one."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import pytest

from postoffice.database.migrate import open_prepared
from postoffice.database.sqlite import PAGE_OCTETS
from postoffice.errors import PostofficeError
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.merging import Merged, merge
from postoffice.store.embedded.salvage import repair
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED, Letter, Origin, Scan, Verdict
from postoffice.testing.check_store.walk import NOON, keys, put, seen, staged, text

LOG_HEAD, FRAME_HEAD = 32, 24

CLEAN = Scan(Verdict.CLEAN, "clamd", NOON, signatures="1")
FOUND = Scan(Verdict.INFECTED, "clamd", NOON + 1, "Test.Eicar", "2")
NOT_YET = Scan(Verdict.UNSCANNED, "clamd", NOON, "it is away")
ALLOWED = FOUND._replace(allowed=frozenset({FOUND.name}))


def name_of(plain: bytes) -> bytes:
    return sha256(plain).digest()


async def come(mailbox: MailboxFile, plain: bytes, scan: Scan, folder: str = INBOX) -> None:
    origin = Origin("pop3", name_of(plain).hex()[:8])
    await mailbox.append([Letter(await staged(mailbox, plain), NOON, folder=folder, scan=scan, origin=origin)])


async def merged(path: Path, mailbox: MailboxFile) -> Merged:
    with closing(open_prepared(path, MAILBOX)) as other:
        return await merge(other, mailbox, NOON, lambda _: None)


async def test_what_another_file_knows_to_be_infected_goes_into_quarantine_here(tmp_path: Path) -> None:
    other = MailboxFile.open(tmp_path / "other", create=True)
    await come(other, text(1), FOUND, QUARANTINE)
    await come(other, text(2), NOT_YET, UNSCANNED)
    await come(other, text(3), FOUND, QUARANTINE)
    await other.close()
    here = MailboxFile.open(tmp_path / "here", create=True)
    await come(here, text(1), CLEAN)
    await come(here, text(3), ALLOWED)
    await put(here, text(4))
    assert (await merged(tmp_path / "other", here)).letters == 1
    assert await seen(here) == [text(3), text(4)], "infected letters are shown"
    assert await seen(here, folder=QUARANTINE) == [text(1)]
    assert await seen(here, folder=UNSCANNED) == [text(2)]
    said = await here.scans([name_of(text(number)) for number in (1, 2, 3, 4)])
    assert said == [FOUND, NOT_YET, ALLOWED, None]
    before = (await here.snapshot()).generation
    assert (await merged(tmp_path / "other", here)).letters == 0
    assert (await here.snapshot()).generation == before, "a second time changes something"
    await here.close()


async def test_a_letter_comes_from_another_file_that_did_not_know(tmp_path: Path) -> None:
    other = MailboxFile.open(tmp_path / "other", create=True)
    await put(other, text(1))
    await other.close()
    here = MailboxFile.open(tmp_path / "here", create=True)
    await come(here, text(1), FOUND, QUARANTINE)
    await here.remove(await keys(here, folder=QUARANTINE))
    await merged(tmp_path / "other", here)
    assert await seen(here) == []
    assert await seen(here, folder=QUARANTINE) == [text(1)]
    await here.close()


async def filled(path: Path) -> MailboxFile:
    """Letters found, held, and let out, which all are in the file itself; and some that moved, in the log alone."""
    mailbox = MailboxFile.open(path, create=True)
    for number in range(6):
        await come(mailbox, text(number, lines=40), CLEAN)
    await come(mailbox, text("quarantined"), FOUND, QUARANTINE)
    await come(mailbox, text("held"), NOT_YET, UNSCANNED)
    await mailbox.close()
    mailbox = MailboxFile.open(path)
    first, second, *_, last = await keys(mailbox)
    later = {name_of(text(number, lines=40)): FOUND for number in (1, 5)}
    await mailbox.judge(later, {QUARANTINE: [second, last]})
    await mailbox.judge({name_of(text(0, lines=40)): ALLOWED}, {QUARANTINE: [first]})
    await mailbox.move((await keys(mailbox, folder=QUARANTINE))[-1:], INBOX)
    return mailbox


WITHHELD = (text("quarantined"), text("held"), text(1, lines=40), text(5, lines=40))


async def folders_of(mailbox: MailboxFile) -> dict[str, list[bytes]]:
    return {folder.name: await seen(mailbox, folder=folder.name) for folder in await mailbox.folders()}


@pytest.mark.parametrize("is_at_rest", [True, False])
async def test_repair_keeps_what_scanners_said(tmp_path: Path, is_at_rest: bool) -> None:
    mailbox = await filled(tmp_path / "old")
    before = await folders_of(mailbox)
    copy_of(tmp_path / "old", tmp_path / "copy")
    await mailbox.close()
    report = await repair(tmp_path / ("old" if is_at_rest else "copy"), tmp_path / "new")
    assert (report.found, report.lost) == (0, [])
    mailbox = MailboxFile.open(tmp_path / "new")
    assert await folders_of(mailbox) == before
    names = [text("quarantined"), text("held"), text(0, lines=40), text(2, lines=40)]
    assert await mailbox.scans([name_of(one) for one in names]) == [FOUND, NOT_YET, ALLOWED, CLEAN]
    await mailbox.close()


def copy_of(path: Path, into: Path) -> None:
    """A mailbox file that is in use, with its log."""
    for end in ("", "-wal"):
        into.with_name(into.name + end).write_bytes(path.with_name(path.name + end).read_bytes())


@pytest.mark.parametrize("kind", ["at rest", "in use", "log"])
async def test_whatever_is_lost_repair_shows_nothing_that_was_withheld(
    tmp_path: Path, kind: str, page_octets: int
) -> None:
    """Each page, of a file at rest or in use, or each frame of the log, one after the other."""
    end = "-wal" if kind == "log" else ""
    mailbox = await filled(tmp_path / "old")
    if kind == "at rest":
        await mailbox.close()
        (tmp_path / "old-wal").touch()
    size = (tmp_path / f"old{end}").stat().st_size
    for start in range(0, size, page_octets):
        folder = tmp_path / str(start)
        folder.mkdir()
        copy_of(tmp_path / "old", folder / "old")
        octets = (folder / f"old{end}").read_bytes()
        hole = bytes(min(page_octets, size - start))
        (folder / f"old{end}").write_bytes(octets[:start] + hole + octets[start + len(hole) :])
        await must_show_nothing_withheld(folder)
    await mailbox.close()


async def test_two_frames_of_the_log_that_are_lost_show_nothing_either(tmp_path: Path) -> None:
    mailbox = await filled(tmp_path / "old")
    log = (tmp_path / "old-wal").read_bytes()
    starts = range(LOG_HEAD + FRAME_HEAD, len(log), FRAME_HEAD + PAGE_OCTETS)
    for first, second in combinations(starts, 2):
        folder = tmp_path / f"{first}-{second}"
        folder.mkdir()
        copy_of(tmp_path / "old", folder / "old")
        damaged = bytearray(log)
        for start in (first, second):
            damaged[start : start + PAGE_OCTETS] = bytes(PAGE_OCTETS)
        (folder / "old-wal").write_bytes(damaged)
        await must_show_nothing_withheld(folder)
    await mailbox.close()


async def must_show_nothing_withheld(folder: Path) -> None:
    try:
        await repair(folder / "old", folder / "new")
    except PostofficeError:
        return
    saved = MailboxFile.open(folder / "new")
    folders = await folders_of(saved)
    shown = set(folders.pop(INBOX)).intersection(WITHHELD)
    assert not shown, f"{folder.name}: what was withheld is shown: {shown}"
    quarantined = folders.pop(QUARANTINE, [])
    for name, letters in folders.items():
        for scan, letter in zip(await saved.scans([name_of(one) for one in letters]), letters, strict=True):
            assert scan is None or not scan.is_dangerous, f"{folder.name}: {letter!r} is in {name}"
    assert len(quarantined) == len(set(quarantined)), f"{folder.name}: a letter is there twice"
    await saved.close()
