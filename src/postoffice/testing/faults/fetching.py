"""`postoffice fetch`, as the matrix runs it, and what is then in its file."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

from postoffice.protocols.dots import Unstuffer
from postoffice.store.embedded import MailboxFile
from postoffice.testing.command import PROGRAM
from postoffice.testing.faults.judging import WHOLE_OCTETS, Stored
from postoffice.testing.faults.opening import HOST, Door
from postoffice.testing.faults.places import Place

_YESTERDAY = "import time; now = time.time; time.time = lambda: now() - 86400; "


def command(door: Door, file: Path, folder: Path, *, delete: bool, patience: float) -> list[str]:
    """The words behind `postoffice`. The password lies in `folder`."""
    secret = folder / "secret"
    secret.write_text(door.secret)
    secret.chmod(0o600)
    scheme = "pops" if door.is_encrypted else "pop"
    mechanism = ";AUTH=XOAUTH2" if door.has_token else ""
    return [
        *("fetch", f"{scheme}://{door.user}{mechanism}@{HOST}:{door.port}", "--into", str(file)),
        *("--password-file", str(secret), "--ca", str(door.authority), "--patience", str(patience)),
        *(["--delete"] if delete else []),
    ]


class Fetch:
    """The program, for trials in processes of its own."""

    name = "postoffice"
    is_exact = True
    keeps_memory_apart = False

    def __init__(self, patience: float) -> None:
        self._patience = patience

    def absence(self, door: Door) -> str | None:
        return None

    def prepare(self, place: Place, door: Door, *, delete: bool) -> Sequence[str]:
        words = command(door, self._file(place), place.folder, delete=delete, patience=self._patience)
        return [sys.executable, "-c", PROGRAM, *words]

    def yesterday(self, words: Sequence[str]) -> Sequence[str]:
        return [*words[:2], _YESTERDAY + PROGRAM, *words[3:]]

    def at_home(self, place: Place) -> list[Stored]:
        with tempfile.TemporaryDirectory(prefix="postoffice-home-") as folder:  # SQLite does not go through /proc
            for file in place.seen(place.letters).glob("home.mailbox*"):
                shutil.copy(file, folder)
            return at_home(Path(folder) / "home.mailbox")

    def _file(self, place: Place) -> Path:
        return place.letters / "home.mailbox"


def at_home(file: Path) -> list[Stored]:
    """The letters of a mailbox file. An AssertionError if it is not sound."""
    if not file.exists():
        return []
    return [partial(_once, letter) for letter in asyncio.run(_read(file))]


def _once(letter: IO[bytes]) -> IO[bytes]:
    """It is gone when it is closed."""
    return letter


async def _read(file: Path) -> list[IO[bytes]]:
    mailbox = MailboxFile.open(file)
    try:
        damage = await mailbox.check()
        assert damage == [], damage
        return [await _poured(mailbox, key) for key in (await mailbox.snapshot()).keys]
    finally:
        await mailbox.close()


async def _poured(mailbox: MailboxFile, key: int) -> IO[bytes]:
    """A letter, without dot-stuffing."""
    poured = tempfile.SpooledTemporaryFile(WHOLE_OCTETS)  # noqa: SIM115 - whoever looks at it closes it
    unstuffer, index, more = Unstuffer(), 0, True
    while more:
        [piece] = await mailbox.read([key], index)
        assert piece is not None
        poured.write(unstuffer.feed(piece.wire))
        index, more = index + 1, piece.more
    poured.seek(0)
    return poured
