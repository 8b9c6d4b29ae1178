"""One import: what letters go into, an account of an office or a mailbox file at home, and who is told how it goes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from postoffice.accounts.devices import count_owner
from postoffice.cli.elsewhere import entrance, explained
from postoffice.cli.folder import with_store
from postoffice.cli.loop import with_loop
from postoffice.cli.residents import known, normalized
from postoffice.cli.telling import Telling
from postoffice.client.survey import survey
from postoffice.errors import PostofficeError, UsageError
from postoffice.home.mailbox import pulling_into
from postoffice.moving.comparing import Comparison, compare, doubtful
from postoffice.moving.letters import OldStore
from postoffice.moving.pulling import pull_in
from postoffice.moving.sameness import Here
from postoffice.moving.taking import Report, Witness, take_in
from postoffice.moving.tree import Tree
from postoffice.quantities import counted
from postoffice.store.model import MOVER

if TYPE_CHECKING:
    from postoffice.client.collect import Options
    from postoffice.client.url import Source
    from postoffice.store.base import Mailbox, Store

FreeOctets = Callable[[], Awaitable[int]]
Work = Callable[["Mailbox", "FreeOctets | None"], Awaitable[Report]]

MEASURED = 1000
"""So many letters whose size differs are fetched, to see whether the old server had announced it wrongly."""


class Move:
    """One run: what the letters go into, who is told, and which maildrop elsewhere is asked.

    Whatever root alone may read, and whatever a person is asked for, is had before the office is opened.
    """

    def __init__(
        self,
        address: str | None,
        data: Path | None,
        as_json: bool,
        file: Path | None = None,
        url: str | None = None,
        **how: Any,
    ) -> None:
        if (address is None) == (file is None):
            raise UsageError("say either --account, of an office, or --file, of a mailbox at home")
        self._file = file
        self._name = normalized(address) if address is not None else str(file)
        self._data = data
        self._telling = Telling(as_json=as_json)
        self._has_ca = bool(how.get("ca") or how.get("pin"))
        self._there = entrance(url, **how) if url else None

    def give_up_root(self, tree: Tree) -> None:
        """An office does; the tree goes on reading what root may."""
        if self._file is None:
            tree.stay_root()

    def take(self, opened: Callable[[], OldStore], *, octets: int = 0, is_named: bool = True) -> None:
        """What lies in files, of at most so many `octets` where that is known.

        Unless a letter there `is_named`, it is known again by its octets alone; in a file at home it always is.
        """
        witness = Witness(self._telling.complain, self._telling.progress)
        there = opened() if self._file is not None else None  # what is no such thing makes no file
        self._must_have_room(octets)

        async def work(mailbox: Mailbox, free: FreeOctets | None) -> Report:
            here = None if is_named and self._file is None else await Here.of(mailbox)
            return await take_in(there or opened(), mailbox, witness, free, here)

        self._move(work, is_checked=self._there is not None)

    def pull(self, *, is_checked: bool) -> None:
        """What the maildrop elsewhere has."""
        source, options = self._elsewhere()
        witness = Witness(self._telling.complain, self._telling.progress)
        self._move(lambda mailbox, free: pull_in(source, mailbox, options, witness, free), is_checked=is_checked)

    def compare(self) -> None:
        """Nothing moves."""

        async def look(store: Store) -> Comparison:
            account = await known(store, self._name)
            return await self._compared(await store.office.mailbox(account.account_id))

        with self._explained():
            comparison = with_store(self._data, look)
        self._judge(comparison)

    def _move(self, work: Work, *, is_checked: bool) -> None:
        """Letters that could not be had make the status 66, others that are not the same 65."""
        try:
            with self._explained():
                if self._file is not None:
                    report, comparison = with_loop(lambda: self._into_file(work, is_checked=is_checked))
                else:
                    report, comparison = with_store(
                        self._data, lambda store: self._into_account(store, work, is_checked=is_checked)
                    )
        except PostofficeError:
            self._telling.broken_off()
            raise
        self._telling.end(report)
        if comparison is not None and not report.lost:
            self._judge(comparison)
        if report.lost:
            raise UsageError(
                f"{counted(report.lost, 'letter')} could not be had; mend that and run it again", os.EX_NOINPUT
            )

    async def _into_account(self, store: Store, work: Work, *, is_checked: bool) -> tuple[Report, Comparison | None]:
        account = await known(store, self._name)
        lock = await store.office.lock(account.account_id, MOVER)
        if lock is None:
            raise UsageError(f"{self._name}: another import into this account is under way", os.EX_TEMPFAIL)
        try:
            mailbox = await store.office.mailbox(account.account_id)
            report = await work(mailbox, store.office.free_octets)
            await count_owner(store, account, time.time())
            return report, await self._compared(mailbox) if is_checked else None
        finally:
            await lock.release()

    async def _into_file(self, work: Work, *, is_checked: bool) -> tuple[Report, Comparison | None]:
        assert self._file is not None
        async with pulling_into(self._file) as mailbox:
            report = await work(mailbox, None)
            return report, await self._compared(mailbox) if is_checked else None

    def _must_have_room(self, octets: int) -> None:
        if self._file is not None and self._file.parent.is_dir():
            free = shutil.disk_usage(self._file.parent).free
            if octets > free:
                sentence = f"{self._file}: {octets} octets of letters may come, and the disk has room for {free}"
                raise UsageError(sentence, os.EX_TEMPFAIL)

    async def _compared(self, mailbox: Mailbox) -> Comparison:
        ours = await mailbox.snapshot()
        found = await survey(*self._elsewhere(), lambda theirs: doubtful(theirs, ours)[:MEASURED])
        return compare(found.listed, found.measured, ours)

    def _judge(self, comparison: Comparison) -> None:
        host = self._elsewhere()[0].host
        self._telling.compared(host, comparison)
        if not comparison.is_good:
            raise UsageError(f"{self._name} does not show what {host} shows", os.EX_DATAERR)

    def _elsewhere(self) -> tuple[Source, Options]:
        assert self._there is not None
        return self._there

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if self._there is None:
            yield
            return
        with explained(self._there[0], has_ca=self._has_ca):
            yield
