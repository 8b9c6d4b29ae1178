"""What is attached to a letter: looked at, and saved into a folder that is asked for once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.widget import Widget
from textual.widgets import Input

from postoffice.errors import PostofficeError, UsageError
from postoffice.tui.choosing import Wrapping, counted
from postoffice.tui.face import told
from postoffice.tui.keys import ALWAYS, ATTACHMENTS, bindings
from postoffice.tui.layout import attachment_lines
from postoffice.tui.look import Line
from postoffice.tui.mail import Mail

if TYPE_CHECKING:
    from postoffice.message.mime.view import Attachment


class Attachments(Wrapping):
    """Those of the letter `key`."""

    KEYS = ATTACHMENTS
    BINDINGS = bindings(ALWAYS, ATTACHMENTS)
    last_folder: ClassVar[str] = ""
    """Where the last one was saved, which is offered for the next."""

    def __init__(self, mail: Mail, key: int, attachments: Sequence[Attachment]) -> None:
        super().__init__(["Nothing is attached"])
        self._mail = mail
        self._key = key
        self._attachments = attachments
        self._wanted: list[int] = []
        self.prompt = Input(compact=True, select_on_focus=False)
        self.prompt.display = False
        self.head.say("Attached", counted(len(attachments), "attachment"))

    def body(self) -> list[Widget]:
        return [self.page, self.prompt]

    def entries(self, width: int) -> list[list[Line]]:
        return [attachment_lines(one, width) for one in self._attachments]

    # --- saving ---------------------------------------------------------------------------------------------

    @told
    async def action_save(self) -> None:
        self._ask([self._attachments[self.page.chosen].number])

    @told
    async def action_save_all(self) -> None:
        self._ask([one.number for one in self._attachments])

    def _ask(self, wanted: list[int]) -> None:
        self._wanted = wanted
        self.prompt.value = Attachments.last_folder or _usual_folder()
        self.prompt.cursor_position = len(self.prompt.value)
        self.prompt.display = True
        self.set_focus(self.prompt)
        self.foot.while_writing("save")
        self.said.tell(f"Into which folder? Enter saves {counted(len(wanted), 'attachment')} there, Esc does not")

    def _end_prompt(self) -> None:
        self.prompt.display = False
        self.set_focus(self.page)
        self.foot.while_writing("")

    @told
    async def action_escape(self) -> None:
        if self.prompt.display:
            self._end_prompt()
        else:
            await self.action_back()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        if folder := event.value.strip():
            self._end_prompt()
            self.said.tell("saving")
            self.run_worker(self._save(Path(folder).expanduser()), group="save", exclusive=True)

    async def _save(self, folder: Path) -> None:
        try:
            if not folder.is_dir():
                raise UsageError(f"there is no folder {folder}", os.EX_CANTCREAT)
            saved = await self._mail.save(self._key, self._wanted, folder)
        except (PostofficeError, OSError) as error:
            self.said.warn(str(error))
            return
        Attachments.last_folder = str(folder)
        names = ", ".join(path.name for path in saved)
        self.said.tell(f"saved in {folder}: {names}")


def _usual_folder() -> str:
    """`~/Downloads` where there is one, else where the reader was started."""
    downloads = Path.home() / "Downloads"
    return str(downloads if downloads.is_dir() else Path.cwd())
