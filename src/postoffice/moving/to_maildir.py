"""Giving out a Maildir++: a file for each letter, folders, and a list of unique-ids that Dovecot reads.

    Maildir/cur/1700000000.U0000000007Em18c….postoffice,S=2931,W=2987:2,FS
    Maildir/.Sent/cur/…
    Maildir/dovecot-uidlist         7 P<unique-id> :1700000000.U0000000007Em18c….postoffice,S=2931,W=2987

A file's name begins with what stays the same of its letter, so a second run writes only what is not there. Files are
written in `tmp`, synced, and only then renamed: a name in `cur` is a whole letter, whose date is the file's.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from typing import Final

from postoffice.moving.damages import Damages
from postoffice.moving.giving import Given, GoneMeanwhile, batches, read, write_all
from postoffice.moving.letters import Complaint
from postoffice.moving.maildir import FLAGS, folder_file_name
from postoffice.moving.outlet import Outlet, hold_alone
from postoffice.moving.taking import Report, Witness
from postoffice.moving.uidlists import base
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, REMOVED, WITHHELD, Entry, Folder

UIDLIST: Final = "dovecot-uidlist"
TMP: Final = "tmp"
_OURS: Final = re.compile(r"-?[0-9]+\.U[0-9]+E[0-9a-z]+\.postoffice")


async def to_maildir(mailbox: Mailbox, outlet: Outlet, witness: Witness) -> Report:
    """All folders of a mailbox but those of deleted and of withheld letters. What the report counts is durable.

    May raise OSError.
    """
    report = Report()
    root = outlet.make_folder(outlet.path.name)
    try:
        hold_alone(root, outlet.path)
        folders = [folder for folder in await mailbox.folders() if folder.name not in (REMOVED, *WITHHELD)]
        for folder in folders:
            report.total += len((await mailbox.snapshot(folder=folder.name)).keys)
        for folder in folders:
            await _Folder(mailbox, outlet, folder, witness, report).give()
    finally:
        os.close(root)
    return report


@dataclass(frozen=True, slots=True)
class _Written:
    """A file in `tmp`, whole but not durable, and its name in `cur`, without the flags."""

    descriptor: int
    temporary: str
    name: str
    flags: str
    octets: int


class _Folder:
    """One folder on its way out."""

    def __init__(self, mailbox: Mailbox, outlet: Outlet, folder: Folder, witness: Witness, report: Report) -> None:
        self._mailbox = mailbox
        self._outlet = outlet
        self._folder = folder
        self._witness = witness
        self._report = report
        inner = "" if folder.name == INBOX else f"/{folder_file_name(folder.name)}"
        self._path = f"{outlet.path.name}{inner}"
        self._there: dict[str, str] = {}
        self._has_list = False
        self._next = folder.uid_next
        self._lines: list[str] = []
        self._damages = Damages(outlet.path / inner.lstrip("/"), witness, report)

    async def give(self) -> None:
        self._prepare()
        for keys in batches(await self._mailbox.snapshot(folder=self._folder.name)):
            written: list[_Written] = []
            try:
                for given in await read(self._mailbox, keys, self._damages):
                    await self._give(given, written)
                await self._finish(written)
            finally:
                for one in written:
                    os.close(one.descriptor)
            self._witness.progress(self._report)
        self._list_unique_ids()

    def _prepare(self) -> None:
        """The folders are there, what lies in them is known, and what a run that was killed left is gone."""
        self._has_list = UIDLIST in self._names("")
        for place in ("/new", "/cur"):
            self._there |= {base(name): name.partition(":")[0] for name in self._names(place)}
        for name in self._names(f"/{TMP}"):
            if _OURS.fullmatch(name):
                self._outlet.remove(f"{self._path}/{TMP}/{name}")
        if self._folder.name != INBOX:
            os.close(self._outlet.make_alone(f"{self._path}/maildirfolder"))

    def _names(self, place: str) -> list[str]:
        descriptor = self._outlet.make_folder(self._path + place)
        try:
            return os.listdir(descriptor)  # noqa: PTH208 a path knows no descriptor
        finally:
            os.close(descriptor)

    async def _give(self, given: Given, written: list[_Written]) -> None:
        """One letter into `tmp`, if it is not here already."""
        entry = given.entry
        name = self._there.get(stem(entry))
        if name is None:
            try:
                written.append(await self._write(given))
            except GoneMeanwhile:
                return
            name = written[-1].name
        else:
            self._report.known += 1
        self._next = max(self._next, entry.uid + 1)
        self._lines.append(f"{entry.uid} P{entry.unique_id} :{name}\n")

    async def _write(self, given: Given) -> _Written:
        temporary = f"{self._path}/{TMP}/{stem(given.entry)}"
        descriptor = self._outlet.make(temporary)
        try:
            is_plain = await given.is_plain()
            octets = 0
            async for portion in given.octets():
                octets += write_all(descriptor, portion.replace(b"\r\n", b"\n") if is_plain else portion)
            self._outlet.date(temporary, given.entry.internal_date)
        except BaseException:
            os.close(descriptor)
            self._outlet.remove(temporary)
            raise
        entry = given.entry
        flags = "".join(sorted(letter for letter, flag in FLAGS.items() if flag in entry.flags))
        return _Written(descriptor, temporary, file_name(entry, octets), flags, entry.octets)

    async def _finish(self, written: list[_Written]) -> None:
        """What lies in `tmp` becomes letters, durably."""
        if not written:
            return
        # In threads, so that the file system writes its journal once for many. All of them end before any is closed.
        ended = await asyncio.gather(
            *(asyncio.to_thread(os.fsync, one.descriptor) for one in written), return_exceptions=True
        )
        for trouble in filter(None, ended):
            raise trouble
        for one in written:
            self._outlet.rename(one.temporary, f"{self._path}/cur/{one.name}:2,{one.flags}")
        self._outlet.sync(f"{self._path}/cur")
        self._report.letters += len(written)
        self._report.octets += sum(one.octets for one in written)

    def _list_unique_ids(self) -> None:
        """So that clients of a server that serves this pull nothing again."""
        where = f"{self._path}/{UIDLIST}"
        if self._has_list and not all(map(_OURS.fullmatch, self._there)):
            what = "is that of other letters too, and stays as it is: these get new unique-ids there"
            self._witness.complain(Complaint(str(self._outlet.path.parent / where), what))
            return
        descriptor = self._outlet.make_alone(f"{self._path}/{TMP}/{UIDLIST}")
        try:
            write_all(descriptor, f"3 V{self._folder.uid_validity} N{self._next}\n".encode())
            for start in range(0, len(self._lines), 1000):
                write_all(descriptor, "".join(self._lines[start : start + 1000]).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._outlet.rename(f"{self._path}/{TMP}/{UIDLIST}", where)
        self._outlet.sync(self._path)


def stem(entry: Entry) -> str:
    """What stays the same of the name of a letter's file; names sort as letters do that came in one second."""
    return f"{int(entry.internal_date)}.U{entry.uid:010}E{entry.email_id}.postoffice"


def file_name(entry: Entry, octets: int) -> str:
    """The whole name of a letter's file that has so many octets, without flags."""
    return f"{stem(entry)},S={octets},W={entry.octets}"
