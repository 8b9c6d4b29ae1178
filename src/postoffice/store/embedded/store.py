"""The embedded engine: an office in one folder, of SQLite files and nothing to install.

    DATA/office.db             accounts, queue, arrivals, their contents
    DATA/mailboxes/NN/N.mailbox   one file for each account that has absorbed letters
    DATA/spool/                large letters on their way in
    DATA/maildrop.locks        one octet for each account and viewer
    DATA/removed/              accounts that were removed and may come back

Several processes may open one folder; all of them then hand their writes to one committer.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from postoffice.clock import Clock, system_clock
from postoffice.database.migrate import prepare
from postoffice.database.sqlite import one_number
from postoffice.errors import StoreUnavailable
from postoffice.store.embedded.attic import EmbeddedAttic
from postoffice.store.embedded.committer import Committer, ThreadCommitter
from postoffice.store.embedded.directory import EmbeddedDirectory
from postoffice.store.embedded.locks import MaildropLocks
from postoffice.store.embedded.office import OPEN_MAILBOXES, EmbeddedOffice, collect_spool
from postoffice.store.embedded.places import office_path
from postoffice.store.embedded.premises import Premises
from postoffice.store.embedded.schema import OFFICE
from postoffice.store.embedded.spool import SPOOL, Spool
from postoffice.store.embedded.visits import EmbeddedVisits

THREADS = 4
"""How many threads wait for disks."""


class EmbeddedStore:
    """A `Store` in a folder."""

    def __init__(self, premises: Premises, open_mailboxes: int, absorb_seconds: float) -> None:
        self._premises = premises
        self._office = EmbeddedOffice(premises, open_mailboxes, absorb_seconds)
        self._directory = EmbeddedDirectory(premises, self._office)
        self._visits = EmbeddedVisits(premises)
        self._attic = EmbeddedAttic(self._office, self._directory, self._visits)

    @classmethod
    def open(
        cls,
        data: Path,
        *,
        committer: Committer | None = None,
        clock: Clock = system_clock,
        open_mailboxes: int = OPEN_MAILBOXES,
        absorb_seconds: float = 0.0,
        vfs: str | None = None,
    ) -> EmbeddedStore:
        """The office in `data`, which is made if it is not there. Closing the store closes `committer` too.

        A letter lies in `office.db` for `absorb_seconds` before `tidy` takes it into its mailbox file.

        A damaged or foreign `office.db`, or one of a newer version, is a `DamagedStore`.
        """
        prepare_office(data, vfs)
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        premises = Premises(
            data=data,
            clock=clock,
            committer=committer or ThreadCommitter(office_path(data), vfs),
            pool=pool,
            locks=MaildropLocks(data / "maildrop.locks"),
            spool=Spool(data / SPOOL, pool),
            vfs=vfs,
        )
        try:
            premises.incarnation = premises.ask(lambda db: one_number(db, "SELECT incarnation FROM office"))
            premises.ask(lambda db: collect_spool(premises, db))
        except BaseException:
            premises.close()
            pool.shutdown()
            raise
        return cls(premises, open_mailboxes, absorb_seconds)

    @property
    def office(self) -> EmbeddedOffice:
        return self._office

    @property
    def directory(self) -> EmbeddedDirectory:
        return self._directory

    @property
    def visits(self) -> EmbeddedVisits:
        return self._visits

    @property
    def attic(self) -> EmbeddedAttic:
        return self._attic

    async def close(self) -> None:
        premises = self._premises
        if premises.is_closed:
            return
        premises.is_closed = True
        await self._office.close()
        await premises.committer.close()
        await asyncio.get_running_loop().run_in_executor(None, premises.pool.shutdown)
        premises.close()


def prepare_office(data: Path, vfs: str | None = None) -> None:
    """Make the folder of an office, as far as it is not there, and bring its file to the version of today."""
    try:
        for folder in (data, data / "mailboxes", data / SPOOL):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{data} cannot be used: {error.strerror}") from error
    prepare(office_path(data), OFFICE, create=True, vfs=vfs)
