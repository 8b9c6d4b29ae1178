"""What the list looks for in threads, while its keys go on working: the answer to a question, conversations.

At most one of each is looked for at a time; a new question ends the one before. Threads tell how far they are without
waiting for anybody, so that leaving never waits for a thread that waits for the screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic
from typing import TYPE_CHECKING, Final

from postoffice.errors import PostofficeError
from postoffice.tui.choosing import counted, grouped
from postoffice.tui.conversing import Conversing
from postoffice.tui.finding import Finding, Stopped
from postoffice.tui.listings import Kind

if TYPE_CHECKING:
    from postoffice.tui.letters import Letters

RETHREAD_SECONDS: Final = 10.0
"""How long conversations that are shown stay as they are while letters come."""


class Asking:
    """For one list."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._finding: Finding | None = None
        self._conversing: Conversing | None = None
        self._threaded = 0.0
        self._is_waiting = False
        self.question = ""
        self._letters_found = 0
        self._is_cut = False

    @property
    def is_searching(self) -> bool:
        return self._finding is not None

    @property
    def is_conversing(self) -> bool:
        return self._conversing is not None

    def stop(self) -> None:
        """Nobody waits for anything any more."""
        for one in (self._finding, self._conversing):
            if one is not None:
                one.stop()

    def _teller(self) -> Callable[[str], None]:
        """Says a sentence on the screen from any thread; when that is gone, to nobody."""
        loop, said, context = asyncio.get_running_loop(), self._letters.said, copy_context()

        def tell(sentence: str) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(said.tell, sentence, context=context)

        return tell

    # --- search ---------------------------------------------------------------------------------------------

    async def search(self, question: str) -> None:
        """Show what is found."""
        letters, tell = self._letters, self._teller()

        def told(done: int, of: int) -> None:
            tell(f"making the index: {grouped(done)} of {counted(of, 'letter')}; Esc stops it")

        if self._finding is not None:
            self._finding.stop()
        self._finding = finding = Finding(letters.mail.file, letters.mail.mailbox.key, question, told)
        letters.said.tell("searching")
        try:
            letters.mail.must_be_there()
            answer = await finding.answer()
        except Stopped:
            return
        except PostofficeError as error:
            letters.said.warn(str(error))
            return
        finally:
            if self._finding is finding:
                self._finding = None
        self.question = question
        self._letters_found, self._is_cut = answer.letters, answer.is_cut
        await letters.show_found(answer.listing)
        if answer.warning:
            letters.said.warn(answer.warning)

    def facts(self, shown: int) -> str:
        """How many letters were found, of which so many are shown."""
        if self._letters_found <= shown:
            return counted(shown, "letter")
        return f"{grouped(shown)} of {'at least ' if self._is_cut else ''}{counted(self._letters_found, 'letter')}"

    def one_left(self) -> None:
        """A letter that was found is elsewhere now."""
        self._letters_found -= 1

    # --- conversations --------------------------------------------------------------------------------------

    def begin_threads(self, *, again: bool = False) -> None:
        """Unless they are being found. `again`: not sooner than some seconds after the last time."""
        wait = max(self._threaded + RETHREAD_SECONDS - monotonic(), 0.0) if again else 0.0
        if self._conversing is None and not self._is_waiting:
            self._is_waiting = True
            if wait:
                self._letters.set_timer(wait, self._start_threads)
            else:
                self._start_threads()

    def _start_threads(self) -> None:
        self._is_waiting = False
        self._letters.run_worker(self._thread(), group="threads")

    async def _thread(self) -> None:
        letters, tell = self._letters, self._teller()
        shown, folder = letters.rows.listing.kind, letters.folder

        def told(done: int, of: int) -> None:
            if shown is Kind.FOLDER and of > done > 0:
                tell(f"finding conversations: {done * 100 // of}%; Esc stops it")

        try:
            snapshot = await letters.mail.snapshot(folder)
            self._conversing = Conversing(letters.mail.file, letters.mail.mailbox.key, snapshot, told)
            listing = await self._conversing.listing()
        except Stopped:
            return
        except (PostofficeError, OSError) as error:
            letters.said.warn(str(error))
            return
        finally:
            self._conversing, self._threaded = None, monotonic()
        if letters.rows.listing.kind is shown and letters.folder == folder:  # nobody went elsewhere meanwhile
            await letters.rows.show(listing, letters.rows.chosen)
            if shown is Kind.FOLDER:
                letters.said.forget()
