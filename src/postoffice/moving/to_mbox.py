"""Giving out an mbox: mboxrd, with LF (RFC 4155), so that whatever reads it finds the letters as they were.

    From alice@a.example Mon Jan  1 10:00:00 2024
    X-UIDL: m18c…                                   the unique-id, which servers that keep mbox show
    Status: RO
    Subject: …                                      the letter; `>` stands before each `From `, `>From ` … in it

It is written beside its place, synced, and only then renamed: what has the name is whole. An mbox has one folder.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.moving import fromlines
from postoffice.moving.damages import Damages
from postoffice.moving.giving import Given, GoneMeanwhile, batches, read, write_all
from postoffice.moving.letters import Complaint
from postoffice.moving.outlet import Outlet
from postoffice.moving.taking import Report, Witness
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX


async def to_mbox(
    mailbox: Mailbox, outlet: Outlet, witness: Witness, *, folder: str = INBOX, replaces: bool = False
) -> Report:
    """A folder. When it returns, all of it is durable; if it raises, nothing has changed. May raise OSError.

    A file that is there and not empty is a `UsageError`, unless this one `replaces` it.
    """
    snapshot = await mailbox.snapshot(folder=folder)
    report = Report(total=len(snapshot.keys))
    damages = Damages(outlet.path, witness, report)
    with outlet.new_file(replaces=replaces) as descriptor:
        for keys in batches(snapshot):
            for given in await read(mailbox, keys, damages):
                await _give(given, descriptor, outlet, witness, report)
            witness.progress(report)
    return report


async def _give(given: Given, descriptor: int, outlet: Outlet, witness: Witness, report: Report) -> None:
    """One letter; nothing is written if it was removed meanwhile."""
    start = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        is_plain = await given.is_plain()
        async for portion in in_mbox(given, _above(given)):
            write_all(descriptor, portion)
    except GoneMeanwhile:
        os.ftruncate(descriptor, start)
        os.lseek(descriptor, start, os.SEEK_SET)
        return
    where = f"{outlet.path}, {given.entry.unique_id}"
    if notes := fromlines.notes_in(given.beginning[:HEAD_OCTETS]):
        what = f"has fields that whoever reads an mbox takes for notes of programs: {', '.join(notes)}"
        witness.complain(Complaint(where, what))
    if not is_plain:
        witness.complain(Complaint(where, "has other line ends than CRLF, which an mbox cannot keep"))
    report.letters += 1
    report.octets += given.entry.octets


async def in_mbox(given: Given, above: bytes) -> AsyncIterator[bytes]:
    """The octets of a letter in an mbox, from what stands `above` it to the empty line behind it."""
    yield above
    quoter, last = fromlines.Quoter(), b""
    async for portion in given.octets():
        last = portion[-1:] or last
        yield quoter.feed(portion.replace(b"\r\n", b"\n"))
    yield quoter.end() + (b"\n" if last in (b"", b"\n") else b"\n\n")


def from_line(given: Given) -> bytes:
    sender = header.first(given.beginning[:HEAD_OCTETS], b"Return-Path") or b""
    return fromlines.from_line(sender.strip(b"<>"), given.entry.internal_date)


def _above(given: Given) -> bytes:
    """The From_ line, and what programs note in a header."""
    line = from_line(given)
    if given.beginning.startswith((b" ", b"\t")):
        return line  # a line that begins so would become a part of the field above
    return line + b"X-UIDL: %s\n" % given.entry.unique_id.encode() + fromlines.status_fields(given.entry.flags)
