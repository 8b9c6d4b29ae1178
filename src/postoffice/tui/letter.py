"""One letter: who, when, what about; warnings; its text; what is attached. All of it scrolls together."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from postoffice.errors import DamagedStore, PostofficeError, UsageError
from postoffice.message.mime.view import LOOK_OCTETS
from postoffice.store.model import WITHHELD, Flag
from postoffice.tui.attachments import Attachments
from postoffice.tui.choosing import Links
from postoffice.tui.face import Paged, told
from postoffice.tui.keys import ALWAYS, LETTER, bindings
from postoffice.tui.layout import Content, content_of, lines_of
from postoffice.tui.look import WARNING
from postoffice.tui.page import Page

if TYPE_CHECKING:
    from textual import events

    from postoffice.tui.letters import Letters


class Reading(Paged):
    """The letter that is chosen in the list, and from there the next ones."""

    KEYS = LETTER
    BINDINGS = bindings(ALWAYS, LETTER)

    def __init__(self, letters: Letters) -> None:
        super().__init__()
        self.page = Page()
        self._letters = letters
        self._content: Content | None = None
        self._shows_headers = False

    async def begin(self) -> None:
        await self._open()

    async def _open(self) -> None:
        """Show what is chosen now."""
        key = self._letters.rows.chosen
        if key is None:
            await self.action_back()
            return
        self._say_head()
        self._content = None
        try:
            octets, is_whole = await self._letters.mail.beginning(key, LOOK_OCTETS)
            self._content = await asyncio.to_thread(content_of, octets, is_whole=is_whole)
            await self._draw()
            await self._letters.mark_read()
            if self._letters.chosen_folder in WITHHELD:
                self.said.warn(
                    f"This letter is in {self._letters.chosen_folder}: `postoffice scan FILE --list` says why"
                )
        except DamagedStore as error:
            self.page.show([[("! This letter is damaged.", WARNING)], [], [(str(error), WARNING)]])
            self.said.warn("`postoffice repair FILE --into NEW` saves what can be read")
        except PostofficeError as error:
            self.said.warn(str(error))
        self._say_head()

    async def _draw(self, top: int = 0) -> None:
        """In a thread: a large text takes a while to be set."""
        content = self._content
        if content is not None:
            width, shows_headers = self.page.content_size.width, self._shows_headers
            lines = await asyncio.to_thread(lines_of, content, width, shows_headers=shows_headers)
            if content is self._content:
                self.page.show(lines, top)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._draw, self.page.top)

    def _say_head(self) -> None:
        rows = self._letters.rows
        row = rows.chosen_row
        if row is None:
            return
        marks = [] if row.is_read else ["unread"]
        marks += ["flagged"] if row.is_flagged else []
        facts = f"letter {rows.listing.numbers[rows.cursor]}"
        self.head.say(self._letters.chosen_folder, " · ".join([facts, *marks]), self._letters.place)

    # --- to other letters ---------------------------------------------------------------------------------

    @told
    async def action_next(self) -> None:
        await self._go(1)

    @told
    async def action_previous(self) -> None:
        await self._go(-1)

    async def _go(self, step: int) -> None:
        rows = self._letters.rows
        before = rows.cursor
        await rows.move_by(step)
        if rows.cursor == before:
            self.said.tell(f"this is the {'last' if step > 0 else 'first'} letter of the list")
        else:
            await self._open()

    # --- what can be done -----------------------------------------------------------------------------------

    @told
    async def action_headers(self) -> None:
        self._shows_headers = not self._shows_headers
        await self._draw()

    @told
    async def action_toggle_read(self) -> None:
        await self._letters.toggle(Flag.SEEN)
        self._say_head()

    @told
    async def action_toggle_flagged(self) -> None:
        await self._letters.toggle(Flag.FLAGGED)
        self._say_head()

    @told
    async def action_trash(self) -> None:
        await self._letters.trash()
        await self._after_move("moved to Trash; there, r brings it back")

    @told
    async def action_restore(self) -> None:
        await self._letters.restore()
        await self._after_move("back in INBOX")

    async def _after_move(self, sentence: str) -> None:
        """The letter that stands at its place now."""
        await self._open()
        self.said.tell(sentence)

    @told
    async def action_attachments(self) -> None:
        if self._letters.chosen_folder in WITHHELD:
            raise UsageError(f"attachments in {self._letters.chosen_folder} are not saved from here", os.EX_USAGE)
        key, content = self._letters.rows.chosen, self._content
        if key is not None and content is not None and content.view.attachments:
            await self.app.push_screen(Attachments(self._letters.mail, key, content.view.attachments))
        else:
            self.said.tell("nothing is attached")

    @told
    async def action_links(self) -> None:
        links = self._content.view.links if self._content is not None else ()
        if links:
            await self.app.push_screen(Links(links))
        else:
            self.said.tell("this letter has no links but those in its text")
