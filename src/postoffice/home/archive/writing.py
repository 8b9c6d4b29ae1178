"""An archive is written: in one pass over headers, which gives the order, and one over letters, from the oldest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import Final

import nh3

from postoffice.home.archive import attached, findings, pages
from postoffice.home.archive.findings import Shown, Words
from postoffice.home.archive.letter_page import File, Page, html_of, letter_page
from postoffice.home.archive.order import Order, in_order
from postoffice.home.search.extraction import extract
from postoffice.message.mime import rendering
from postoffice.message.mime.parts import Outline, Part, parts
from postoffice.message.mime.view import LOOK_OCTETS, view
from postoffice.moving import catalogue
from postoffice.moving.damages import Damages
from postoffice.moving.folder_out import FolderOut
from postoffice.moving.giving import Given, GoneMeanwhile, read, write_all
from postoffice.moving.letterfiles import Outgoing, Places, outgoing
from postoffice.moving.outlet import Outlet
from postoffice.moving.taking import Report, Witness
from postoffice.store.base import Mailbox

FORM: Final = "html"
_LOOK: Final = {
    name: resources.files("postoffice.home.archive").joinpath("look", name).read_bytes()
    for name in ("archive.css", "search.js", "letter.js")
}
"""Had before an office gives root up, as are the modules of others: where Python lies nobody else may read."""

_HAD: Final = (nh3, rendering)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an archive is to be called, the folders that are `wanted` (none: all that are shown), when it is written."""

    title: str
    wanted: Sequence[str]
    now: float


async def to_html(mailbox: Mailbox, outlet: Outlet, witness: Witness, plan: Plan) -> Report:
    """When it returns, all of it is durable; if it raises, nothing is there. May raise OSError."""
    places = Places(catalogue.ORIGINALS)
    folders = await outgoing(mailbox, plan.wanted, places)
    out = FolderOut(outlet, witness)
    try:
        report = await _Writing(mailbox, out, witness, plan, folders, places).write()
        await out.finish()
    except BaseException:
        out.abandon()
        raise
    return report


