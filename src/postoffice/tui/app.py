"""The application: a theme of the terminal's own colours, and the screen with the list of letters."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from postoffice.tui.mail import Mail


class Reader(App[None]):
    """Reads one mailbox file, which is open already and is closed with it."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    Input, Input:focus { height: 1; border: none; padding: 0 1; background: ansi_default; color: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", show=False, priority=True)]

    def __init__(self, mail: Mail) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.mail = mail

    async def on_mount(self) -> None:
        from postoffice.tui.letters import Letters

        await self.push_screen(Letters(self.mail))

    async def on_unmount(self) -> None:
        await self.mail.close()
