"""The list: the letters of a folder, its threads, or what was found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from textual.widget import Widget
from textual.widgets import Input

from postoffice.errors import PostofficeError, UsageError
from postoffice.store.model import INBOX, WITHHELD, Flag
from postoffice.tui.asking import Asking
from postoffice.tui.cells import tame
from postoffice.tui.choosing import Folders, counted, grouped
from postoffice.tui.face import Face, told
from postoffice.tui.keys import ALWAYS, LIST, bindings
from postoffice.tui.listings import Kind, Listing, of_folder
from postoffice.tui.look import BOLD, Piece
from postoffice.tui.mail import TRASH, Mail
from postoffice.tui.rows import Rows

if TYPE_CHECKING:
    from postoffice.store.model import Snapshot

LOOK_SECONDS: Final = 1.0
"""How often is looked whether somebody else changed the file; where nobody did, it costs some microseconds."""


class Letters(Face):
    """The first screen, and the one that all others go back to."""

    KEYS = LIST
    BINDINGS = bindings(ALWAYS, LIST)

    def __init__(self, mail: Mail) -> None:
        super().__init__()
        self.mail = mail
        self.folder = INBOX
        self.rows = Rows(mail.row, mail.load)
        self.prompt = Input(placeholder='words, "a phrase", from:an, has:pdf, before:2026-01, in:FOLDER')
        self.prompt.display = False
        self.prompt.compact = True
        self.asking = Asking(self)
        self._is_lost = False
        self._before: int | None = None
        self._snapshot: Snapshot | None = None
        self._unread: int | None = None

    def body(self) -> list[Widget]:
        return [self.rows, self.prompt]

    async def on_mount(self) -> None:
        self.set_focus(self.rows)
        try:
            await self.open_folder(INBOX)
            await self.mail.has_changed()
            await self._count()
        except PostofficeError as error:
            self.reader.fail(error)
            return
        self.set_interval(LOOK_SECONDS, self.look)

    def on_unmount(self) -> None:
        self.asking.stop()

    # --- what is shown --------------------------------------------------------------------------------------

    async def open_folder(self, folder: str) -> None:
        """Show a folder from its latest letter on."""
        self.asking.stop()
        self._snapshot = await self.mail.snapshot(folder)
        self.folder, self._unread = folder, None
        self.rows.nothing = _nothing(folder)
        listing = of_folder(self._snapshot)
        await self.rows.show(listing, listing.keys[0] if listing.keys else None)
        self._say_head()

    async def look(self) -> None:
        """Show what came, went or changed meanwhile, with the same letter chosen at the same place."""
        try:
            if self.mail.is_lost() and not self._is_lost:
                self._is_lost = True
                self._say_head()
                self.said.warn(f"{self.mail.file.name} was taken away or replaced; what is open can still be read")
            if not await self.mail.has_changed():
                return
            await self._renew()
        except PostofficeError as error:
            self.said.warn(str(error))

    async def _renew(self) -> None:
        snapshot = await self.mail.snapshot(self.folder)
        if snapshot is not self._snapshot:
            before, self._snapshot = self._snapshot, snapshot
            if self.rows.listing.kind is Kind.THREADS:
                await self.rows.show(self.rows.listing.brought_up(snapshot))
                self.asking.begin_threads(again=True)
            if self.rows.listing.kind is Kind.FOLDER:
                await self.rows.show(of_folder(snapshot))
                came = len(snapshot.keys) - (len(before.keys) if before else 0)
                if came > 0 and self.rows.top:
                    self.said.tell(f"{counted(came, 'letter')} came above")
        await self.rows.settle()
        await self._count()

    async def _count(self) -> None:
        self._unread = next((unread for name, _, unread in await self.mail.folders() if name == self.folder), 0)
        self._say_head()

    def _say_head(self) -> None:
        listing = self.rows.listing
        facts = counted(len(listing.keys), "letter")
        if listing.kind is Kind.FOUND:
            title, facts = f"/{self.asking.question}", self.asking.facts(len(listing.keys))
        else:
            title = self.folder + (" · conversations" if listing.kind is Kind.THREADS else "")
            facts += f", {grouped(self._unread)} unread" if self._unread else ""
        if self._is_lost:
            facts += " · taken away"
        elif not self.mail.can_write:
            facts += " · read-only"
        self.head.say(title, facts, f"{self.mail.file.name}  {self.place}")
        self.said.hint(self._hint())
        self.foot.say("quit" if listing.kind is Kind.FOLDER else "back")

    def _hint(self) -> list[Piece]:
        """The line in which the chosen letter was found, and where it lies if that is elsewhere."""
        line = self.rows.listing.snippets.get(self.rows.chosen or 0, [])
        elsewhere = [(f"{tame(self.chosen_folder)}  ", BOLD)] if self.chosen_folder != self.folder else []
        return [*elsewhere, *line]

    @property
    def chosen_folder(self) -> str:
        """Where the chosen letter lies."""
        return self.rows.listing.folders.get(self.rows.chosen or 0, self.folder)

    @property
    def place(self) -> str:
        """Where in the list the chosen letter is: `3/1,204`."""
        rows = self.rows
        return f"{grouped(rows.cursor + 1)}/{grouped(len(rows.listing.keys))}" if rows.listing.keys else ""

    def on_rows_failed(self, event: Rows.Failed) -> None:
        self.said.warn(event.sentence)

    def on_rows_moved(self) -> None:
        self._say_head()

    # --- moving ---------------------------------------------------------------------------------------------

    @told
    async def action_down(self) -> None:
        await self.rows.move_by(1)

    @told
    async def action_up(self) -> None:
        await self.rows.move_by(-1)

    @told
    async def action_turn_down(self) -> None:
        await self.rows.turn(1)

    @told
    async def action_turn_up(self) -> None:
        await self.rows.turn(-1)

    @told
    async def action_first(self) -> None:
        await self.rows.move_to(0)

    @told
    async def action_last(self) -> None:
        await self.rows.move_to(len(self.rows.listing.keys) - 1)

    @told
    async def action_next_unread(self) -> None:
        unread = await self.mail.unread(self.folder)
        keys = self.rows.listing.keys
        for position in (*range(self.rows.cursor + 1, len(keys)), *range(min(self.rows.cursor, len(keys)))):
            if keys[position] in unread:
                await self.rows.move_to(position)
                return
        self.said.tell("no other letter here is unread")

    # --- letters --------------------------------------------------------------------------------------------

    @told
    async def action_open(self) -> None:
        from postoffice.tui.letter import Reading

        if self.rows.chosen is not None:
            await self.app.push_screen(Reading(self))

    @told
    async def action_toggle_read(self) -> None:
        await self.toggle(Flag.SEEN)

    @told
    async def action_toggle_flagged(self) -> None:
        await self.toggle(Flag.FLAGGED)

    async def toggle(self, flag: Flag) -> None:
        """The chosen letter with a flag, or without it."""
        row = self.rows.chosen_row
        if row is not None:
            await self.mail.set_flag(row.key, flag, on=flag not in row.flags)
            await self._after_change()

    async def mark_read(self) -> None:
        """The chosen letter is being read. In a file that cannot be written it stays as it is."""
        row = self.rows.chosen_row
        if row is not None and not row.is_read and self.mail.can_write and not self.mail.is_lost():
            await self.mail.set_flag(row.key, Flag.SEEN, on=True)
            await self._after_change()

    @told
    async def action_trash(self) -> None:
        await self.trash()

    async def trash(self) -> None:
        """The chosen letter into Trash."""
        if self.chosen_folder == TRASH:
            raise UsageError("it is in Trash already, and stays there; r brings it back", os.EX_USAGE)
        await self._move(TRASH, "moved to Trash; there, r brings it back")

    @told
    async def action_restore(self) -> None:
        await self.restore()

    async def restore(self) -> None:
        """The chosen letter out of Trash."""
        if self.chosen_folder != TRASH:
            raise UsageError(f"r brings letters back from {TRASH}: open that folder with f", os.EX_USAGE)
        await self._move(INBOX, "back in INBOX")

    async def _move(self, folder: str, sentence: str) -> None:
        if self.rows.chosen is None:
            return
        if self.chosen_folder in WITHHELD:
            raise UsageError(f"letters come out of {self.chosen_folder} by `postoffice scan` alone", os.EX_USAGE)
        key = self.rows.chosen
        await self.mail.move(key, folder)
        if self.rows.listing.kind is Kind.FOUND:
            self.asking.one_left()
            await self.rows.show(self.rows.listing.without(key))
        await self._after_change()
        self.said.tell(sentence)

    async def _after_change(self) -> None:
        await self.mail.has_changed()
        await self._renew()

    @told
    async def action_lock(self) -> None:
        await self.reader.lock("You locked it.")

    # --- folders --------------------------------------------------------------------------------------------

    @told
    async def action_folders(self) -> None:
        def opened(folder: str) -> None:
            self.call_next(self._open_told, folder)

        await self.app.push_screen(Folders(await self.mail.folders(), self.folder, opened))

    async def _open_told(self, folder: str) -> None:
        try:
            await self.open_folder(folder)
            await self._count()
        except PostofficeError as error:
            self.said.warn(str(error))

    # --- search ---------------------------------------------------------------------------------------------

    @told
    async def action_search(self) -> None:
        self.prompt.display = True
        self.set_focus(self.prompt)
        self.foot.while_writing("search")

    def _end_prompt(self) -> None:
        self.prompt.display = False
        self.set_focus(self.rows)
        self.foot.while_writing("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._end_prompt()
        if event.value.strip():
            self.run_worker(self.asking.search(event.value.strip()), group="search", exclusive=True)

    async def show_found(self, listing: Listing) -> None:
        """What was found in the place of the folder."""
        if self.rows.listing.kind is not Kind.FOUND:
            self._before = self.rows.chosen
        self.rows.nothing = ["Nothing was found", f"Esc goes back to {self.folder}"]
        await self.rows.show(listing, listing.keys[0] if listing.keys else None)
        self.said.forget()

    # --- conversations --------------------------------------------------------------------------------------

    @told
    async def action_threads(self) -> None:
        """Those of the folder; or, if they are shown, one letter after the other again."""
        match self.rows.listing.kind:
            case Kind.THREADS:
                await self._leave()
            case Kind.FOUND:
                self.said.tell("conversations are those of a folder: Esc first")
            case Kind.FOLDER if self.rows.listing.keys:
                self.asking.begin_threads()

    # --- back -----------------------------------------------------------------------------------------------

    @told
    async def action_escape(self) -> None:
        """Out of the question that is being written, the search that goes on, what was found, in this order."""
        if self.prompt.display:
            self._end_prompt()
        elif self.asking.is_searching:
            self.asking.stop()
            self.said.tell("the search was stopped")
        elif self.asking.is_conversing and self.rows.listing.kind is Kind.FOLDER:
            self.asking.stop()
            self.said.tell("conversations are not looked for any more")
        elif self.rows.listing.kind is not Kind.FOLDER:
            await self._leave()

    @told
    async def action_back(self) -> None:
        if self.rows.listing.kind is Kind.FOLDER:
            self.app.exit()
        else:
            await self._leave()

    async def _leave(self) -> None:
        """Back to the folder."""
        snapshot = self._snapshot = await self.mail.snapshot(self.folder)
        self.rows.nothing = _nothing(self.folder)
        was_found = self.rows.listing.kind is Kind.FOUND
        await self.rows.show(of_folder(snapshot), self._before if was_found else self.rows.chosen)


def _nothing(folder: str) -> list[str]:
    if folder == INBOX:
        return ["No letters here", "`postoffice fetch ACCOUNT --into FILE` brings some"]
    return [f"{folder} is empty"]
