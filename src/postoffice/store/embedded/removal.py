"""Accounts that were removed and may come back, and the leftovers of who died while he removed one.

    DATA/removed/N.mailbox   a copy of its mailbox file
    DATA/removed/N.json      its deed: address, credentials, settings, when it went and until when it is kept

At every moment one of the two is whole, the account or its copy. The copy and the deed are durable before the
account's row goes, and nobody may write the mailbox meanwhile; what arrives then stays in `office.db`, where the
watermark in the copy lets it be taken in exactly once, should the account come back. An account that comes back is
a new one with a new id, so that nobody who still has the old file open can touch it: the id is reserved and noted in
the deed, the file is there under its name, and then one transaction makes the account. The row decides: a deed whose
account lives is a leftover. A file whose account does not is one only if the account is known to be gone: else it is
lost property, which nobody throws away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from secrets import token_hex

import apsw
import msgspec

from postoffice.database.sqlite import (
    Connection,
    one_number,
    open_reader,
    open_writer,
    shut,
    store_error,
    sync_directory,
    transaction,
)
from postoffice.errors import DamagedStore, StoreError, StoreUnavailable
from postoffice.store.embedded.arrivals import is_gone
from postoffice.store.embedded.jobs import BringBack, RemoveAccount, ReserveAccount
from postoffice.store.embedded.locks import MOVING
from postoffice.store.embedded.places import SIDE_FILES, mailbox_path, office_path, removed_folder
from postoffice.store.embedded.premises import Premises
from postoffice.store.model import Account

HALF_MADE = (".new", ".new-journal")
HALF_MADE_SECONDS = 86_400.0
"""After how long a file that was being made is taken for one whose maker is gone."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """All of an account but its letters; `visits` are the last ones, by viewer.

    `becomes` is the id under which it comes back, 0 as long as nobody asked.
    """

    account_id: int
    address: str
    created: float
    removed: float
    until: float
    credentials: dict[str, str]
    settings: dict[str, str]
    visits: dict[str, float]
    becomes: int = 0


def deed_path(data: Path, account_id: int) -> Path:
    return removed_folder(data) / f"{account_id}.json"


def copy_path(data: Path, account_id: int) -> Path:
    return removed_folder(data) / f"{account_id}.mailbox"


def read_deed(path: Path) -> Deed:
    """One that cannot be read is a `DamagedStore`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Deed)
    except OSError as error:
        raise DamagedStore(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise DamagedStore(f"{path} is damaged: {error}") from error


def standing(data: Path, office: Connection) -> list[Deed]:
    """The deeds of accounts that are not here, the first removed first. One that is damaged is for `inspection`."""
    deeds = []
    for path in removed_folder(data).glob("*.json"):
        try:
            deed = read_deed(path)
        except DamagedStore:
            continue
        if not lives_here(office, deed.account_id) and not is_gone(office, deed.account_id):
            deeds.append(deed)
    return sorted(deeds, key=lambda deed: (deed.removed, deed.account_id))


def lives_here(office: Connection, account_id: int) -> bool:
    return bool(one_number(office, "SELECT EXISTS (SELECT 1 FROM accounts WHERE account_id = ?)", (account_id,)))


class Removal:
    """How accounts go, come back, and are forgotten."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._data = premises.data

    async def set_aside(self, deed: Deed) -> None:
        """The row goes once copy and deed are durable. Its arrivals were absorbed, but for what comes meanwhile."""
        moving = await self._premises.moving(deed.account_id)
        try:
            if not self._premises.ask(lambda office: lives_here(office, deed.account_id)):
                raise StoreError(f"there is no account {deed.account_id}")  # somebody else was quicker
            writer = await self._premises.in_thread(lambda: self._copy(deed))
            try:
                await self._premises.committer.run(RemoveAccount(deed.account_id, may_come_back=True))
            finally:
                await self._premises.in_thread(lambda: shut(writer))
            await self._premises.in_thread(lambda: unlink_database(mailbox_path(self._data, deed.account_id)))
        finally:
            moving.give_back()

    def _copy(self, deed: Deed) -> Connection:
        """Copy and deed, durable. Nobody writes the mailbox until the connection that is given is shut."""
        path, vfs = mailbox_path(self._data, deed.account_id), self._premises.vfs
        copy = copy_path(self._data, deed.account_id)
        fresh = copy.with_name(f"{copy.name}.{token_hex(8)}.new")
        reader = open_reader(path, vfs)  # first: it makes no file
        writer = open_writer(path, vfs)
        try:
            if not copy.parent.exists():
                copy.parent.mkdir(mode=0o700)
                sync_directory(self._data)
            writer.execute("BEGIN IMMEDIATE")
            reader.execute("PRAGMA query_only = OFF")  # which forbids to write another file too
            os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            reader.execute("VACUUM INTO ?", (str(fresh),))
            _sync_file(fresh)
            fresh.rename(copy)
            self._write(deed)
        except BaseException as error:
            shut(writer)
            for side in ("", "-journal"):
                fresh.with_name(fresh.name + side).unlink(missing_ok=True)
            if isinstance(error, apsw.Error):
                raise store_error(error, path) from error
            if isinstance(error, OSError):
                raise StoreUnavailable(f"{copy} cannot be written: {error.strerror}") from error
            raise
        finally:
            shut(reader)
        return writer

    def _write(self, deed: Deed) -> None:
        """The names in its folder are durable with it."""
        path = deed_path(self._data, deed.account_id)
        fresh = path.with_name(f"{path.name}.{token_hex(8)}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(deed), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync_directory(path.parent)

    async def standing(self) -> list[Deed]:
        return await self._premises.far.run(lambda office: standing(self._data, office))

    def _deed(self, account_id: int) -> Deed:
        found = self._premises.ask(
            lambda office: [deed for deed in standing(self._data, office) if deed.account_id == account_id]
        )
        if not found:
            raise StoreError(f"no account {account_id} was removed that can be had back")
        return found[0]

    async def bring_back(self, account_id: int) -> Account:
        old = await self._premises.moving(account_id)
        try:
            deed = self._deed(account_id)
            new_id = await self._premises.committer.run(ReserveAccount())
            moving = await self._premises.moving(new_id)
            try:
                await self._premises.in_thread(lambda: self._put_back(msgspec.structs.replace(deed, becomes=new_id)))
                account = await self._move_in(deed, new_id)
                await self._premises.in_thread(lambda: self._drop_copy(account_id))
            finally:
                moving.give_back()
        finally:
            old.give_back()
        return account

    async def _move_in(self, deed: Deed, new_id: int) -> Account:
        job = BringBack(
            *(deed.account_id, new_id, deed.address, deed.created, deed.credentials, deed.settings, deed.visits)
        )
        try:
            return await self._premises.committer.run(job)
        except StoreUnavailable:
            raise  # it may have happened, and nobody heard
        except StoreError:
            await self._premises.in_thread(lambda: unlink_database(mailbox_path(self._data, new_id)))
            raise

    def _put_back(self, deed: Deed) -> None:
        path, copy = mailbox_path(self._data, deed.becomes), copy_path(self._data, deed.account_id)
        if not copy.exists():
            raise DamagedStore(f"{copy} is not there")
        try:
            self._write(deed)
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_directory(path.parent.parent)
            path.hardlink_to(copy)
            sync_directory(path.parent)
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be written: {error.strerror}") from error

    async def forget(self, account_id: int) -> None:
        moving = await self._premises.moving(account_id)
        try:
            self._deed(account_id)
            spooled = await self._premises.committer.run(RemoveAccount(account_id))
            self._premises.spool.discard(spooled)
            await self._premises.in_thread(lambda: self._drop_copy(account_id))
        finally:
            moving.give_back()

    def _drop_copy(self, account_id: int) -> None:
        """The deed first: a copy without one is a leftover, a deed without a copy would be a promise."""
        deed_path(self._data, account_id).unlink(missing_ok=True)
        sync_directory(removed_folder(self._data))
        unlink_database(copy_path(self._data, account_id))

    # --- what a crash left ----------------------------------------------------------------------------------

    async def collect(self) -> None:
        """Take away the files of accounts that are gone and of removals that were not finished.

        In a transaction, as with spool files: an account that comes back later finds its file missing, and is not
        made. Who is at work with an account holds its lock, and is left alone.
        """
        found = await self._premises.far.run(lambda office: list(leftovers(self._data, office)))
        whose = {account_id for _, account_id in found}
        locks = {account_id: self._premises.locks.take(account_id, MOVING) for account_id in whose}
        try:
            mine = [path for path, account_id in found if locks[account_id] is not None]
            if mine:
                await self._premises.in_thread(lambda: self._take_away(mine))
        finally:
            for lock in locks.values():
                if lock is not None:
                    lock.give_back()

    def _take_away(self, paths: Sequence[Path]) -> None:
        writer = open_writer(office_path(self._data), self._premises.vfs)
        try:
            with transaction(writer):
                writer.execute("UPDATE office SET directory_generation = directory_generation + 1")
                for path in paths:
                    if is_leftover(self._data, writer, path):
                        path.unlink(missing_ok=True)
        except apsw.Error as error:
            raise store_error(error, office_path(self._data)) from error
        finally:
            shut(writer)


def leftovers(data: Path, office: Connection) -> Iterator[tuple[Path, int]]:
    """Files that nothing refers to any more, and the accounts they were of; 0 where that is not known."""
    for folder in (data / "mailboxes", removed_folder(data)):
        for path in folder.rglob("*"):
            if is_leftover(data, office, path):
                yield path, account_of(path)


def is_leftover(data: Path, office: Connection, path: Path) -> bool:
    """Whether a file is of an account that is known to be gone, or to stand elsewhere."""
    account_id = account_of(path)
    if not account_id:
        return is_half_made(path)
    if path.parent == removed_folder(data):
        return lives_here(office, account_id) or is_gone(office, account_id)
    if path.parent != mailbox_path(data, account_id).parent or path.suffix == ".json":
        return False
    if lives_here(office, account_id):
        return False
    return is_gone(office, account_id) or any(
        account_id in (deed.account_id, deed.becomes) for deed in standing(data, office)
    )


def account_of(path: Path) -> int:
    """The account that a file is of, by its name; 0 for a name that is none of ours."""
    number, dot, kind = path.name.partition(".")
    is_ours = kind == "json" or kind in {f"mailbox{side}" for side in SIDE_FILES}
    return int(number) if dot and is_ours and number.isascii() and number.isdecimal() and len(number) < 19 else 0


def is_half_made(path: Path) -> bool:
    """Whether a file was being made, long ago."""
    try:
        return path.name.endswith(HALF_MADE) and time.time() - path.stat().st_mtime > HALF_MADE_SECONDS
    except FileNotFoundError:
        return False


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink_database(path: Path) -> None:
    """A database and what lies beside it while it is open."""
    for side in SIDE_FILES:
        path.with_name(path.name + side).unlink(missing_ok=True)