class _Writing:
    def __init__(
        self,
        mailbox: Mailbox,
        out: FolderOut,
        witness: Witness,
        plan: Plan,
        folders: Sequence[Outgoing],
        places: Places,
    ) -> None:
        self._mailbox = mailbox
        self._out = out
        self._witness = witness
        self._plan = plan
        self._folders = folders
        self._places = places
        self._words = Words()
        self._shown = Shown()
        self._report = Report()
        self._damages = Damages(plan.title, witness, self._report)
        lists = Places("lists")
        self._paths = ["/".join(lists.folder(folder.name)) for folder in folders]

    async def write(self) -> Report:
        order = await in_order(self._mailbox, self._folders, self._damages)
        self._report.total = len(order)
        listed = self._out.make_lasting(catalogue.NAME)
        write_all(listed, catalogue.first_line(FORM))
        for folder in self._folders:
            write_all(listed, catalogue.folder_line(folder.name, "/".join(folder.path)))
        for numbers in order.batches():
            keys = [order[number].key for number in numbers]
            there = {given.entry.key: given for given in await read(self._mailbox, keys, self._damages)}
            for number in numbers:
                given = there.get(order[number].key)
                write_all(listed, await self._letter(number, given, order))
                if self._out.is_full:
                    await self._out.settle()
            await self._out.settle()
            self._witness.progress(self._report)
        write_all(listed, catalogue.last_line(self._report.letters))
        await self._frame(order)
        return self._report

    # --- a letter

    async def _letter(self, number: int, given: Given | None, order: Order) -> bytes:
        """Its original, its page, what is attached to it, and what the search knows of it; gives its line for the list.

        A letter that was removed meanwhile, or is damaged, has a page that says so, since its number is taken.
        """
        fact = order[number]
        folder = self._folders[fact.folder]
        file = self._places.file(folder.path, given) if given is not None else ""
        try:
            if given is None:
                raise GoneMeanwhile
            seen = await self._original(file, given)
            html = html_of(seen.parts_shown)
            files = await attached.save(given, seen.parts, f"files/{number // 1000:03}/{number}", self._out, html)
        except GoneMeanwhile:
            if file:
                self._out.remove(file)
            self._gone(number, order)
            return b""
        one = Page(
            number,
            folder.name,
            self._paths[fact.folder],
            view(seen.beginning, prefers_html=bool(html)),
            html,
            files,
            file,
            is_cut=seen.octets > len(seen.beginning),
        )
        self._out.write(pages.letter_path(number), letter_page(self._plan.title, one, order))
        self._find(number, seen.beginning, files, order)
        self._report.letters += 1
        self._report.octets += seen.octets
        return catalogue.letter_line(file, folder.name, given.entry, seen.octets, seen.sha256)

    async def _original(self, file: str, given: Given) -> _Seen:
        """Write it, and look at it meanwhile."""
        descriptor = self._out.make(file)
        digest, octets, beginning, outline = sha256(), 0, bytearray(), Outline()
        async for portion in given.octets():
            write_all(descriptor, portion)
            digest.update(portion)
            octets += len(portion)
            beginning += portion[: max(0, LOOK_OCTETS - len(beginning))]
            if given.more:
                outline.feed(portion)
        self._out.date(file, given.entry.internal_date)
        seen = bytes(beginning)
        shown = list(parts(seen))
        all_parts = shown if octets <= len(seen) else outline.end()
        return _Seen(seen, octets, digest.digest(), shown, all_parts)

    def _gone(self, number: int, order: Order) -> None:
        why = "it was removed while the archive was written, or is damaged"
        body = f'<main id="main"><h1>This letter is not here: {why}</h1></main>\n'
        self._out.write(pages.letter_path(number), pages.page(self._plan.title, body, root="../../", is_letter=True))
        self._find(number, b"", (), order)

    def _find(self, number: int, beginning: bytes, files: Sequence[File], order: Order) -> None:
        found = extract(beginning)
        fact = order[number]
        self._words.add(number, found)
        row = (pages.shown_date(fact.date), fact.sender, fact.subject, fact.folder, len(files), fact.octets)
        for name, octets in self._shown.add(number, row, found):
            self._out.write(f"search/{name}.js", octets)

    # --- what is around them

    async def _frame(self, order: Order) -> None:
        title = self._plan.title
        folders = []
        for index, folder in enumerate(self._folders):
            numbers = order.numbers(index)
            folders.append(pages.Listed(folder.name, self._paths[index], len(numbers)))
            for path, octets in pages.lists(title, folders[-1], numbers, order):
                self._out.write(path, octets)
                if self._out.is_full:
                    await self._out.settle()
        await self._search(order)
        for name, octets in _LOOK.items():
            self._out.write(f"look/{name}", octets)
        made = pages.shown_date(self._plan.now)[:10]
        self._out.write("index.html", pages.first_page(title, folders, order, made))

    async def _search(self, order: Order) -> None:
        for name, octets in self._shown.end():
            self._out.write(f"search/{name}.js", octets)
        firsts = []
        for index, (first, octets) in enumerate(self._words.files()):
            firsts.append(first)
            self._out.write(f"search/words-{index}.js", octets)
            if self._out.is_full:
                await self._out.settle()
        days: dict[str, int] = {}
        for number in range(1, len(order) + 1):
            days.setdefault(pages.shown_date(order[number].date)[:10], number)
        about = {
            "letters": len(order),
            "folders": [folder.name for folder in self._folders],
            "words": firsts,
            "rows": findings.ROWS,
            "texts": self._shown.texts_from,
            "days": list(days.items()),
            "folding": findings.folding(),
        }
        self._out.write("search/about.js", findings.lent("about", about))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a letter while it was written: its beginning, and where the parts of all of it lie.

    `parts_shown` are those of the beginning, with their octets; so are `parts` where that is the whole.
    """

    beginning: bytes
    octets: int
    sha256: bytes
    parts_shown: Sequence[Part]
    parts: Sequence[Part]
