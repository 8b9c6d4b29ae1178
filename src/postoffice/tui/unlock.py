"""The passphrase of a locked file: asked for at the beginning, and again when nobody pressed a key for some minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from postoffice.errors import PostofficeError
from postoffice.tui.face import Face
from postoffice.tui.keys import UNLOCKING, bindings
from postoffice.tui.look import BOLD, DIM, Line
from postoffice.tui.mail import Mail
from postoffice.tui.page import Page


class Unlock(Face):
    """Nothing of the file is on this screen but its name. `opened` is given the mailbox."""

    KEYS = UNLOCKING
    LAST: ClassVar[Sequence[tuple[str, str]]] = (("Esc", "quit"),)
    BINDINGS = bindings(UNLOCKING)

    def __init__(self, name: str, unlock: Callable[[str], Mail], opened: Callable[[Mail], None], because: str) -> None:
        """`unlock` opens the mailbox with a passphrase, which takes its time, and raises UsageError for a wrong one."""
        super().__init__()
        self._unlock = unlock
        self._opened = opened
        lines: list[Line] = [[(f"{name} is locked", BOLD)], [], [(because, DIM)], [], [("Its passphrase:", DIM)]]
        self._page = Page(lines)
        self._page.styles.height = len(lines) + 1
        self.prompt = Input(password=True, compact=True)

    def body(self) -> list[Widget]:
        rest = Page()
        return [self._page, self.prompt, rest]

    def on_mount(self) -> None:
        self.set_focus(self.prompt)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        typed, self.prompt.value = event.value, ""
        if typed:
            self.said.tell("unlocking")
            self.run_worker(self._try(typed), group="unlock", exclusive=True)

    async def _try(self, typed: str) -> None:
        self.prompt.disabled = True
        try:
            mail = await asyncio.to_thread(self._unlock, typed)
        except (PostofficeError, OSError) as error:
            self.prompt.disabled = False
            self.set_focus(self.prompt)
            self.said.warn(str(error))
        else:
            self._opened(mail)

    async def action_escape(self) -> None:
        self.app.exit()
