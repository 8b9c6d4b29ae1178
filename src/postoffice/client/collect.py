"""Bringing mail home: a maildrop is pulled into a mailbox, every letter once, exactly as the server had it.

    enter ─▶ list ─▶ RETR what is new ─▶ keep, durably ─▶ DELE ✍ 3 ─▶ QUIT and its +OK

A letter and the memory that it was pulled are one transaction, so an end at any moment neither doubles nor loses
one: what was not kept is fetched by the next run, what was kept is passed over. DELE is said only about letters that
are durable at home; the server removes them at QUIT (RFC 1939 §6), and if that fails, the next run says it again.

Letters are asked for ahead of their answers (RFC 2449 §6.6), as many as a window of letters and octets allows, and
kept in batches, each of them one transaction.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from postoffice.client.entrance import Key, enter
from postoffice.client.listing import Listed, listing
from postoffice.client.talk import Talk, said
from postoffice.client.url import Source
from postoffice.clock import Clock, system_clock
from postoffice.errors import Disconnected, PostofficeError, Refused, RemoteProtocolError, StoreError, UsageError
from postoffice.events import event
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue, Tracer
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Body, Pop3Client
from postoffice.protocols.pop3.table import State
from postoffice.store.base import Mailbox, Stage
from postoffice.store.model import Letter, Origin, Pulled

CLOSE_SECONDS: Final = 2.0

_FIT_TO_SHOW: Final = re.compile(r"[!-~]{1,70}")


@dataclass(frozen=True, slots=True)
class Options:
    """How to pull.

    `tls` None trusts the authorities of this system. `delete`: what is kept at home is removed from the server.
    `allows_clear_text`: the password may go over a network without TLS. The windows bound what was asked for and
    has not come, and what has come and is not kept. `dated` gives a letter's date from its beginning and the time now.
    `make_room` is awaited before so many octets are kept, and raises a StoreError if there is no room for them.
    """

    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    delete: bool = False
    allows_clear_text: bool = False
    patience_seconds: float = 120.0
    window_letters: int = 256
    window_octets: int = 4 * 1024 * 1024
    tracer: Callable[[Dialogue[Any]], Tracer | None] | None = None
    clock: Clock = system_clock
    dated: Callable[[bytes, float], float] = lambda _, now: now
    make_room: Callable[[int], Awaitable[None]] | None = None


@dataclass(slots=True)
class Report:
    """What became of a pull.

    `letters` and `octets` were fetched and kept; `known` were here before; `deleted` are removed from the server.
    `refused` were listed but not given, `different` came with another size than was announced, `renamed` have another
    unique id here, because the server's cannot be shown or is another letter's. `doubtful` have the unique id of one
    that was fetched before, and another size: they were neither fetched nor deleted.
    """

    listed: int = 0
    letters: int = 0
    octets: int = 0
    known: int = 0
    deleted: int = 0
    refused: int = 0
    different: int = 0
    renamed: int = 0
    doubtful: int = 0


async def collect(source: Source, mailbox: Mailbox, options: Options) -> Report:
    """Pull what is new. When it returns, everything that the report counts is durable.

    Raises Refused where the server says no, UsageError, Disconnected, RemoteProtocolError, StoreError; letters that
    had come whole before that are kept all the same.
    """
    tls = options.tls or client_context() if source.implicit_tls else options.tls
    key = Key(source, options.password, tls, options.allows_clear_text)
    pull = _Pull(key, mailbox, options)
    switchboard = Switchboard(options.tracer)
    try:
        await dial(
            (source.host, source.port),
            Pop3Client(),
            pull.converse,
            switchboard,
            tls=tls if source.implicit_tls else None,
            close_seconds=CLOSE_SECONDS,
        )
    finally:
        await pull.ended()
        switchboard.close()
    return pull.report


class _Pull:
    """One session."""

    def __init__(self, key: Key, mailbox: Mailbox, options: Options) -> None:
        self.report = Report()
        self._key = key
        self._mailbox = mailbox
        self._options = options
        self._source = key.source.maildrop
        self._shown: set[str] = set()
        self._arriving: Stage | None = None
        self._batch: list[tuple[Stage, Letter]] = []
        self._batch_octets = 0
        self._end: asyncio.Future[None] | None = None

    async def ended(self) -> None:
        """Wait for the end of the conversation, if it began: it finishes what it does to the mailbox."""
        if self._end is not None:
            await self._end

    async def converse(self, dialogue: Dialogue[Pop3Client]) -> None:
        self._end = asyncio.get_running_loop().create_future()
        self._talk = Talk(dialogue, self._key.source.host)
        dialogue.patience = self._options.patience_seconds
        try:
            await self._pull()
        except PostofficeError as problem:
            await self._save_what_is_here(problem)
            if isinstance(problem, RemoteProtocolError):
                raise RemoteProtocolError(f"{self._key.source.host} broke the protocol: {problem}") from problem
            raise
        finally:
            self._end.set_result(None)

    async def _pull(self) -> None:
        capabilities = await enter(self._talk, self._key)
        can_pipeline = b"PIPELINING" in capabilities
        items = await listing(self._talk, can_pipeline=can_pipeline)
        known = await self._mailbox.pulled(self._source)
        wanted = deque(item for item in items if item.source_id not in known)
        self.report.listed = len(items)
        self.report.known = len(items) - len(wanted)
        doubtful = self._doubtful(items, known)
        event(
            "home.listed",
            letters=len(items),
            octets=sum(item.octets for item in items),
            new=len(wanted),
            new_octets=sum(item.octets for item in wanted),
        )
        if wanted:
            self._shown = set((await self._mailbox.snapshot()).unique_ids)
            await self._fetch(wanted, self._options.window_letters if can_pipeline else 1)
        if self._options.delete and items:
            durable = await self._mailbox.pulled(self._source)
            gone = [item for item in items if item.source_id in durable and item.is_alone and item not in doubtful]
            await self._delete(gone, self._options.window_letters if can_pipeline else 1)
        await self._quit()
        event(
            "home.closed",
            letters=self.report.letters,
            octets=self.report.octets,
            known=self.report.known,
            deleted=self.report.deleted,
        )

    def _doubtful(self, items: Sequence[Listed], known: Mapping[str, Pulled]) -> set[Listed]:
        """Letters with a unique-id that is known, of another size than what was fetched under it: the server may have
        given it to a new letter, which RFC 1939 §7 forbids. They are told, and stay where they are."""
        found = {item for item in items if known.get(item.source_id, Pulled()).octets not in (None, item.octets)}
        for item in found:
            octets = known[item.source_id].octets
            event("home.doubtful", source_id=item.source_id, fetched=octets, listed=item.octets)
        self.report.doubtful = len(found)
        return found

    # --- bringing it here

    async def _fetch(self, wanted: deque[Listed], window: int) -> None:
        """RETR, always some ahead. More are asked for when half of them have come, so that they go in one write."""
        asked: deque[Listed] = deque()
        on_the_way = 0
        limit = self._options.window_octets
        while asked or wanted:
            if wanted and len(asked) <= window // 2 and on_the_way <= limit // 2:
                while wanted and len(asked) < window and (not asked or on_the_way + wanted[0].octets <= limit):
                    item = wanted.popleft()
                    asked.append(item)
                    on_the_way += item.octets
                    self._talk.say(commands.retrieve(item.number))
            answer = await self._talk.answer()
            item = asked.popleft()
            on_the_way -= item.octets
            if answer.has_body:
                await self._take(item)
            else:
                self.report.refused += 1
                event("home.refused", source_id=item.source_id, said=said(answer.reply.text))
            if len(self._batch) >= self._options.window_letters or self._batch_octets >= limit:
                await self._keep()
        await self._keep()

    async def _take(self, item: Listed) -> None:
        """One letter, from the wire into a stage."""
        self._arriving = stage = await self._mailbox.stage()
        while isinstance(heard := await self._talk.hear(), Body):
            await stage.write(heard.wire)
        staged = await stage.finish()
        octets = staged.content.octets
        if octets != item.octets:
            self.report.different += 1
            event("home.different", source_id=item.source_id, announced=item.octets, octets=octets)
        letter = Letter(
            staged,
            self._options.dated(staged.head, self._options.clock()),
            unique_id=self._showable(item),
            origin=Origin(self._source, item.source_id, item.octets),
        )
        self._arriving = None
        self._batch.append((stage, letter))
        self._batch_octets += octets
        event("home.fetched", source_id=item.source_id, octets=octets)

    def _showable(self, item: Listed) -> str | None:
        """The server's unique id, if this mailbox can show it too; else the letter gets one of ours."""
        if item.unique_id in self._shown or not _FIT_TO_SHOW.fullmatch(item.unique_id):
            self.report.renamed += 1
            event("home.renamed", source_id=item.source_id)
            return None
        self._shown.add(item.unique_id)
        return item.unique_id

    async def _keep(self) -> None:
        """The batch becomes durable."""
        if not self._batch:
            return
        if self._options.make_room is not None:
            await self._options.make_room(self._batch_octets)
        keys = await self._mailbox.append([letter for _, letter in self._batch])
        batch, self._batch, self._batch_octets = self._batch, [], 0
        for key, (stage, letter) in zip(keys, batch, strict=True):
            if key:
                self.report.letters += 1
                self.report.octets += letter.staged.content.octets
            else:  # somebody else brought it home meanwhile
                self.report.known += 1
                await stage.abandon()
        event("home.kept", letters=len(batch))

    async def _save_what_is_here(self, problem: PostofficeError) -> None:
        """The pull failed. Letters that are here whole are kept, unless it is the mailbox that failed."""
        if self._arriving is not None:
            await self._arriving.abandon()
        if isinstance(problem, StoreError):
            for stage, _ in self._batch:
                await stage.abandon()
        else:
            await self._keep()
        machine = self._talk.machine
        if isinstance(problem, (Refused, UsageError)) and machine.state is State.AUTHORIZATION and not machine.pending:
            self._talk.say(commands.QUIT)

    # --- what is there no more

    async def _delete(self, items: list[Listed], window: int) -> None:
        """✍ 3: every one of these is durable here."""
        for start in range(0, len(items), window):
            flight = items[start : start + window]
            for item in flight:
                self._talk.say(commands.delete(item.number))
            for item in flight:
                reply = (await self._talk.answer()).reply
                if reply.is_ok:
                    self.report.deleted += 1
                    event("home.deleted", source_id=item.source_id)
                else:
                    event("home.not_deleted", source_id=item.source_id, said=said(reply.text))

    async def _quit(self) -> None:
        """Without +OK nobody knows what the server removed; the next run will see."""
        try:
            reply = await self._talk.ask(commands.QUIT)
        except Disconnected as gone:
            if self.report.deleted:
                raise type(gone)(f"{gone} before it confirmed what it deleted; everything is kept here") from gone
            return
        if not reply.is_ok and self.report.deleted:
            raise self._talk.refused("to delete everything (all of it is kept here)", reply, os.EX_TEMPFAIL)
