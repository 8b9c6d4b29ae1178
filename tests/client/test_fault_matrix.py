"""Every fault of the matrix, by who deletes and by who keeps: `postoffice fetch` runs a few times, and all is at home
exactly once.

The rows stand in `postoffice.testing.faults.cells`. Where nothing is killed and no disk is full, the command runs in
this process: it is the same command, and what it ends with is its exit status.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from postoffice.cli.main import main
from postoffice.protocols.dots import Unstuffer
from postoffice.store.embedded import MailboxFile
from postoffice.testing.faults.cells import CELLS, Cell, Trial
from postoffice.testing.faults.judging import Stored, judge
from postoffice.testing.faults.opening import HOST, Door, opened

RUNS = 3
PATIENCE_SECONDS = 20.0
SHORT_PATIENCE_SECONDS = 1.0


def cells(*trials: Trial) -> Sequence[object]:
    """The cells in which that is done to the program."""
    chosen = []
    for cell in CELLS:
        if cell.fault.trial not in trials:
            continue
        marks: list[pytest.MarkDecorator] = []
        if cell.fault.is_slow:
            marks.append(pytest.mark.slow)
        chosen.append(pytest.param(cell, id=str(cell), marks=marks))
    return chosen


@pytest.mark.parametrize("cell", cells(Trial.NONE))
def test_everything_is_at_home_exactly_once(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "home.mailbox"
    statuses = []
    with opened(cell.fault, tmp_path) as door:
        monkeypatch.setattr(sys, "argv", words(cell, door, file))
        for _ in range(RUNS):
            with pytest.raises(SystemExit) as ended:
                main()
            statuses.append(ended.value.code or 0)
            door.peer.is_repaired = True
        assert judge(cell, door.peer, at_home(file), exact=True) == []
    assert statuses[0] in cell.fault.first
    assert statuses[-1] in cell.fault.last


def words(cell: Cell, door: Door, file: Path) -> list[str]:
    """The command line."""
    secret = file.with_name("secret")
    secret.write_text(door.secret)
    secret.chmod(0o600)
    scheme = "pops" if door.is_encrypted else "pop"
    mechanism = ";AUTH=XOAUTH2" if cell.fault.with_token else ""
    patience = SHORT_PATIENCE_SECONDS if cell.fault.needs_patience else PATIENCE_SECONDS
    return [
        *("postoffice", "fetch", f"{scheme}://{door.user}{mechanism}@{HOST}:{door.port}", "--into", str(file)),
        *("--password-file", str(secret), "--ca", str(door.authority), "--patience", str(patience)),
        *(["--delete"] if cell.delete else []),
    ]


def at_home(file: Path) -> list[Stored]:
    """The letters of a mailbox file, which must be sound."""
    return [partial(io.BytesIO, letter) for letter in asyncio.run(_read(file))] if file.exists() else []


async def _read(file: Path) -> list[bytes]:
    mailbox = MailboxFile.open(file)
    try:
        assert await mailbox.check() == []
        return [await _whole(mailbox, key) for key in (await mailbox.snapshot()).keys]
    finally:
        await mailbox.close()


async def _whole(mailbox: MailboxFile, key: int) -> bytes:
    plain, unstuffer, index, more = bytearray(), Unstuffer(), 0, True
    while more:
        [piece] = await mailbox.read([key], index)
        assert piece is not None
        plain += unstuffer.feed(piece.wire)
        index, more = index + 1, piece.more
    return bytes(plain)
