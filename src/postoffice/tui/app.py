"""The application: a theme of the terminal's own colours, and the screen with the list of letters.

A file that is locked is opened by its passphrase, on a screen of its own, and closed again when no key was pressed for
some minutes, also while the machine slept: then nothing of it is on the screen, and its key is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType

from postoffice.errors import PostofficeError, UsageError
from postoffice.quantities import counted
from postoffice.tui.mail import Mail

IDLE_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Lock:
    """How a locked file, called by its `name`, is opened with a passphrase, and how it is locked for everybody.

    `unlock` may take a second, and raises UsageError where the passphrase is wrong.
    """

    name: str
    unlock: Callable[[str], Mail]
    forget: Callable[[], None]
    idle_seconds: float = IDLE_SECONDS


class Reader(App[None]):
    """Reads one mailbox file: one that is open, or one with a `lock`, or both. It is closed at the end."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    Input, Input:focus { height: 1; border: none; padding: 0 1; background: ansi_default; color: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(self, mail: Mail | None, lock: Lock | None = None, clock: Callable[[], float] | None = None) -> None:
        """`clock` goes on while the machine sleeps."""
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.mail = mail
        self.failure: PostofficeError | None = None
        self._lock = lock
        self._clock = clock or _boot_time
        self._touched = self._clock()

    async def on_mount(self) -> None:
        if self.mail is not None:
            self._show(self.mail)
        else:
            self._ask("Its letters are encrypted.")
        if self._lock is not None:
            self.set_interval(LOOK_SECONDS, self.look_at_clock)
            self.app_resume_signal.subscribe(self, lambda _: self.call_next(self.look_at_clock))

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.Key, events.Paste)):
            was_open = self.mail is not None
            await self.look_at_clock()  # before the key does anything: the machine may have slept
            self._touched = self._clock()
            if was_open and self.mail is None:
                return
        await super().on_event(event)

    def fail(self, error: PostofficeError) -> None:
        """There is nothing to read: leave, with a sentence for whoever started the reader."""
        self.failure = error
        self.exit()

    # --- locked files ---------------------------------------------------------------------------------------

    async def look_at_clock(self) -> None:
        """Lock what nobody looks at."""
        lock = self._lock
        if lock is not None and self.mail is not None and self._clock() - self._touched > lock.idle_seconds:
            minutes = max(round(lock.idle_seconds / 60), 1)
            await self._close(f"No key was pressed for {counted(minutes, 'minute')}.")

    async def lock(self, because: str) -> None:
        """Lock it now, also for other programs. UsageError where it is no locked file."""
        if self._lock is None:
            raise UsageError("this file has no lock; `postoffice lock FILE` gives it one")
        self._lock.forget()
        await self._close(because)

    async def _close(self, because: str) -> None:
        mail, self.mail = self.mail, None
        self._ask(because)
        if mail is not None:
            await mail.close()

    def _ask(self, because: str) -> None:
        from postoffice.tui.unlock import Unlock

        assert self._lock is not None
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.push_screen(Unlock(self._lock.name, self._lock.unlock, self._opened, because))

    def _opened(self, mail: Mail) -> None:
        self._touched = self._clock()
        self.mail = mail
        self.pop_screen()
        self._show(mail)

    def _show(self, mail: Mail) -> None:
        from postoffice.tui.letters import Letters

        self.push_screen(Letters(mail))

    async def on_unmount(self) -> None:
        if self.mail is not None:
            await self.mail.close()


def _boot_time() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
