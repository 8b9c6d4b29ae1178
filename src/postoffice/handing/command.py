"""Letters to a command, one run of it for each, the letter on its standard input: procmail, maildrop, dovecot-lda.

    status 0               it has the letter
    75, 73, 74 ...         not now: the letter stays
    65, 67, 68, 69, 77     not this letter, it says; it stays all the same
    126, 127               there is no such command: nothing more is tried

Standard input is a file that holds the whole letter before the command begins: had it a pipe, a command would take the
end of a dying process for the end of the letter, and keep half of it. Lines end with LF, as those programs want it,
where the letter has CRLF and nothing else; else the octets are the letter's own. The shell sees the person's own words
and nothing of a letter; who runs is told a letter's id, by which it can know one again that comes twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from postoffice.errors import Refused
from postoffice.handing.places import explained
from postoffice.handing.round import DOUBTFUL, WORDS, Round
from postoffice.handing.stopping import finished
from postoffice.message.printable import safe
from postoffice.moving.giving import Given, GoneMeanwhile, write_all

COMMAND_SECONDS: Final = 300.0
"""How long a command may take for one letter."""

LETTER_ID: Final = "POSTOFFICE_LETTER_ID"
IS_DOUBTFUL: Final = "POSTOFFICE_DOUBTFUL"

_PERMANENT: Final = frozenset({os.EX_DATAERR, os.EX_NOUSER, os.EX_NOHOST, os.EX_UNAVAILABLE, os.EX_NOPERM})
_NOT_RUN: Final = frozenset({126, 127})


class CommandHand:
    """A `Hand`. `folder` is where a letter lies while its command runs."""

    def __init__(self, text: str, folder: Path, seconds: float = COMMAND_SECONDS) -> None:
        self._text = text
        self._folder = folder
        self._seconds = seconds

    def close(self) -> None:
        """Nothing is open between two letters."""

    async def found(self, letters: Sequence[Given], length: int) -> frozenset[str] | None:
        return None

    async def take(self, round_: Round) -> None:
        async for [given] in round_.flights(1):
            with (
                suppress(GoneMeanwhile),
                explained(self._folder),
                TemporaryFile(dir=self._folder) as letter,
                TemporaryFile(dir=self._folder) as said,
            ):
                await _write(given, letter.fileno())
                await asyncio.to_thread(round_.journal.begin, [given.entry.email_id])
                await finished(self._give(given, letter, said, round_))

    async def _give(self, given: Given, letter: IO[bytes], said: IO[bytes], round_: Round) -> None:
        try:
            status = await self._run(given, letter, said)
        except TimeoutError:
            await round_.doubt(given)
            round_.declined(given, f"the command took longer than {self._seconds:g} s", is_permanent=False)
            return
        if status == 0:
            await round_.taken([given])
            return
        round_.journal.end()
        if status in _NOT_RUN:
            raise Refused(safe(_because(status, said)), os.EX_UNAVAILABLE)
        round_.declined(given, _because(status, said), is_permanent=status in _PERMANENT)

    async def _run(self, given: Given, letter: IO[bytes], said: IO[bytes]) -> int:
        """Its exit status, negative for a signal. Raises TimeoutError, OSError; it does not run on then."""
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", self._text),
            stdin=letter,
            stdout=said,
            stderr=STDOUT,
            env=_environment(given),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._seconds):
                return await process.wait()
        finally:
            if process.returncode is None:
                _kill(process)
                await process.wait()


def _because(status: int, said: IO[bytes]) -> str:
    how = f"status {status}" if status > 0 else signal.Signals(-status).name
    return ": ".join(filter(None, (f"the command ended with {how}", _last_line(said))))


async def _write(given: Given, file: int) -> None:
    is_plain = await given.is_plain()
    async for portion in given.octets():
        write_all(file, portion.replace(b"\r\n", b"\n") if is_plain else portion)
    os.lseek(file, 0, os.SEEK_SET)


def _environment(given: Given) -> Mapping[str, str]:
    told = {LETTER_ID: given.entry.email_id}
    if DOUBTFUL in given.entry.flags:
        told[IS_DOUBTFUL] = "1"
    kept = {name: value for name, value in os.environ.items() if name not in (LETTER_ID, IS_DOUBTFUL)}
    return kept | told


def _last_line(said: IO[bytes]) -> str:
    """What a command said last. Children that it left behind may go on talking."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - 4 * WORDS))
    lines = said.read(4 * WORDS).decode("utf-8", "replace").split("\n")
    return next((line.strip()[:WORDS] for line in reversed(lines) if line.strip()), "")


def _kill(process: Process) -> None:
    """It, and what it began."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
