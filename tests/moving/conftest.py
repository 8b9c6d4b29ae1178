"""A mailbox to move into, and Maildirs made by hand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from postoffice.moving.emlfiles import EmlFiles, Files, TreeFiles
from postoffice.moving.letters import Complaint, OldStore
from postoffice.moving.maildir import Maildir
from postoffice.moving.mbox import Mbox
from postoffice.moving.outlet import Outlet
from postoffice.moving.sameness import Here
from postoffice.moving.taking import Report, Witness, take_in
from postoffice.moving.thunderbird import Thunderbird
from postoffice.moving.to_eml import to_eml
from postoffice.moving.to_maildir import to_maildir
from postoffice.moving.to_mbox import to_mbox
from postoffice.moving.to_zip import to_zip_file
from postoffice.moving.tree import Tree
from postoffice.moving.zipped import ZipFiles
from postoffice.protocols.dots import Unstuffer
from postoffice.store.base import Mailbox
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX

LETTER = b"Subject: one\n\nbody\n.dot\n"


async def letters(mailbox: Mailbox, folder: str = INBOX) -> dict[str, bytes]:
    """The letters of a folder by their unique-ids, in order."""
    snapshot = await mailbox.snapshot(folder=folder)
    found = {}
    for key, unique_id in zip(snapshot.keys, snapshot.unique_ids, strict=True):
        unstuffer, index, more = Unstuffer(), 0, True
        found[unique_id] = b""
        while more:
            [piece] = await mailbox.read([key], index)
            assert piece is not None
            found[unique_id] += unstuffer.feed(piece.wire)
            index, more = index + 1, piece.more
    return found


@dataclass
class Move:
    """Moves old stores into one mailbox, and remembers what was complained about."""

    mailbox: MailboxFile
    complaints: list[Complaint] = field(default_factory=list)

    async def take(self, store: OldStore) -> Report:
        return await take_in(store, self.mailbox, Witness(self.complaints.append, lambda _: None))

    async def maildir(self, path: Path, kind: str = "maildir", **how: Any) -> Report:
        with closing(Tree(path)) as tree:
            return await self.take(Maildir(tree, kind, **how))

    async def mbox(self, path: Path, **how: Any) -> Report:
        with closing(Mbox(path, **how)) as box:
            return await self.take(box)

    async def files(self, files: Files, source: str = "eml") -> Report:
        """What has no names of its own; a letter is known by its octets."""
        return await self.take_once(EmlFiles(files, source))

    async def eml(self, path: Path) -> Report:
        with closing(Tree(path)) as tree:
            return await self.files(TreeFiles(tree))

    async def zip(self, path: Path) -> Report:
        with closing(ZipFiles(path)) as files:
            return await self.files(files, "zip")

    async def thunderbird(self, path: Path) -> Report:
        with closing(Tree(path)) as tree:
            return await self.take_once(Thunderbird(tree))

    async def take_once(self, store: OldStore) -> Report:
        here = await Here.of(self.mailbox)
        return await take_in(store, self.mailbox, Witness(self.complaints.append, lambda _: None), None, here)

    async def to_eml(self, path: Path, **how: Any) -> Report:
        with closing(Outlet(path)) as outlet:
            return await to_eml(self.mailbox, outlet, Witness(self.complaints.append, lambda _: None), **how)

    async def to_zip(self, path: Path, **how: Any) -> Report:
        with closing(Outlet(path)) as outlet:
            return await to_zip_file(self.mailbox, outlet, Witness(self.complaints.append, lambda _: None), **how)

    async def to_maildir(self, path: Path) -> Report:
        with closing(Outlet(path)) as outlet:
            return await to_maildir(self.mailbox, outlet, Witness(self.complaints.append, lambda _: None))

    async def to_mbox(self, path: Path, **how: Any) -> Report:
        with closing(Outlet(path)) as outlet:
            return await to_mbox(self.mailbox, outlet, Witness(self.complaints.append, lambda _: None), **how)


async def a_move(file: Path) -> AsyncIterator[Move]:
    mailbox = MailboxFile.open(file, create=True)
    yield Move(mailbox)
    assert await mailbox.check() == []
    await mailbox.close()


@pytest.fixture
async def move(tmp_path: Path) -> AsyncIterator[Move]:
    async for move in a_move(tmp_path / "new.mailbox"):
        yield move


@pytest.fixture
async def back(tmp_path: Path) -> AsyncIterator[Move]:
    """Another one, to move back into."""
    async for move in a_move(tmp_path / "back.mailbox"):
        yield move


@pytest.fixture
def maildir(tmp_path: Path) -> Callable[..., Path]:
    """Makes a Maildir of files, by their paths."""

    def make(files: dict[str, bytes], name: str = "Maildir") -> Path:
        root = tmp_path / name
        for place in ("cur", "new", "tmp"):
            (root / place).mkdir(parents=True, exist_ok=True)
        for number, (path, octets) in enumerate(files.items()):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(octets)
            os.utime(file, (1_600_000_000 + number,) * 2)
        return root

    return make
