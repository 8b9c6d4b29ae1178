"""One session of a run: what the server lists is recognized, what is new is fetched and kept, what may go is deleted.

Letters are asked for ahead of their answers (RFC 2449 §6.6), as many as a window of letters and octets allows, and
kept in batches, each of them one transaction.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from postoffice.client.entrance import Key, enter
from postoffice.client.listing import Listed, listing
from postoffice.client.recognition import Doubt, Met, Recognition, header_digest, matching, recognize
from postoffice.client.rules import Lying, Scene
from postoffice.client.run import STUMBLES, Run
from postoffice.client.talk import Talk, said
from postoffice.errors import (
    ConnectionLost,
    Disconnected,
    PostofficeError,
    Refused,
    RemoteProtocolError,
    StoreError,
    UsageError,
)
from postoffice.events import event
from postoffice.message.content import HEAD_OCTETS
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.dots import Unstuffer
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Body, Pop3Client
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.table import Keyword, State
from postoffice.store.base import Mailbox, Stage
from postoffice.store.model import Letter, Origin, Pulled, Staged

CLOSE_SECONDS: Final = 2.0

SURPLUS_OCTETS: Final = 64 * 1024 * 1024
"""How much more than twice what was announced a letter may have; some servers send for ever."""

MOST_GIVEN_UP: Final = 10
"""After how many letters that broke a session off it is the server that is broken."""

_FIT_TO_SHOW: Final = re.compile(r"[!-~]{1,70}")


class _Endless(RemoteProtocolError):
    """A body that goes on and on."""


class Session:
    """`new` letters were fetched and kept, of `listed`. `is_fruitful`: it brought the run nearer to its end."""

    def __init__(self, run: Run, key: Key, mailbox: Mailbox) -> None:
        self.listed = 0
        self.new = 0
        self.is_fruitful = False
        self._run = run
        self._options = run.options
        self._report = run.report
        self._key = key
        self._mailbox = mailbox
        self._source = key.source.maildrop
        self._window = 1
        self._seen = 0.0
        self._memory: Mapping[str, Pulled] = {}
        self._notes: dict[str, Pulled] = {}
        self._here: list[Met] = []
        self._taken: set[str] = set()
        self._doubts: dict[int, Doubt] = {}
        self._shown: set[str] = set()
        self._asked: deque[Met] = deque()
        self._arriving: Stage | None = None
        self._batch: list[tuple[Stage, Letter, Met]] = []
        self._batch_octets = 0
        self._end: asyncio.Future[None] | None = None

    async def ended(self) -> None:
        """Wait for the end of the conversation, if it began: it finishes what it does to the mailbox."""
        if self._end is not None:
            await self._end

    async def converse(self, dialogue: Dialogue[Pop3Client]) -> None:
        self._end = asyncio.get_running_loop().create_future()
        self._talk = Talk(dialogue, self._key.source.host)
        self._report.sessions += 1
        dialogue.patience = self._options.patience_seconds
        try:
            await self._pull()
        except PostofficeError as problem:
            await self._save_what_is_here(problem)
            if isinstance(problem, (Disconnected, RemoteProtocolError)):
                await self._learn_from(problem)
            if isinstance(problem, RemoteProtocolError):
                raise RemoteProtocolError(f"{self._key.source.host} broke the protocol: {problem}") from problem
            raise
        finally:
            self._end.set_result(None)

    async def _pull(self) -> None:
        capabilities = await enter(self._talk, self._key)
        self._run.enter(capabilities)
        can_pipeline = b"PIPELINING" in capabilities and self._run.trusts_pipelining
        self._window = self._options.window_letters if can_pipeline else 1
        items = await listing(
            self._talk,
            can_pipeline=can_pipeline,
            says_uidl=b"UIDL" in capabilities,
            needs_unique_ids=self._options.needs_unique_ids,
        )
        self._seen = self._options.clock()
        self._memory = await self._mailbox.pulled(self._source)
        found = recognize(items, self._memory)
        await self._settle(found)
        await self._note_what_is_gone(found)
        wanted = self._wanted(found)
        self._count(found, len(wanted), sum(item.octets for item in items))
        if wanted:
            self._shown = set((await self._mailbox.snapshot()).unique_ids)
            await self._fetch(wanted)
        await self._flush()
        marked = await self._delete(items) if self._options.rules else []
        await self._quit(marked)

    def _count(self, found: Recognition, wanted: int, octets: int) -> None:
        """What the listing says about the run."""
        run, names = self._run, [met.source_id for met in (*found.known, *found.new)]
        self.listed = len(names)
        run.listed.update(names)
        run.known.update(met.source_id for met in found.known if met.source_id not in run.fetched)
        self._report.listed, self._report.known = len(run.listed), len(run.known)
        event("home.listed", letters=self.listed, octets=octets, new=wanted)

    # --- what is it?

    async def _settle(self, found: Recognition) -> None:
        """Whether letters in doubt are known; those of which only the octets can tell are fetched for it."""
        self._taken = {met.source_id for met in found.known}
        digests = await self._digests([doubt.item for doubt in found.doubtful if doubt.by_header])
        for doubt in found.doubtful:
            digest = digests.get(doubt.item.number)
            if name := matching(doubt.candidates, self._memory, self._taken, digest):
                found.known.append(self._known_again(doubt, name))
                continue
            found.new.append(Met(doubt.item, doubt.source_id))
            if digest is None:
                self._doubts[doubt.item.number] = doubt
        self._here = list(found.known)

    async def _digests(self, items: Sequence[Listed]) -> dict[int, bytes | None]:
        """Of the headers of letters, by number, where the server gives them (TOP, RFC 1939 §7)."""
        digests: dict[int, bytes | None] = {}
        for start in range(0, len(items), self._window):
            flight = items[start : start + self._window]
            for item in flight:
                self._talk.say(Command(Keyword.TOP, (item.number, 0)))
            for item in flight:
                if (await self._talk.answer()).has_body:
                    digests[item.number] = header_digest(await self._header(item))
        return digests

    async def _header(self, item: Listed) -> bytes:
        unstuffer, head, octets = Unstuffer(), bytearray(), 0
        while isinstance(heard := await self._talk.hear(), Body):
            octets += len(heard.wire)
            self._must_end(octets, item)
            if len(head) < HEAD_OCTETS:
                head += unstuffer.feed(heard.wire)
        return bytes(head if b"\r\n\r\n" in head else head + b"\r\n")

    def _known_again(self, doubt: Doubt, name: str) -> Met:
        """A letter in doubt is the one that we remember as `name`, by whatever name the server has it now."""
        self._taken.add(name)
        before = self._memory[name]
        now = replace(before, octets=doubt.item.octets, confirmed=None, gone=None)
        if name.partition("\n")[0] == doubt.item.unique_id:
            self._notes[name] = now
            if before.confirmed:
                event("home.returned", source_id=name)
            return Met(doubt.item, name)
        self._notes[doubt.source_id] = now
        self._report.relinked += 1
        event("home.relinked", source_id=doubt.source_id, was=name)
        return Met(doubt.item, doubt.source_id)

    async def _note_what_is_gone(self, found: Recognition) -> None:
        for name in found.gone.difference(met.source_id for met in found.known):
            self._notes[name] = replace(self._memory[name], gone=self._seen)
            if name in self._run.marked:
                self._run.marked.discard(name)
                self._report.deleted += 1
                self.is_fruitful = True
        await self._flush()

    async def _flush(self) -> None:
        """What was noted becomes durable."""
        notes, self._notes = self._notes, {}
        await self._mailbox.note(self._source, notes)

    def _wanted(self, found: Recognition) -> deque[Met]:
        """What is fetched, in its order: what failed before comes last, so that it is in nobody's way."""
        run, options = self._run, self._options
        wanted = []
        for met in found.new:
            if options.largest is not None and met.item.octets > options.largest:
                if met.source_id not in run.left:
                    run.left.add(met.source_id)
                    event("home.left", source_id=met.source_id, octets=met.item.octets)
            elif met.source_id not in run.refused:
                wanted.append(met)
        self._report.left = len(run.left)
        if options.order != "oldest":
            wanted.sort(key=lambda met: -met.item.number if options.order == "newest" else met.item.octets)
        wanted.sort(key=self._tries_of_other_runs)
        return deque(wanted)

    def _tries_of_other_runs(self, met: Met) -> int:
        before = self._memory.get(met.source_id)
        return before.tries if before is not None and met.source_id not in self._run.stumbles else 0

    # --- bringing it here

    async def _fetch(self, wanted: deque[Met]) -> None:
        """RETR, always some ahead. More are asked for when half of them have come, so that they go in one write."""
        asked, window, limit = self._asked, self._window, self._options.window_octets
        on_the_way = 0
        while asked or wanted:
            if wanted and len(asked) <= window // 2 and on_the_way <= limit // 2:
                while wanted and len(asked) < window and (not asked or on_the_way + wanted[0].item.octets <= limit):
                    met = wanted.popleft()
                    asked.append(met)
                    on_the_way += met.item.octets
                    self._talk.say(commands.retrieve(met.item.number))
            answer = await self._talk.answer()
            if answer.has_body:
                await self._take(asked[0])
            else:
                self._give_up(asked[0], said(answer.reply.text))
            on_the_way -= asked.popleft().item.octets
            if len(self._batch) >= self._options.window_letters or self._batch_octets >= limit:
                await self._keep()
        await self._keep()

    async def _take(self, met: Met) -> None:
        """One letter, from the wire into a stage."""
        self._arriving = stage = await self._mailbox.stage()
        octets = 0
        while isinstance(heard := await self._talk.hear(), Body):
            octets += len(heard.wire)
            self._must_end(octets, met.item)
            await stage.write(heard.wire)
        staged = await stage.finish()
        self._arriving = None
        octets = staged.content.octets
        if octets != met.item.octets:
            self._report.different += 1
            event("home.different", source_id=met.source_id, announced=met.item.octets, octets=octets)
        if self._is_known_by_its_octets(met, staged):
            await stage.abandon()
            return
        letter = Letter(
            staged,
            self._options.dated(staged.head, self._options.clock()),
            unique_id=self._showable(met),
            origin=Origin(self._source, met.source_id, met.item.octets, header_digest(staged.head), self._seen),
        )
        self._batch.append((stage, letter, met))
        self._batch_octets += octets
        event("home.fetched", source_id=met.source_id, octets=octets)

    def _must_end(self, octets: int, item: Listed) -> None:
        if octets > 2 * item.octets + SURPLUS_OCTETS:
            raise _Endless(f"it announced {item.octets} octets and sends without an end")

    def _is_known_by_its_octets(self, met: Met, staged: Staged) -> bool:
        doubt = self._doubts.get(met.item.number)
        digest = staged.content.sha256
        for name in doubt.candidates if doubt else ():
            if name not in self._taken and self._memory[name].sha256 == digest:
                assert doubt is not None
                self._here.append(self._known_again(doubt, name))
                self._run.known.add(met.source_id)
                self._report.known = len(self._run.known)
                self.is_fruitful = True
                return True
        return False

    def _showable(self, met: Met) -> str | None:
        """The server's unique-id, if this mailbox can show it too; else the letter gets one of ours."""
        unique_id = met.item.unique_id
        if unique_id in self._shown or not _FIT_TO_SHOW.fullmatch(unique_id):
            if unique_id:
                self._report.renamed += 1
                event("home.renamed", source_id=met.source_id)
            return None
        self._shown.add(unique_id)
        return unique_id

    async def _keep(self) -> None:
        """The batch becomes durable."""
        if not self._batch:
            return
        if self._options.make_room is not None:
            await self._options.make_room(self._batch_octets)
        keys = await self._mailbox.append([letter for _, letter, _ in self._batch])
        batch, self._batch, self._batch_octets = self._batch, [], 0
        for key, (stage, letter, met) in zip(keys, batch, strict=True):
            self._here.append(met)
            if key:
                self.new += 1
                self._run.fetched.add(met.source_id)
                self._report.letters += 1
                self._report.octets += letter.staged.content.octets
            else:  # somebody else brought it home meanwhile
                self._run.known.add(met.source_id)
                self._report.known = len(self._run.known)
                await stage.abandon()
        self.is_fruitful = True
        event("home.kept", letters=len(batch))

    # --- when something fails

    def _give_up(self, met: Met, words: str) -> None:
        """A letter that this run does not ask for again; the next one does."""
        self._run.refused.add(met.source_id)
        self._report.refused = len(self._run.refused)
        self._note_a_try(met, words)
        event("home.refused", source_id=met.source_id, said=words)

    def _note_a_try(self, met: Met, words: str) -> None:
        if met.item.unique_id:  # else nobody will know it again
            before = self._memory.get(met.source_id, Pulled(seen=self._seen))
            self._notes[met.source_id] = replace(
                before, octets=met.item.octets, tries=before.tries + 1, words=words, gone=None
            )

    async def _save_what_is_here(self, problem: PostofficeError) -> None:
        """The session failed. Letters that are here whole are kept, unless it is the mailbox that failed."""
        if self._arriving is not None:
            await self._arriving.abandon()
        if isinstance(problem, StoreError):
            for stage, _, _ in self._batch:
                await stage.abandon()
        else:
            await self._keep()
        machine = self._talk.machine
        if isinstance(problem, (Refused, UsageError)) and machine.state is State.AUTHORIZATION and not machine.pending:
            self._talk.say(commands.QUIT)

    async def _learn_from(self, problem: PostofficeError) -> None:
        """Whose fault it was: the letter that was coming, or commands that were sent ahead."""
        run = self._run
        if self._window > 1 and (not self.is_fruitful or not isinstance(problem, ConnectionLost)):
            run.trusts_pipelining = False
        if self._asked:
            met = self._asked[0]
            times = run.stumbles[met.source_id] = run.stumbles.get(met.source_id, 0) + 1
            if times >= STUMBLES or isinstance(problem, _Endless):
                self._give_up(met, str(problem))
                self.is_fruitful = len(run.refused) <= MOST_GIVEN_UP
            else:
                self._note_a_try(met, str(problem))
        await self._flush()

    # --- what may go from there

    async def _delete(self, items: Sequence[Listed]) -> list[Met]:
        """✍ 3: every one of these is durable here. Gives those that the server will remove at QUIT."""
        if not self._here:
            return []
        memory = await self._mailbox.pulled(self._source)
        here = sorted((met for met in self._here if met.source_id in memory), key=lambda met: met.item.number)
        lying = [Lying(met, memory[met.source_id]) for met in here if memory[met.source_id].fetched is not None]
        now = self._options.clock()
        scene = Scene(lying, sum(item.octets for item in items), now, self._options.whole_in)
        why: dict[int, str] = {}
        for rule in self._options.rules:
            for number in await rule.chosen(scene):
                why.setdefault(number, str(rule))
        chosen = [one for one in lying if one.met.item.number in why]
        for one in chosen:
            if one.pulled.deleting is None:
                rule_of = why[one.met.item.number]
                self._notes[one.met.source_id] = replace(one.pulled, deleting=now, rule=rule_of)
        await self._flush()
        return await self._mark([one.met for one in chosen])

    async def _mark(self, letters: Sequence[Met]) -> list[Met]:
        marked = []
        for start in range(0, len(letters), self._window):
            flight = letters[start : start + self._window]
            for met in flight:
                self._talk.say(commands.delete(met.item.number))
            for met in flight:
                reply = (await self._talk.answer()).reply
                if reply.is_ok:
                    marked.append(met)
                    self._run.marked.add(met.source_id)
                    event("home.deleted", source_id=met.source_id)
                else:
                    event("home.not_deleted", source_id=met.source_id, said=said(reply.text))
        return marked

    async def _quit(self, marked: Sequence[Met]) -> None:
        """Without +OK nobody knows what the server removed; the next session will see."""
        try:
            reply = await self._talk.ask(commands.QUIT)
        except Disconnected as gone:
            if marked:
                raise type(gone)(f"{gone} before it confirmed what it deleted; everything is kept here") from gone
            return
        if marked and not reply.is_ok:
            raise self._talk.refused("to delete everything (all of it is kept here)", reply, os.EX_TEMPFAIL)
        if marked:
            await self._note_what_was_confirmed(marked)
        event(
            "home.closed",
            letters=self._report.letters,
            octets=self._report.octets,
            known=self._report.known,
            deleted=self._report.deleted,
        )

    async def _note_what_was_confirmed(self, marked: Sequence[Met]) -> None:
        now = self._options.clock()
        memory = await self._mailbox.pulled(self._source)
        self._notes = {met.source_id: replace(memory[met.source_id], confirmed=now) for met in marked}
        self._run.marked.difference_update(self._notes)
        self._report.deleted += len(marked)
        self.is_fruitful = True
        await self._flush()
