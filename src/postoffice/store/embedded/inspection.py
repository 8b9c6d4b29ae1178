"""Everything that an office keeps, looked over: what is damaged, and what is only untidy.

It looks while the office serves. Nothing is written but, for an older `office.db`, the version of today; read
transactions are short or hold nobody up. What is being done just now is no damage: what is in two places is looked
at in the order in which it is made, or once more before it is told.

    office.db       by its `rules`, and with it the spool files that it names
    mailboxes/      a sound file for each account that ever had one, and no other
    removed/        a copy and a deed for each account that may come back
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from postoffice.database.key import Key
from postoffice.database.migrate import prepare, version_of
from postoffice.database.sqlite import Connection, open_reader, shut, store_error
from postoffice.errors import DamagedStore, StoreError
from postoffice.store.embedded.contents import digest_of
from postoffice.store.embedded.following import Noted
from postoffice.store.embedded.places import mailbox_path, office_path, removed_folder
from postoffice.store.embedded.removal import (
    HALF_MADE,
    account_of,
    copy_path,
    deed_path,
    is_half_made,
    is_leftover,
    lives_here,
    read_deed,
    standing,
)
from postoffice.store.embedded.rules import OFFICE_RULES, REBUILD, REPORT, RESTORE
from postoffice.store.embedded.schema import MAILBOX, OFFICE
from postoffice.store.embedded.soundness import (
    Tally,
    broken,
    how_many,
    integrity,
    mailbox_findings,
    unreadable,
    wrong_contents,
)
from postoffice.store.embedded.spool import SPOOL, Spool
from postoffice.store.model import Damage

LOST = "all letters in it are gone; what arrives waits in office.db"
PUT_BACK = (
    "make an empty file in its place, readable by its owner only, and bring the letters back from a backup:"
    " postoffice restore DIR --account ADDRESS"
)
SWEPT = "a running office takes it away within a day"


def inspect(
    data: Path, tally: Tally | None = None, only: Collection[int] | None = None, vfs: str | None = None
) -> Iterator[Damage]:
    """Everything that is to be said about the office in `data`, or about the mailboxes of some accounts alone."""
    look = _Inspection(data, tally or Tally(), vfs)
    try:
        prepare(office_path(data), OFFICE, create=False, vfs=vfs)
        office = open_reader(office_path(data), vfs)
    except StoreError as error:
        yield Damage("office.db", str(error), "the office cannot be opened, and letters for it wait elsewhere", RESTORE)
        yield from look.files_alone()
        return
    try:
        if only is None:
            yield from look.everything(office)
        else:
            for account_id in only:
                yield from look.account(office, account_id)
    except apsw.Error as error:
        yield Damage("office.db", str(store_error(error, office_path(data))), "not all could be looked at", RESTORE)
    finally:
        shut(office)


def inspect_mailbox(
    path: Path,
    where: str,
    tally: Tally | None = None,
    vfs: str | None = None,
    key: Key | None = None,
    noted: Noted | None = None,
) -> Iterator[Damage]:
    """Everything that is to be said about one mailbox file, at the office or at home.

    With a `noted` commit, also whether the file goes on from that.
    """
    tally = tally or Tally()
    tally.mailboxes += 1
    try:
        connection = open_reader(path, vfs, key=key)
    except StoreError as error:
        yield _cannot_open(where, error)
        return
    try:
        if not version_of(connection, path, MAILBOX):
            yield Damage(where, "it is empty", "", "the next letter makes a mailbox of it", is_harmless=True)
            return
        yield from mailbox_findings(connection, where, tally, noted)
    except StoreError as error:
        yield _cannot_open(where, error)
    finally:
        shut(connection)


def _cannot_open(where: str, error: StoreError) -> Damage:
    if isinstance(error, DamagedStore):
        return Damage(where, str(error), "no letter in it can be read", REBUILD)
    return Damage(where, str(error), "whether its letters are sound is not known", "look at it again later")


class _Inspection:
    """One look at one office."""

    def __init__(self, data: Path, tally: Tally, vfs: str | None) -> None:
        self._data = data
        self._tally = tally
        self._vfs = vfs

    def everything(self, office: Connection) -> Iterator[Damage]:
        self._tally.accounts = how_many(office, "accounts")
        self._tally.letters += how_many(office, "arrivals") + how_many(office, "queue")
        yield from integrity(office, "office.db")
        yield from broken(office, "office.db", OFFICE_RULES)
        yield from wrong_contents(office, "office.db", _whose_in_office, self._tally)
        yield from self._strangers(office)
        yield from self._spool(office)
        yield from self._mailboxes(office)
        yield from self._lost(office)
        yield from self._removed(office)

    def files_alone(self) -> Iterator[Damage]:
        """What can be looked at where nobody knows who lives here."""
        for path in sorted((self._data / "mailboxes").glob("*/*.mailbox")):
            yield from inspect_mailbox(path, self._name(path), self._tally, self._vfs)

    def account(self, office: Connection, account_id: int) -> Iterator[Damage]:
        """The mailbox of one account."""
        address, has_file = next(
            iter(office.execute("SELECT address, has_file FROM accounts WHERE account_id = ?", (account_id,))), ("", 0)
        )
        path = mailbox_path(self._data, account_id)
        if path.exists():
            yield from self._watermark(office, path, address)
            yield from inspect_mailbox(path, f"{self._name(path)} of {address}", self._tally, self._vfs)
        elif has_file:
            yield Damage(f"{self._name(path)} of {address}", "it is not there", LOST, PUT_BACK)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._data))

    # --- office.db ------------------------------------------------------------------------------------------

    def _strangers(self, office: Connection) -> Iterator[Damage]:
        """Arrivals of accounts that are not here, and may not come back either."""
        sql = (
            "SELECT account_id, count(*) FROM arrivals WHERE account_id NOT IN (SELECT account_id FROM accounts)"
            " GROUP BY account_id"
        )
        for account_id, count in office.execute(sql).fetchall():
            if all(deed.account_id != account_id for deed in standing(self._data, office)):
                where = f"office.db, {count} arrivals of account {account_id}"
                yield Damage(where, "the account is not here", "nobody can read them", REPORT)

    def _spool(self, office: Connection) -> Iterator[Damage]:
        """Large letters: those that rows name, and files that none does."""
        pool = ThreadPoolExecutor(1)  # nothing is written, so none of its threads is ever begun
        spool = Spool(self._data / SPOOL, pool)
        sql = (
            "SELECT content_id, spool, sha256, octets, wire_octets FROM contents"
            " WHERE spool IS NOT NULL AND content_id > ? ORDER BY content_id LIMIT 1"
        )
        content_id = 0
        while row := office.execute(sql, (content_id,)).fetchone():
            content_id, name, sha256, octets, wire_octets = row
            wrong = self._wrong_in_spool(spool, name, (octets, sha256), wire_octets)
            if wrong and _is_named(office, name):
                yield unreadable(office, f"{SPOOL}/{name}", wrong, _whose_in_office, content_id)
        for name, _ in spool.unlocked() if spool.folder.exists() else ():
            if not _is_named(office, name):
                yield Damage(f"{SPOOL}/{name}", "no letter has it", "it takes room", SWEPT, is_harmless=True)

    def _wrong_in_spool(self, spool: Spool, name: str, facts: tuple[int, bytes], wire_octets: int) -> str:
        def counted() -> Iterator[bytes]:
            for wire in spool.chunks(name, wire_octets):
                self._tally.count(len(wire))
                yield wire

        try:
            return "" if digest_of(counted()) == facts else "its octets are not those it is named by"
        except (OSError, StoreError) as error:
            return str(error)

    # --- mailboxes/ -----------------------------------------------------------------------------------------

    def _mailboxes(self, office: Connection) -> Iterator[Damage]:
        for folder in _listed(self._data / "mailboxes"):
            if not folder.is_dir():
                yield from self._foreign(folder)
                continue
            for path in _listed(folder):
                yield from self._mailbox(office, path)

    def _mailbox(self, office: Connection, path: Path) -> Iterator[Damage]:
        account_id = account_of(path)
        if not account_id or path.suffix == ".json":
            yield from self._foreign(path)
        elif path.parent != mailbox_path(self._data, account_id).parent:
            home = self._name(mailbox_path(self._data, account_id))
            yield Damage(self._name(path), f"it is in the wrong folder: it belongs to {home}", LOST, "move it there")
        elif lives_here(office, account_id):
            if path.suffix == ".mailbox":
                yield from self.account(office, account_id)
        elif is_leftover(self._data, office, path):
            yield Damage(self._name(path), "its account is gone", "it takes room", SWEPT, is_harmless=True)
        elif path.suffix == ".mailbox" and path.exists():
            yield Damage(
                self._name(path),
                "office.db does not know its account",
                "its letters are shown to nobody, and its number may be given to somebody else",
                "put back the office.db that belongs to it, or take the file elsewhere",
            )

    def _foreign(self, path: Path) -> Iterator[Damage]:
        if path.name.endswith(HALF_MADE) and not is_half_made(path):
            return  # somebody is making it
        remedy = SWEPT if is_half_made(path) else "take it elsewhere"
        yield Damage(self._name(path), "it is no file of this office", "it takes room", remedy, is_harmless=True)

    def _watermark(self, office: Connection, path: Path, address: str) -> Iterator[Damage]:
        """A file that has taken in what office.db has not yet seen arrive would hide what comes."""
        try:
            mailbox = open_reader(path, self._vfs)
        except StoreError:
            return  # said elsewhere
        try:
            incarnation, mark = mailbox.execute("SELECT incarnation, watermark FROM mailbox").fetchone() or (0, 0)
        except apsw.Error:
            return
        finally:
            shut(mailbox)
        sql = "SELECT incarnation, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'arrivals'), 0) FROM office"
        own, last = office.execute(sql).fetchone() or (0, 0)
        if incarnation == own and mark > last:
            yield Damage(
                f"{self._name(path)} of {address}",
                f"it took in arrival {mark}, but office.db knows of {last}",
                "letters that come are hidden until their numbers are higher",
                "put back an office.db that is no older than the mailboxes",
            )

    def _lost(self, office: Connection) -> Iterator[Damage]:
        """Accounts whose file is not there; it may be that they are just being removed."""
        account_id = 0
        sql = "SELECT account_id FROM accounts WHERE has_file = 1 AND account_id > ? ORDER BY account_id LIMIT 1"
        while row := office.execute(sql, (account_id,)).fetchone():
            (account_id,) = row
            if not mailbox_path(self._data, account_id).exists() and lives_here(office, account_id):
                yield from self.account(office, account_id)

    # --- removed/ -------------------------------------------------------------------------------------------

    def _removed(self, office: Connection) -> Iterator[Damage]:
        for path in _listed(removed_folder(self._data)):
            account_id = account_of(path)
            if not account_id:
                yield from self._foreign(path)
            elif is_leftover(self._data, office, path):
                yield Damage(self._name(path), "its account is here, or gone", "it takes room", SWEPT, is_harmless=True)
            elif path.suffix == ".json":
                yield from self._deed(path, account_id)
            elif path.suffix == ".mailbox" and not deed_path(self._data, account_id).exists() and path.exists():
                yield Damage(self._name(path), "its deed is not there", "the account cannot be brought back", RESTORE)

    def _deed(self, path: Path, account_id: int) -> Iterator[Damage]:
        copy = copy_path(self._data, account_id)
        means = "the account cannot be brought back"
        try:
            deed = read_deed(path)
        except DamagedStore as error:
            if path.exists():
                yield Damage(self._name(path), str(error), means, RESTORE)
            return
        if copy.exists():
            where = f"{self._name(copy)} of {deed.address}"
            yield from inspect_mailbox(copy, where, self._tally, self._vfs)
        elif path.exists():
            yield Damage(self._name(copy), "it is not there", f"{means}: {deed.address}", RESTORE)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it is not there."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_named(office: Connection, name: str) -> bool:
    return office.execute("SELECT 1 FROM contents WHERE spool = ?", (name,)).fetchone() is not None


def _whose_in_office(office: Connection, content_id: int) -> str:
    arrived = office.execute(
        "SELECT address, email_id FROM arrivals JOIN accounts USING (account_id) WHERE content_id = ?", (content_id,)
    )
    letters = [f"{address} ({email_id})" for address, email_id in arrived]
    queued = office.execute("SELECT letter_id, domain FROM queue WHERE content_id = ?", (content_id,))
    return ", ".join([*letters, *(f"{letter_id} on its way to {domain}" for letter_id, domain in queued)])
