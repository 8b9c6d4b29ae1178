"""What a backup has: its letters by account, and whether it is sound.

Nothing is written. A damaged file costs what is in it and nothing else: what is wrong is told as sentences that name
the account and the letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from postoffice.database.sqlite import Connection, open_reader, store_error
from postoffice.errors import DamagedStore
from postoffice.store.embedded.backup.vault import Backup, Manifest, Vault, digest_of_file
from postoffice.store.model import INBOX, NO_FLAGS, Account, Credential, Flag

_ENTRIES = (
    "SELECT f.name, email_id, unique_id, internal_date, flags, e.octets, prefix, sha256 FROM entries e"
    " JOIN folders f USING (folder_id) JOIN contents USING (content_id) ORDER BY folder_id, uid"
)
_ARRIVALS = (
    "SELECT email_id, arrived, a.octets, prefix, sha256 FROM arrivals a JOIN contents USING (content_id)"
    " WHERE account_id = ? ORDER BY number"
)
_QUEUED = (
    "SELECT letter_id, domain, accepted, c.octets, sha256 FROM queue JOIN contents c USING (content_id)"
    " ORDER BY item_id"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter of somebody in a backup; its octets are `prefix` and the content `sha256`."""

    folder: str
    email_id: str
    unique_id: str
    internal_date: float
    flags: Flag
    octets: int
    prefix: bytes
    sha256: bytes

    def __str__(self) -> str:
        return f"the letter {self.unique_id} of {day(self.internal_date)}, {self.octets} octets"


def day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z"


class Contents:
    """A backup that was opened: its manifest is right, and `office.db` is the one that belongs to it."""

    def __init__(self, vault: Vault, backup: Backup) -> None:
        self.vault = vault
        self.backup = backup
        self.manifest: Manifest = backup.manifest()
        if _digest(backup.office) != self.manifest.office_sha256:
            raise DamagedStore(f"{backup.office} is damaged: its octets are not those of the backup")
        self.sheets = {sheet.account_id: sheet for sheet in self.manifest.mailboxes}
        rows = self._ask_office("SELECT account_id, address, created FROM accounts ORDER BY account_id")
        self.accounts = [Account(*row) for row in rows]

    def _ask_office(self, sql: str, *bindings: object) -> list[tuple[Any, ...]]:
        try:
            with closing(open_reader(self.backup.office)) as office:
                return office.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise store_error(error, self.backup.office) from error

    def everybody(self) -> list[Account]:
        """Also accounts that were removed and may come back."""
        removed = [sheet for sheet in self.manifest.mailboxes if sheet.is_removed]
        return [*self.accounts, *(Account(sheet.account_id, sheet.address, 0.0) for sheet in removed)]

    def credentials(self, account: Account) -> list[Credential]:
        sql = "SELECT account_id, name, verifier FROM credentials WHERE account_id = ?"
        return [Credential(*row) for row in self._ask_office(sql, account.account_id)]

    def settings(self, owner: str) -> dict[str, str]:
        return dict(self._ask_office("SELECT key, value FROM settings WHERE owner = ?", owner))

    def secret(self) -> bytes:
        [(secret,)] = self._ask_office("SELECT secret FROM office")
        return bytes(secret)

    # --- letters --------------------------------------------------------------------------------------------

    def trouble(self, account: Account) -> str:
        """What is wrong with the file of an account's mailbox; empty if nothing is, or it has none."""
        sheet = self.sheets.get(account.account_id)
        if sheet is None or _digest(path := self.backup.mailbox(sheet)) == sheet.sha256:
            return ""
        return f"{path} is damaged, or is not there"

    def letters(self, account: Account) -> Iterator[Kept]:
        """All of an account, folder by folder, as they came."""
        sheet = self.sheets.get(account.account_id)
        if sheet is not None:
            path = self.backup.mailbox(sheet)
            try:
                with closing(open_reader(path)) as mailbox:
                    yield from _entries(mailbox)
            except apsw.Error as error:
                raise store_error(error, path) from error
        for email_id, arrived, octets, prefix, sha256 in self._ask_office(_ARRIVALS, account.account_id):
            yield Kept(INBOX, email_id, email_id, arrived, NO_FLAGS, octets, prefix, sha256)

    def queued(self) -> Iterator[tuple[str, bytes]]:
        """Letters on their way to other offices: in words, and the content."""
        for letter_id, domain, accepted, octets, sha256 in self._ask_office(_QUEUED):
            yield f"the letter {letter_id} to {domain} of {day(accepted)}, {octets} octets", sha256

    # --- is it sound? ---------------------------------------------------------------------------------------

    def damages(self) -> Iterator[str]:
        """Everything that is wrong, by reading every octet."""
        yield from self.manifest.damages
        for name, digest in self.manifest.files.items():
            if _digest(self.backup.path / name) != digest:
                yield f"{name} is damaged, or is not there"
        troubles: dict[bytes, str] = {}
        for account in self.everybody():
            if trouble := self.trouble(account):
                yield f"{account.address}: {trouble}"
                continue
            for letter in self.letters(account):
                if trouble := self._trouble_of(letter.sha256, troubles):
                    yield f"{account.address}: {letter}: {trouble}"
        for words, sha256 in self.queued():
            if trouble := self._trouble_of(sha256, troubles):
                yield f"{words}: {trouble}"

    def _trouble_of(self, name: bytes, known: dict[bytes, str]) -> str:
        if name not in known:
            known[name] = self.vault.shelf.trouble(name)
        return known[name]


def _entries(mailbox: Connection) -> Iterator[Kept]:
    for folder, email_id, unique_id, date, flags, octets, prefix, sha256 in mailbox.execute(_ENTRIES):
        yield Kept(folder, email_id, unique_id, date, Flag(flags), octets, prefix, sha256)


def _digest(path: Path) -> str:
    """Empty if the file is not there."""
    try:
        return digest_of_file(path)
    except FileNotFoundError:
        return ""
