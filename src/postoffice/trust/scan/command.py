"""A command of a person that says whether a letter is clean: clamscan(1), clamdscan(1), or any other.

    status 0            clean
    1                   something was found; its name is what stands before FOUND in what it writes, or the first line
    any other, a signal nobody knows
    126, 127            there is no such command

Standard input is a file that holds the whole letter before the command begins, without a name, and in memory as long
as it is small. The shell sees the person's own words and nothing of a letter.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import STDOUT
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final, cast

from postoffice.trust.scan.answers import Answer, Clean, Found, NoAnswer, named

MEMORY_OCTETS: Final = 8 * 1024 * 1024
"""Letters of more octets go to a disk."""

SAID_OCTETS: Final = 4096

_FOUND: Final = re.compile(r"^(?:.*: )?(\S+) FOUND$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """A `Scanner`. `folder` is where large letters lie while it runs; None: where temporary files do."""

    text: str
    folder: Path | None = None

    @property
    def name(self) -> str:
        return named(f"the command {self.text}")

    async def signatures(self, seconds: float) -> str:
        """It has no way to say."""
        return ""

    async def scan(self, letter: AsyncIterator[bytes], seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                with await self._whole(letter) as file, TemporaryFile() as said:
                    status = await self._run(file, said)
                    said.seek(0)
                    words = said.read(SAID_OCTETS).decode("utf-8", "replace")
        except TimeoutError as error:
            raise NoAnswer(f"{self.name} did not end within {seconds:g} s") from error
        except OSError as error:
            raise NoAnswer(f"{self.name} cannot be run: {error.strerror or error}") from error
        return self._answer(status, words)

    async def _whole(self, letter: AsyncIterator[bytes]) -> IO[bytes]:
        file = cast(IO[bytes], os.fdopen(os.memfd_create("letter", os.MFD_CLOEXEC), "w+b", buffering=0))
        in_memory = True
        try:
            async for octets in letter:
                if in_memory and file.tell() + len(octets) > MEMORY_OCTETS:
                    file, in_memory = await asyncio.to_thread(self._on_disk, file), False
                await asyncio.to_thread(_write_all, file, octets) if not in_memory else _write_all(file, octets)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _on_disk(self, file: IO[bytes]) -> IO[bytes]:
        with file:
            disk = TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 it goes on living
            try:
                file.seek(0)
                _write_all(disk, file.read())
            except BaseException:
                disk.close()
                raise
        return disk

    async def _run(self, letter: IO[bytes], said: IO[bytes]) -> int:
        """Its exit status, negative for a signal. Whoever does not wait for its end ends it, with what it began."""
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", self.text), stdin=letter, stdout=said, stderr=STDOUT, start_new_session=True
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def _answer(self, status: int, words: str) -> Answer:
        if status == 0:
            return Clean()
        lines = [line for line in words.splitlines() if line.strip()]
        if status == 1:
            found = _FOUND.search(words)
            return Found(named(found[1] if found else lines[0] if lines else ""))
        how = f"status {status}" if status > 0 else signal.Signals(-status).name
        because = f": {named(lines[-1])}" if lines else ""
        raise NoAnswer(f"{self.name} ended with {how}{because}", is_away=status in (126, 127))


def _write_all(file: IO[bytes], octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[file.write(view) :]
