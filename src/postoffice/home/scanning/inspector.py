"""A scanner and a person's policy, asked about letter after letter.

A few are scanned at once. A scanner that cannot be reached, or that says nothing of several letters in a row, is not
asked again by this inspector: what it would have been asked about has no verdict, and the next run asks. An exception
that nobody foresaw is no verdict either.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from postoffice.client.run import Placed
from postoffice.clock import Clock, system_clock
from postoffice.errors import StoreError
from postoffice.events import event
from postoffice.home.scanning.policy import Lack, Scanning
from postoffice.message.printable import safe
from postoffice.protocols.dots import Unstuffer
from postoffice.store.base import Stage
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED, Piece, Scan, Verdict
from postoffice.trust.scan.answers import Answer, Clean, Found, NoAnswer, TooLarge
from postoffice.trust.scan.naming import scanner

AT_ONCE: Final = 4
"""Letters that are scanned at once; clamd has ten threads unless it is told otherwise."""

MOST_FAILURES: Final = 3
"""After so many letters in a row without a verdict the scanner is taken to be away."""

ReadPiece = Callable[[int], Awaitable[Piece | None]]


class GoneMeanwhile(StoreError):
    """The letter was removed while it was scanned."""


class Inspector:
    """`trouble` says why the scanner is not asked any more, empty while it is; `last`, why it said nothing lately.
    `folder` is for large letters under way, None where nothing of them may be on a disk.

    Raises UsageError where the policy names no scanner.
    """

    def __init__(self, scanning: Scanning, folder: Path | None = None, clock: Clock = system_clock) -> None:
        self.scanning = scanning
        self.trouble = ""
        self.last = ""
        self._scanner = scanner(scanning.by, folder)
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._asking = asyncio.Lock()
        self._signatures: str | None = None
        self._failures = 0

    @property
    def name(self) -> str:
        return self._scanner.name

    # --- letters that come

    async def look(self, stage: Stage) -> Placed:
        return self._placed(await self.scanned(stage.read))

    def unlooked(self) -> Placed:
        return self._placed(self._without("nobody waited for it"))

    def _placed(self, scan: Scan) -> Placed:
        return Placed(self.place(scan, INBOX), scan)

    def place(self, scan: Scan, wanted: str) -> str:
        """The folder of a letter of which this holds; `wanted` is where it belongs if it may be seen."""
        match scan.verdict:
            case Verdict.INFECTED:
                return QUARANTINE if scan.is_dangerous else wanted
            case Verdict.CLEAN:
                return wanted
            case Verdict.TOO_LARGE:
                return wanted if self.scanning.too_large is Lack.PASS else UNSCANNED
            case Verdict.UNSCANNED:
                return wanted if self.scanning.unscanned is Lack.PASS else UNSCANNED

    # --- any letter

    async def signatures(self) -> str:
        """What the scanner knew when it was first asked, so that a verdict is never taken for a later one's.

        Raises NoAnswer.
        """
        async with self._asking:
            if self.trouble:
                raise NoAnswer(self.trouble, is_away=True)
            if self._signatures is None:
                try:
                    self._signatures = await self._scanner.signatures(self.scanning.seconds)
                except NoAnswer as error:
                    self._is_away(str(error))
                    raise
            return self._signatures

    async def scanned(self, read: ReadPiece) -> Scan:
        """What the scanner says now of the letter whose pieces `read` gives. Raises StoreError where it does."""
        async with self._places:
            try:
                signatures = await self.signatures()
                answer = await self._scanner.scan(_octets(read), self.scanning.seconds)
            except NoAnswer as error:
                self._failed(error)
                return self._without(str(error))
            except StoreError:
                raise
            except Exception as error:
                # A bug of ours, or of a library: the letter waits, and nothing is said of it.
                event("home.scan_failed", because="".join(traceback.format_exception(error)))
                self.last = f"a bug of ours: {safe(str(error))}"
                return self._without(self.last)
            self._failures = 0
            return self._scan(answer, signatures)

    def _scan(self, answer: Answer, signatures: str) -> Scan:
        now = self._clock()
        match answer:
            case Clean():
                return Scan(Verdict.CLEAN, self.name, now, "", signatures)
            case Found(name):
                return Scan(Verdict.INFECTED, self.name, now, name, signatures)
            case TooLarge(because):
                return Scan(Verdict.TOO_LARGE, self.name, now, because, signatures)

    def _without(self, because: str) -> Scan:
        return Scan(Verdict.UNSCANNED, self.name, self._clock(), because)

    def _failed(self, error: NoAnswer) -> None:
        self._failures += 1
        self.last = str(error)
        if error.is_away or self._failures >= MOST_FAILURES:
            self._is_away(str(error))

    def _is_away(self, because: str) -> None:
        self.last = because
        if not self.trouble:
            self.trouble = because
            event("home.scanner_away", because=because)


async def _octets(read: ReadPiece) -> AsyncIterator[bytes]:
    """A letter without its dots, piece by piece."""
    unstuffer, index, more = Unstuffer(), 0, True
    while more:
        piece = await read(index)
        if piece is None:
            raise GoneMeanwhile("the letter was removed meanwhile")
        yield unstuffer.feed(piece.wire)
        index, more = index + 1, piece.more
