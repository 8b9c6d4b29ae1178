"""The scans of one pull: of letters that come, and meanwhile of those that were held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from postoffice.client.run import Options
from postoffice.errors import PostofficeError
from postoffice.events import event
from postoffice.home.scanning.again import LookAgain
from postoffice.home.scanning.inspector import Inspector
from postoffice.home.scanning.outcome import Again, Scanned
from postoffice.home.scanning.policy import Scanning
from postoffice.home.scanning.quiet import Quiet
from postoffice.home.scanning.withheld import waiting
from postoffice.store.base import Mailbox

NOBODY_SCANS = "no scanner is named"


class Scans:
    """Those of a pull into `file`; of one that `is_locked`, nothing is on a disk meanwhile. Raises UsageError where no
    scanner is named."""

    def __init__(self, scanning: Scanning, file: Path, *, is_locked: bool = False) -> None:
        self._file = file
        self._inspector = Inspector(scanning, None if is_locked else file.absolute().parent)
        self._held = Again()

    def on(self, options: Options) -> Options:
        return options._replace(inspection=self._inspector)

    @asynccontextmanager
    async def of_held(self, mailbox: Mailbox) -> AsyncIterator[None]:
        """Held letters are scanned while the `with` goes on; it ends when that is over too, or stopped."""
        looking = asyncio.create_task(LookAgain(mailbox, self._inspector).at_held())
        try:
            yield
        except asyncio.CancelledError:
            looking.cancel()
            raise
        finally:
            await asyncio.wait([looking])
            problem = None if looking.cancelled() else looking.exception()
        if problem is not None:
            raise problem
        self._held = looking.result()

    async def told(self, mailbox: Mailbox) -> Scanned:
        """What came of it, when all is over."""
        left = await waiting(mailbox)
        trouble = f"{self._inspector.last}; the next run tries again" if left.unscanned else ""
        return Scanned(self._held, left, trouble, self._file)

    async def in_quiet(self, mailbox: Mailbox, quiet: Quiet, account: str, *, has_new: bool) -> None:
        """Scan again what needs it. That this fails is told, and no failure of the pull that is over."""
        try:
            report = await quiet.look(mailbox, self._file, self._inspector, has_new=has_new)
        except PostofficeError as problem:
            event("home.not_scanned_again", account=account, because=str(problem))
            return
        if report is not None and report.letters:
            facts = {name: getattr(report, name) for name in ("letters", "infected", "released", "left")}
            event("home.scanned_again", account=account, **facts)


async def of_nobody(mailbox: Mailbox, file: Path) -> Scanned:
    """What is told where letters are held and there is no scanner any more."""
    left = await waiting(mailbox)
    return Scanned(Again(), left, NOBODY_SCANS if left.unscanned else "", file)
