"""A spool with letters in it, and rounds that hand them over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postoffice.events import Fact, listen
from postoffice.handing.journal import Journal
from postoffice.handing.round import Doubtful, Handed
from postoffice.handing.target import target
from postoffice.handing.way import hand_over, open_hand
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter, Origin
from postoffice.testing.programs import TRAPS

DATE = 1_700_000_000.0
SOURCE = "pop://bob@b.example"
LETTERS = (
    b"Return-Path: <alice@a.example>\r\nSubject: one\r\n\r\nFrom here on\r\n>From there\r\n.\r\n",
    TRAPS,
    b"Subject: large\r\n\r\n" + b"".join(b"%06d a line of usual length\r\n" % n for n in range(20_000)),
    b"Subject: one\r\n\r\nthe same twice\r\n",
    b"Subject: one\r\n\r\nthe same twice\r\n",
    b"\r\nno header\r\n\r\n",
)


@dataclass
class Spool:
    """A mailbox file, its journal, and what was told."""

    file: Path
    events: list[tuple[str, dict[str, Fact]]] = field(default_factory=list)

    async def put(self, *letters: bytes) -> None:
        """As a pull does."""
        mailbox = MailboxFile.open(self.file, create=True)
        known = len(await mailbox.pulled(SOURCE))
        for number, letter in enumerate(letters, known):
            stage = await mailbox.stage()
            wire = stuff(letter)
            for start in range(0, len(wire), 100_000):
                await stage.write(wire[start : start + 100_000])
            origin = Origin(SOURCE, f"uid-{number}", len(letter))
            await mailbox.append([Letter(await stage.finish(), DATE + number, origin=origin)])
        await mailbox.close()

    async def hand_over(self, text: str, doubtful: Doubtful = Doubtful.AGAIN) -> Handed:
        """One run of a program."""
        mailbox = MailboxFile.open(self.file)
        hand = open_hand(target(text), self.file.parent)
        assert hand is not None
        try:
            with closing(hand), closing(Journal(self.file.with_suffix(".journal"))) as journal:
                return await hand_over(mailbox, hand, journal, doubtful)
        finally:
            await mailbox.close()

    async def left(self) -> int:
        mailbox = MailboxFile.open(self.file)
        try:
            assert await mailbox.check() == []
            return len((await mailbox.snapshot()).keys)
        finally:
            await mailbox.close()

    async def remembered(self) -> int:
        """How many letters a pull would pass over."""
        mailbox = MailboxFile.open(self.file)
        try:
            return len(await mailbox.pulled(SOURCE))
        finally:
            await mailbox.close()

    def told(self, name: str) -> list[dict[str, Fact]]:
        return [facts for one, facts in self.events if one == f"handing.{name}"]


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool" / "bob.mailbox")
    stop = listen(lambda name, facts: spool.events.append((name, facts)))
    yield spool
    stop()


def as_sent(files: Sequence[bytes]) -> list[bytes]:
    """What files with the line ends of this system hold, as it travels."""
    return sorted(file.replace(b"\n", b"\r\n") for file in files)
