"""The scans of one pull: of letters that come, and meanwhile of those that were held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from postoffice.client.run import Options
from postoffice.home.scanning.again import Again, LookAgain
from postoffice.home.scanning.inspector import Inspector
from postoffice.home.scanning.policy import Scanning
from postoffice.home.scanning.withheld import Waiting, waiting
from postoffice.store.base import Mailbox

NOBODY_SCANS = "no scanner is named"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What became of letters that were `held` in `file`, and of how many nobody can say anything yet, because of
    `trouble`."""

    held: Again = field(default_factory=Again)
    waiting: Waiting = Waiting()
    trouble: str = ""
    file: Path = Path()


class Scans:
    """`scanning` None: letters are not scanned, and those that were held before are told."""

    def __init__(self, scanning: Scanning | None, file: Path) -> None:
        self._file = file
        self._inspector = Inspector(scanning, file.absolute().parent) if scanning is not None else None
        self._held = Again()

    def on(self, options: Options) -> Options:
        return replace(options, inspection=self._inspector) if self._inspector is not None else options

    @asynccontextmanager
    async def of_held(self, mailbox: Mailbox) -> AsyncIterator[None]:
        """Held letters are scanned while the `with` goes on; it ends when that is over too, or stopped."""
        if self._inspector is None:
            yield
            return
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
        trouble = f"{self._inspector.last}; the next run tries again" if self._inspector is not None else NOBODY_SCANS
        return Scanned(self._held, left, trouble if left.unscanned else "", self._file)
