"""A folder full of files that is there as a whole or not at all.

    .mail.part/        while it is written, with a note in it that says so; held by one of us (flock)
    mail/              when all of it is durable

What somebody else put at either place is not touched. What a run that was killed left is taken away by the next one.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from typing import Final

from postoffice.errors import UsageError
from postoffice.moving.giving import write_all
from postoffice.moving.letters import Complaint
from postoffice.moving.outlet import Outlet, hold_alone
from postoffice.moving.taking import Witness

NOTE: Final = "NOT-WHOLE.txt"
_NOTE_TEXT: Final = (
    b"postoffice began to write letters into this folder and did not come to the end.\n"
    b"It is of no use, and can go; the next export to the same place takes it away.\n"
)
_OPEN_FILES: Final = 256


class FolderOut:
    """Begun when it is made. Every verb may raise OSError; paths are relative, with `/`."""

    def __init__(self, outlet: Outlet, witness: Witness) -> None:
        self._outlet = outlet
        self._part = f".{outlet.path.name}.part"
        self._folders = {""}
        self._unsynced: list[int] = []
        self._lasting: list[int] = []
        if outlet.facts is not None:
            self._must_be_empty()
        self._root = outlet.make_folder(self._part)
        try:
            hold_alone(self._root, outlet.path)
            left = os.listdir(self._root)  # noqa: PTH208 a path knows no descriptor
            if left and NOTE not in left:
                sentence = f"{outlet.path.with_name(self._part)}: is there already, and not of ours; take it away"
                raise UsageError(sentence, os.EX_CANTCREAT)
            if left:
                where = str(outlet.path.with_name(self._part))
                witness.complain(Complaint(where, "is what an export left that was broken off; it is begun anew"))
                self._clear("")
            self.write(NOTE, _NOTE_TEXT)
        except BaseException:
            os.close(self._root)
            raise

    def _must_be_empty(self) -> None:
        assert self._outlet.facts is not None
        path = self._outlet.path
        if not stat.S_ISDIR(self._outlet.facts.st_mode):
            raise UsageError(f"{path}: is there already and no folder", os.EX_CANTCREAT)
        descriptor = self._outlet.make_folder(path.name)
        try:
            if os.listdir(descriptor):  # noqa: PTH208
                raise UsageError(f"{path}: is there already, with something in it; name a new folder", os.EX_CANTCREAT)
        finally:
            os.close(descriptor)

    def make(self, path: str) -> int:
        """A new file, for writing; it is durable and closed after the next `settle`, which is for the caller to await.

        Gives a descriptor, which stays this object's.
        """
        self.make_folder(path.rpartition("/")[0])
        descriptor = self._outlet.make(f"{self._part}/{path}")
        self._unsynced.append(descriptor)
        return descriptor

    def make_lasting(self, path: str) -> int:
        """A new file that is written to until `finish`, which makes it durable; the descriptor stays this object's."""
        self.make_folder(path.rpartition("/")[0])
        descriptor = self._outlet.make(f"{self._part}/{path}")
        self._lasting.append(descriptor)
        return descriptor

    def write(self, path: str, octets: bytes) -> None:
        """A new file that holds this."""
        write_all(self.make(path), octets)

    def make_folder(self, path: str) -> None:
        """A folder, and those around it, as far as they are not there."""
        if path not in self._folders:
            self.make_folder(path.rpartition("/")[0])
            os.close(self._outlet.make_folder(f"{self._part}/{path}"))
            self._folders.add(path)

    def date(self, path: str, seconds: float) -> None:
        """A file was last changed then."""
        with suppress(OverflowError):
            self._outlet.date(f"{self._part}/{path}", seconds)

    def remove(self, path: str) -> None:
        self._outlet.remove(f"{self._part}/{path}")

    @property
    def is_full(self) -> bool:
        """Whether so many files are open that they should be settled."""
        return len(self._unsynced) >= _OPEN_FILES

    async def settle(self) -> None:
        """What was written is durable. In threads, so that the file system writes its journal once for many."""
        files, self._unsynced = self._unsynced, []
        try:
            ended = await asyncio.gather(*(asyncio.to_thread(os.fsync, one) for one in files), return_exceptions=True)
        finally:
            for one in files:
                os.close(one)
        for trouble in filter(None, ended):
            raise trouble

    async def finish(self) -> None:
        """All of it is durable, and gets its name."""
        self._unsynced += self._lasting
        self._lasting = []
        await self.settle()
        self._outlet.remove(f"{self._part}/{NOTE}")
        await self._sync_folders()
        try:
            self._outlet.rename(self._part, self._outlet.path.name)
        except OSError as error:
            sentence = f"{self._outlet.path}: somebody else put something there meanwhile: {error.strerror}"
            raise UsageError(sentence, os.EX_CANTCREAT) from error
        self._outlet.sync()
        os.close(self._root)

    async def _sync_folders(self) -> None:
        """So many at once as files."""
        folders = [f"{self._part}/{folder}" if folder else self._part for folder in sorted(self._folders)]
        for start in range(0, len(folders), _OPEN_FILES):
            for folder in folders[start : start + _OPEN_FILES]:
                self._unsynced.append(self._outlet.make_folder(folder))
            await self.settle()

    def abandon(self) -> None:
        """Take away what was written: nothing is there."""
        for one in self._unsynced + self._lasting:
            os.close(one)
        self._unsynced, self._lasting = [], []
        with suppress(OSError):
            self._clear("")
            self._outlet.remove_folder(self._part)
        os.close(self._root)

    def _clear(self, path: str) -> None:
        """Everything in a folder; the note last, so that whatever stops this, the rest is known for what it is."""
        where = f"{self._part}/{path}" if path else self._part
        descriptor = self._outlet.make_folder(where)
        try:
            with os.scandir(descriptor) as found:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        finally:
            os.close(descriptor)
        for name, is_folder in sorted(entries, key=lambda entry: not path and entry[0] == NOTE):
            if is_folder:
                self._clear(f"{path}/{name}" if path else name)
                self._outlet.remove_folder(f"{where}/{name}")
            else:
                self._outlet.remove(f"{where}/{name}")
