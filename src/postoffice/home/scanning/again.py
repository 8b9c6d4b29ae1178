"""Letters that are here are scanned: those that were held, and all of them when signatures changed.

Letters of which nothing is known, or not by these signatures, are asked about; held ones come first, so that they are
seen, then the latest. What comes of a batch is durable in one transaction, with the moves of its letters; who ends it
in the middle goes on there the next time. A letter that somebody let out stays out for the same signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from postoffice.errors import DamagedStore
from postoffice.events import event
from postoffice.home.scanning.inspector import GoneMeanwhile, Inspector
from postoffice.home.scanning.outcome import Again
from postoffice.home.scanning.policy import Lack
from postoffice.message.content import ContentDigest
from postoffice.protocols.dots import Unstuffer
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, QUARANTINE, REMOVED, UNSCANNED, Entry, Piece, Scan, Verdict
from postoffice.trust.scan.answers import NoAnswer

BATCH_LETTERS: Final = 64


def _never() -> bool:
    return False


class LookAgain:
    """One such look. `everything`: also what has a verdict by these signatures. `is_over` is asked between batches."""

    def __init__(
        self,
        mailbox: Mailbox,
        inspector: Inspector,
        *,
        everything: bool = False,
        is_over: Callable[[], bool] = _never,
        progress: Callable[[Again, int], None] | None = None,
    ) -> None:
        self.report = Again()
        self._mailbox = mailbox
        self._inspector = inspector
        self._everything = everything
        self._is_over = is_over
        self._progress = progress

    async def at_held(self) -> Again:
        """Only letters that were held."""
        if await self._has_held():
            await self._at([UNSCANNED])
        return self.report

    async def at_all(self) -> Again:
        names = [folder.name for folder in await self._mailbox.folders() if folder.name != REMOVED]
        first = [name for name in (UNSCANNED, INBOX) if name in names]
        await self._at([*first, *(name for name in names if name not in first)])
        return self.report

    async def _at(self, folders: Sequence[str]) -> None:
        try:
            signatures = await self._inspector.signatures()
        except NoAnswer as error:
            self.report.trouble = str(error)
            signatures = ""
            folders = [UNSCANNED] if self._inspector.scanning.unscanned is Lack.PASS else []
        for folder in folders:
            since = None if self._everything or folder == UNSCANNED else signatures
            keys = await self._mailbox.to_scan(folder, since)
            await self._through(folder, keys if folder == UNSCANNED else keys[::-1], signatures)

    async def _has_held(self) -> bool:
        is_there = UNSCANNED in [folder.name for folder in await self._mailbox.folders()]
        return is_there and len((await self._mailbox.snapshot(folder=UNSCANNED)).keys) > 0

    async def _through(self, folder: str, keys: Sequence[int], signatures: str) -> None:
        for number, batch in enumerate(_batches(keys)):
            if self._is_over() or (self._inspector.trouble and folder != UNSCANNED):
                self.report.left += len(keys) - number * BATCH_LETTERS
                self.report.trouble = self._inspector.trouble
                return
            entries = [entry for entry in await self._mailbox.describe(batch) if entry is not None]
            await self._judge(folder, entries, signatures)
            if self._progress is not None:
                self._progress(self.report, len(keys) - (number + 1) * BATCH_LETTERS)
        self.report.trouble = self._inspector.trouble

    async def _judge(self, folder: str, entries: Sequence[Entry], signatures: str) -> None:
        names = list(dict.fromkeys(entry.sha256 for entry in entries))
        before = dict(zip(names, await self._mailbox.scans(names), strict=True))
        ones = {entry.sha256: entry for entry in entries}
        asked = [ones[name] for name in names if self._is_to_ask(folder, before[name], signatures)]
        answers = await asyncio.gather(*(self._scanned(entry) for entry in asked))
        new = {entry.sha256: scan for entry, scan in zip(asked, answers, strict=True) if scan is not None}
        new = {name: _with_former_name(scan, before[name]) for name, scan in new.items()}
        moves: dict[str, list[int]] = {}
        for entry in entries:
            scan, was = new.get(entry.sha256), before[entry.sha256]
            now = scan.after(was) if scan is not None else was
            if now is not None and (place := self._place(folder, now)) != folder:
                moves.setdefault(place, []).append(entry.key)
        await self._mailbox.judge(new, moves)
        self._count(folder, entries, before, new, moves)

    def _is_to_ask(self, folder: str, before: Scan | None, signatures: str) -> bool:
        """A held letter that is too large for these signatures still is."""
        if folder != UNSCANNED or self._everything or before is None:
            return True
        return before.verdict is not Verdict.TOO_LARGE or before.signatures != signatures

    async def _scanned(self, entry: Entry) -> Scan | None:
        """None where that says nothing of the letter: it is gone, or damaged."""
        try:
            return await self._inspector.scanned(_Whole(self._mailbox, entry).read)
        except GoneMeanwhile:
            return None
        except DamagedStore as error:
            self.report.unreadable += 1
            event("home.not_scanned", letter=entry.unique_id, because=str(error))
            return None

    def _place(self, folder: str, scan: Scan) -> str:
        """From quarantine nothing comes by itself; what is seen goes only there."""
        if folder == QUARANTINE:
            return folder
        if folder == UNSCANNED:
            return self._inspector.place(scan, INBOX)
        return QUARANTINE if scan.is_dangerous else folder

    def _count(
        self,
        folder: str,
        entries: Sequence[Entry],
        before: dict[bytes, Scan | None],
        new: dict[bytes, Scan],
        moves: dict[str, list[int]],
    ) -> None:
        report = self.report
        report.letters += sum(scan.verdict is not Verdict.UNSCANNED for scan in new.values())
        report.infected += len(moves.get(QUARANTINE, []))
        report.released += len(moves.get(INBOX, []))
        moved = set(moves.get(QUARANTINE, []))
        for entry in entries:
            scan, was = new.get(entry.sha256), before[entry.sha256]
            if entry.key in moved:
                found = scan.after(was) if scan is not None else was
                assert found is not None
                facts = {"said": found.name, "scanner": found.scanner, "folder": folder}
                event("home.found", letter=entry.unique_id, **facts)
            if folder == QUARANTINE and scan is not None and scan.verdict is Verdict.CLEAN:
                report.cleared += 1


class _Whole:
    """A letter that is read from its first piece to its last.

    A verdict is kept by the SHA-256 of a content, so none may come of other octets.
    """

    def __init__(self, mailbox: Mailbox, entry: Entry) -> None:
        self._mailbox = mailbox
        self._entry = entry
        self._unstuffer = Unstuffer()
        self._content = ContentDigest(len(entry.prefix))

    async def read(self, index: int) -> Piece | None:
        """Raises DamagedStore, at the last piece if what was read is not what came."""
        [piece] = await self._mailbox.read([self._entry.key], index)
        if piece is not None:
            self._content.add(self._unstuffer.feed(piece.wire))
            if not piece.more and self._content.digest() != self._entry.sha256:
                raise DamagedStore("its octets are not those that came (its SHA-256 says so)")
        return piece


def _with_former_name(scan: Scan, before: Scan | None) -> Scan:
    """Of a content that is clean now, what was found in it before is still worth knowing."""
    if before is None or scan.verdict is not Verdict.CLEAN or before.verdict not in (Verdict.INFECTED, Verdict.CLEAN):
        return scan
    return scan._replace(name=before.name)


def _batches(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), BATCH_LETTERS):
        yield keys[start : start + BATCH_LETTERS]
