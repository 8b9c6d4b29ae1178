"""Letters on their way: asked for ahead of their answers, taken from the wire into stages, kept in batches.

As many are asked for as a window of letters and octets allows (RFC 2449 §6.6). A batch is one transaction, and while it
becomes durable the next one comes: neither the network nor the disk waits for the other. Where letters are inspected, a
batch becomes durable when each of its letters was, and the next one comes meanwhile; more than these two do not come.

A letter of another size than was announced may be cut, by a line that is only a dot and was not stuffed, or mixed with
another one, by a server that cannot do two things at a time. It is kept when the next answer shows that both sides are
in step; what is behind a letter that ended in the wrong place is no answer.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from postoffice.client.ledger import Ledger
from postoffice.client.recognition import Met, header_digest
from postoffice.client.run import Placed, Run
from postoffice.client.settling import Settling, must_end
from postoffice.client.talk import Talk, said
from postoffice.errors import PostofficeError, StoreError
from postoffice.events import event
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Body
from postoffice.protocols.pop3.commands import Command
from postoffice.store.model import CHUNK_OCTETS, UNSCANNED, Letter, Origin, Scan, Staged, Verdict

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox, Stage


class Coming(NamedTuple):
    """A letter that has come and is not kept yet; the end of a large one is on its way into the stage, and a small one
    may have none. `look` ends with where it belongs."""

    met: Met
    letter: Letter | asyncio.Task[Letter]
    stage: Stage | None = None
    look: asyncio.Task[Placed] | None = None


class Unsettled(NamedTuple):
    """A letter that the mailbox has, and that may not be durable yet; `is_new`: nobody else had brought it home."""

    met: Met
    octets: int
    folder: str
    scan: Scan | None
    is_new: bool


Batch = list[Coming]

FEW_LETTERS: Final = 16
"""Of a batch of so many or fewer it is the octets that take time, in which no Python runs."""

_FIT_TO_SHOW: Final = re.compile(r"[!-~]{1,70}")


class Fetching:
    """Of one session. `here` are the letters that became durable, or were found to be known; `kept` is how many of
    them are new. `is_fruitful`: this run met one of them for the first time."""

    def __init__(self, run: Run, mailbox: Mailbox, ledger: Ledger, settling: Settling, seen: float) -> None:
        self.here: list[Met] = []
        self.kept = 0
        self.is_fruitful = False
        self._run = run
        self._options = run.options
        self._report = run.report
        self._mailbox = mailbox
        self._ledger = ledger
        self._settling = settling
        self._seen = seen
        self._shown: set[str] = set()
        self._asked: deque[Met] = deque()
        self._unproved: Met | None = None
        self._arriving: Stage | None = None
        self._batch: Batch = []
        self._batch_octets = 0
        self._looks: set[asyncio.Task[Placed]] = set()
        self._is_hurried = False
        self._keeping: asyncio.Task[None] | None = None
        self._unsettled: list[Unsettled] = []

    @property
    def coming(self) -> Met | None:
        """The letter that is to blame if something goes wrong now."""
        return self._unproved or (self._asked[0] if self._asked else None)

    async def fetch(self, talk: Talk, wanted: deque[Met], window: int) -> None:
        """RETR, always some ahead. More are asked for when half of them have come, so that they go in one write."""
        self._shown = set((await self._mailbox.snapshot()).unique_ids)
        asked, limit, on_the_way = self._asked, self._options.window_octets, 0
        while asked or wanted:
            if wanted and len(asked) <= window // 2 and on_the_way <= limit // 2:
                more: list[Command] = []
                while wanted and len(asked) < window and self._may_follow(wanted[0], on_the_way):
                    met = wanted.popleft()
                    asked.append(met)
                    on_the_way += met.item.octets
                    more.append(commands.retrieve(met.item.number))
                talk.say_all(more)
            answer = await talk.answer()
            self._unproved = None
            if not answer.has_body:
                self.give_up(asked[0], said(answer.reply.text))
            elif not self._took_whole(talk, asked[0]):
                await self._take(talk, asked[0])
            taken = asked.popleft()
            on_the_way -= taken.item.octets
            if self._unproved is not None and not asked and (not wanted or self._is_suspect(taken)):
                await talk.ask(commands.NOOP)
                self._unproved = None
            if self._is_full and self._unproved is None:
                await self._begin_to_keep()
        await self.keep()

    def _may_follow(self, met: Met, on_the_way: int) -> bool:
        """Whether a letter is asked for ahead. A suspect goes alone, so that no other one is blamed for it."""
        if not self._asked:
            return True
        if self._run.stumbles and (self._is_suspect(met) or self._is_suspect(self._asked[-1])):
            return False
        return on_the_way + met.item.octets <= self._options.window_octets

    def _is_suspect(self, met: Met) -> bool:
        return met.source_id in self._run.stumbles

    @property
    def _is_full(self) -> bool:
        return len(self._batch) >= self._options.batch_letters or self._batch_octets >= self._options.batch_octets

    def _took_whole(self, talk: Talk, met: Met) -> bool:
        """A small letter that is here to its end needs no stage. (One that is inspected is read from there.)"""
        wire = talk.machine.take_body(CHUNK_OCTETS) if self._options.inspection is None else None
        if wire is not None:
            self._arrived(met, Staged.of(wire), None)
        return wire is not None

    async def _take(self, talk: Talk, met: Met) -> None:
        """One letter, from the wire into a stage."""
        self._arriving = stage = await self._mailbox.stage()
        octets = 0
        while isinstance(heard := await talk.hear(), Body):
            octets += len(heard.wire)
            must_end(octets, met.item)
            event("home.arriving", octets=octets)
            await stage.write(heard.wire)
        if octets > CHUNK_OCTETS and self._options.inspection is None and not self._settling.doubts:
            await self._take_large(stage, met)
            return
        staged = await stage.finish()
        self._arriving = None
        if not self._arrived(met, staged, stage):
            await stage.abandon()

    def _arrived(self, met: Met, staged: Staged, stage: Stage | None) -> bool:
        """Whether it is new."""
        octets = staged.content.octets
        self._look_at_size(met, octets)
        if self._settling.doubts and (known := self._settling.known_by_octets(met.item, staged.content.sha256)):
            self._met_again(known)
            return False
        letter = self._letter(staged, met, self._showable(met))
        self._came(Coming(met, letter, stage, self._look(stage)), octets)
        return True

    async def _take_large(self, stage: Stage, met: Met) -> None:
        """The last of it is written while the next letter comes."""
        octets = await stage.octets()
        self._look_at_size(met, octets)
        letter = asyncio.create_task(self._finished(stage, met, self._showable(met)))
        letter.add_done_callback(_heard)
        self._arriving = None
        self._came(Coming(met, letter, stage), octets)

    async def _finished(self, stage: Stage, met: Met, unique_id: str | None) -> Letter:
        return self._letter(await stage.finish(), met, unique_id)

    def _look_at_size(self, met: Met, octets: int) -> None:
        if octets != met.item.octets:
            self._run.different.add(met.source_id)
            self._unproved = met
            event("home.different", source_id=met.source_id, announced=met.item.octets, octets=octets)

    def _letter(self, staged: Staged, met: Met, unique_id: str | None) -> Letter:
        return Letter(
            staged,
            self._options.dated(staged.head, self._options.clock()),
            unique_id=unique_id,
            origin=Origin(self._ledger.source, met.source_id, met.item.octets, header_digest(staged.head), self._seen),
        )

    def _came(self, coming: Coming, octets: int) -> None:
        self._batch.append(coming)
        self._batch_octets += octets
        event("home.fetched", source_id=coming.met.source_id, octets=octets)

    def _met_again(self, met: Met) -> None:
        self.here.append(met)
        if met.source_id not in self._run.fetched and met.source_id not in self._run.known:
            self._run.known.add(met.source_id)
            self.is_fruitful = True

    def _showable(self, met: Met) -> str | None:
        """The server's unique-id, if this mailbox can show it too; else the letter gets one of ours."""
        unique_id = met.item.unique_id
        if unique_id not in self._shown and _FIT_TO_SHOW.fullmatch(unique_id):
            self._shown.add(unique_id)
            return unique_id
        if unique_id:
            self._report.renamed += 1
            event("home.renamed", source_id=met.source_id)
        return None

    async def keep(self) -> None:
        """All that is here becomes durable."""
        await self._begin_to_keep()
        await self._kept()
        if self._unsettled:
            await self._settle(at_once=True)

    async def _begin_to_keep(self) -> None:
        """The batch is on its way to the disk when the one before it is there.

        The next letters are taken from the wire when only the disk is waited for: two threads that both run Python
        hand its lock to each other with every step of SQLite, which costs as much as the steps. A few large ones are
        not many steps.
        """
        await self._kept()
        if self._batch:
            if self._options.make_room is not None:
                await self._options.make_room(self._batch_octets)
            batch, self._batch, self._batch_octets = self._batch, [], 0
            put = asyncio.Event()
            self._keeping = asyncio.create_task(self._append(batch, put))
            if self._options.inspection is None and len(batch) > FEW_LETTERS:
                await put.wait()

    async def _kept(self) -> None:
        """What is on its way to the disk is there. Raises what went wrong with it."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            await keeping

    async def _append(self, batch: Batch, put: asyncio.Event) -> None:
        try:
            is_placed = self._options.inspection is None
            letters = [
                one.letter if is_placed and isinstance(one.letter, Letter) else await self._placed(one) for one in batch
            ]
            keys = await self._mailbox.append(letters, put.set, may_wait=True)
        except StoreError:
            await _let_go(batch)
            raise
        finally:
            put.set()
        for key, letter, one in zip(keys, letters, batch, strict=True):
            octets = letter.staged.content.octets
            self._unsettled.append(Unsettled(one.met, octets, letter.folder, letter.scan, bool(key)))
            if not key and one.stage is not None:  # somebody else brought it home meanwhile
                await one.stage.abandon()
        await self._settle(at_once=False)

    async def _settle(self, *, at_once: bool) -> None:
        """What the mailbox has is durable, and is told, unless it puts that off."""
        if not await self._mailbox.settle(at_once=at_once):
            return
        durable, self._unsettled = self._unsettled, []
        new = [one for one in durable if one.is_new]
        for one in durable:
            if not one.is_new:
                self._met_again(one.met)
            elif one.scan is not None:
                self._count_scan(one.scan, one.folder, one.met)
        self.here += [one.met for one in new]
        self.kept += len(new)
        self.is_fruitful = self.is_fruitful or bool(new)
        self._run.fetched.update(one.met.source_id for one in new)
        self._report.letters += len(new)
        self._report.octets += sum(one.octets for one in new)
        event("home.kept", letters=len(durable))

    def _look(self, stage: Stage | None) -> asyncio.Task[Placed] | None:
        """The scan of a letter, begun."""
        inspection = self._options.inspection
        if inspection is None or self._is_hurried or stage is None:
            return None
        look = asyncio.create_task(inspection.look(stage))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        look.add_done_callback(_heard)
        return look

    async def _placed(self, one: Coming) -> Letter:
        """A letter as it is to be kept."""
        letter = one.letter if isinstance(one.letter, Letter) else await one.letter
        inspection = self._options.inspection
        if inspection is None:
            return letter
        placed = inspection.unlooked()
        if one.look is not None:
            await asyncio.wait([one.look])
            placed = placed if one.look.cancelled() else one.look.result()
        return letter._replace(folder=placed.folder, scan=placed.scan)

    def _count_scan(self, scan: Scan, folder: str, met: Met) -> None:
        report = self._report
        if scan.verdict is Verdict.CLEAN:
            return
        report.infected += scan.verdict is Verdict.INFECTED
        report.unscanned += scan.verdict is Verdict.UNSCANNED
        report.too_large += scan.verdict is Verdict.TOO_LARGE
        report.held += folder == UNSCANNED
        name = f"home.{scan.verdict.value.replace(' ', '_')}"
        event(name, source_id=met.source_id, said=scan.name, scanner=scan.scanner, folder=folder)

    def hurry(self) -> None:
        """Nobody waits for scans any more: what has come is kept without."""
        self._is_hurried = True
        for look in list(self._looks):
            look.cancel()

    async def ended(self) -> None:
        """Nothing of it is on its way to the disk any more, whatever came of it."""
        with suppress(PostofficeError):
            await self._kept()

    async def abandon(self, *, all_of_it: bool) -> None:
        """Forget the letter that was half here, or may be, or all that is not kept."""
        dropped = [one for one in self._batch if all_of_it or one.met is self._unproved]
        self._batch = [one for one in self._batch if one not in dropped]
        looks = [one.look for one in dropped if one.look is not None]
        for look in looks:
            look.cancel()
        if looks:
            await asyncio.wait(looks)
        await _let_go(dropped)
        if self._arriving is not None:
            await self._arriving.abandon()

    def give_up(self, met: Met, words: str) -> None:
        """A letter that this run does not ask for again; the next one does."""
        self._run.refused.add(met.source_id)
        self.note_a_try(met, words)
        event("home.refused", source_id=met.source_id, said=words)

    def note_a_try(self, met: Met, words: str) -> None:
        if met.item.unique_id:  # else nobody will know it again
            before = self._ledger.get(met.source_id)
            seen, tries = (before.seen, before.tries) if before is not None else (self._seen, 0)
            self._ledger.note(met.source_id, octets=met.item.octets, seen=seen, tries=tries + 1, words=words, gone=None)


async def _let_go(batch: Batch) -> None:
    """Letters that nobody wants; none of them is finished behind that."""
    for one in batch:
        if not isinstance(one.letter, Letter):
            await asyncio.wait([one.letter])
        if one.stage is not None:
            await one.stage.abandon()


def _heard(ended: asyncio.Task[Any]) -> None:
    """Whoever keeps the letter asks for what came of it; where nobody does, nobody is told."""
    if not ended.cancelled():
        ended.exception()
