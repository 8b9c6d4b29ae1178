"""Giving out a folder of .eml files, a letter each, with exactly its octets, and `index.jsonl` beside them."""

from __future__ import annotations

from collections.abc import Sequence

from postoffice.moving import catalogue
from postoffice.moving.damages import Damages
from postoffice.moving.folder_out import FolderOut
from postoffice.moving.giving import Given, GoneMeanwhile, write_all
from postoffice.moving.letterfiles import Outgoing, Places, letters_of, outgoing, pour
from postoffice.moving.outlet import Outlet
from postoffice.moving.taking import Report, Witness
from postoffice.store.base import Mailbox

FORM = "eml"


async def to_eml(mailbox: Mailbox, outlet: Outlet, witness: Witness, wanted: Sequence[str] = ()) -> Report:
    """The folders that are `wanted`, none: all that are shown.

    When it returns, all of it is durable; if it raises, nothing is there. May raise OSError.
    """
    places = Places()
    folders = await outgoing(mailbox, wanted, places)
    report = Report(total=sum(len(folder.snapshot.keys) for folder in folders))
    damages = Damages(outlet.path, witness, report)
    out = FolderOut(outlet, witness)
    try:
        listed = out.make_lasting(catalogue.NAME)
        write_all(listed, catalogue.first_line(FORM))
        for folder in folders:
            write_all(listed, catalogue.folder_line(folder.name, "/".join(folder.path)))
            out.make_folder("/".join(folder.path))
            async for batch in letters_of(mailbox, folder, damages):
                lines = [await _give(given, out, folder, places, report) for given in batch]
                write_all(listed, b"".join(lines))
                await out.settle()
                witness.progress(report)
        write_all(listed, catalogue.last_line(report.letters))
        await out.finish()
    except BaseException:
        out.abandon()
        raise
    return report


async def _give(given: Given, out: FolderOut, folder: Outgoing, places: Places, report: Report) -> bytes:
    """One letter; gives its line for the list, or nothing if it was removed meanwhile."""
    file = places.file(folder.path, given)
    descriptor = out.make(file)
    try:
        octets, digest = await pour(given, lambda portion: write_all(descriptor, portion))
    except GoneMeanwhile:
        out.remove(file)
        return b""
    out.date(file, given.entry.internal_date)
    report.letters += 1
    report.octets += octets
    return catalogue.letter_line(file, folder.name, given.entry, octets, digest)
