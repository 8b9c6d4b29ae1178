"""The shortest engine that keeps every promise of `store.base` but durability: the reference for all others.

Where a docstring of the waists leaves a question, what this engine does is the answer. Nothing here ever
waits, so a verb driven by hand costs its caller only the call. A content is kept once however many letters
show it, and is gone with the last of them.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from weakref import WeakValueDictionary

from postoffice.clock import Clock, system_clock
from postoffice.errors import DamagedStore, NotLooking, StoreError
from postoffice.message.content import Content, ContentReader
from postoffice.protocols.dots import has_dot_lines, stuff
from postoffice.store.base import MaildropLock
from postoffice.store.identity import new_email_id
from postoffice.store.model import (
    CHUNK_OCTETS,
    INBOX,
    OWNER,
    Acceptance,
    Account,
    Backlog,
    Changes,
    Credential,
    Damage,
    Entry,
    Flag,
    Folder,
    Letter,
    Pace,
    Piece,
    QueueItem,
    RecipientState,
    RemovedAccount,
    Settlement,
    Sight,
    Snapshot,
    Staged,
    Viewer,
    Visit,
)

ROOM_OCTETS = 1 << 30
"""How much memory the engine offers for letters."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Kept:
    """A content and its wire form, alive while a letter or a queue item shows it."""

    content: Content
    wire: bytes

    def piece(self, prefix: bytes, index: int) -> Piece:
        start, end = index * CHUNK_OCTETS, (index + 1) * CHUNK_OCTETS
        wire = self.wire if index == 0 and len(self.wire) <= CHUNK_OCTETS else self.wire[start:end]
        return Piece(stuff(prefix) + wire if index == 0 and prefix else wire, len(self.wire) > end)


class Shelf:
    """All contents of an engine, each once."""

    def __init__(self) -> None:
        self._kept: WeakValueDictionary[bytes, Kept] = WeakValueDictionary()

    def keep(self, staged: Staged) -> Kept:
        if not isinstance(staged.place, bytes):
            raise StoreError(f"{staged.place} was not staged in memory")
        kept = self._kept.get(staged.content.sha256)
        if kept is None:
            self._kept[staged.content.sha256] = kept = Kept(staged.content, staged.place)
        return kept

    def octets(self) -> int:
        return sum(len(kept.wire) for kept in self._kept.values())

    def check(self) -> list[Damage]:
        damages = []
        for sha256, kept in self._kept.items():
            reader = ContentReader()
            reader.add(kept.wire)
            if reader.content() != kept.content or kept.content.sha256 != sha256:
                damages.append(Damage(sha256.hex(), "its octets are not those it is named by"))
        return damages


class MemoryStage:
    """A letter coming in, all of it in `Staged.place` in the end."""

    def __init__(self) -> None:
        self._reader = ContentReader()
        self._wire = bytearray()

    async def write(self, wire: bytes) -> None:
        self._wire += self._reader.add(wire)

    async def finish(self) -> Staged:
        return Staged(self._reader.content(), self._reader.head, bytes(self._wire), self._reader.has_bare_line_ends)

    async def abandon(self) -> None:
        self._wire.clear()


# --- one account's letters ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Row:
    """A letter in a folder; `removed_by` are the viewers who do not see it any more."""

    folder: str
    entry: Entry
    kept: Kept
    removed_by: set[str] = field(default_factory=set)


class MemoryMailbox:
    """One account's letters, by key; a key is never used twice."""

    def __init__(self, shelf: Shelf | None = None, clock: Clock = system_clock) -> None:
        self._shelf = shelf or Shelf()
        self._clock = clock
        self._rows: dict[int, _Row] = {}
        self._folders = {INBOX: Folder(INBOX, uid_validity=1, uid_next=1, highest_modseq=1)}
        self._vanished: list[tuple[str, int, int]] = []  # folder, modseq, uid
        self._viewers = {OWNER: Sight.HOLDS}
        self._pulled: set[tuple[str, str]] = set()
        self._next_key = count(1)
        self._version = 1
        self._shown: dict[tuple[str | None, str], tuple[int, Snapshot]] = {}

    async def snapshot(self, viewer: str | None = None, folder: str = INBOX) -> Snapshot:
        self._folder(folder)
        self._must_hold(viewer)
        version, before = self._shown.get((viewer, folder), (0, None))
        if before is not None and version == self._version:
            return before
        seen = [row.entry for row in self._rows.values() if row.folder == folder and viewer not in row.removed_by]
        keys = array("q", [entry.key for entry in seen])
        if before is None or keys != before.keys:
            octets = array("q", [entry.octets for entry in seen])
            others = {entry.key: entry.surrogate_octets for entry in seen if entry.surrogate_octets != entry.octets}
            before = Snapshot((self._version,), keys, octets, [entry.unique_id for entry in seen], others)
        self._shown[viewer, folder] = self._version, before
        return before

    async def read(self, keys: Sequence[int], index: int = 0) -> list[Piece | None]:
        rows = [self._rows.get(key) for key in keys]
        return [row.kept.piece(row.entry.prefix, index) if row else None for row in rows]

    async def describe(self, keys: Sequence[int]) -> list[Entry | None]:
        rows = [self._rows.get(key) for key in keys]
        return [row.entry if row else None for row in rows]

    async def stage(self) -> MemoryStage:
        return MemoryStage()

    async def append(self, letters: Sequence[Letter]) -> list[int]:
        kept = [self._shelf.keep(letter.staged) for letter in letters]
        for letter in letters:
            self._folder(letter.folder)
        return [self.add(letter, content) for letter, content in zip(letters, kept, strict=True)]

    def add(self, letter: Letter, kept: Kept, saved: float | None = None) -> int:
        if letter.source is not None and letter.source_id is not None:
            if (letter.source, letter.source_id) in self._pulled:
                return 0
            self._pulled.add((letter.source, letter.source_id))
        folder = self._changed(letter.folder)
        key = next(self._next_key)
        email_id = new_email_id(self._clock())
        entry = Entry(
            key=key,
            uid=folder.uid_next,
            email_id=email_id,
            unique_id=letter.unique_id or email_id,
            octets=len(letter.prefix) + kept.content.octets,
            surrogate_octets=letter.staged.surrogate_octets(letter.prefix),
            has_dot_lines=kept.content.has_dot_lines or has_dot_lines(letter.prefix),
            flags=letter.flags,
            modseq=folder.highest_modseq,
            internal_date=letter.internal_date,
            saved=self._clock() if saved is None else saved,
            prefix=letter.prefix,
            sha256=kept.content.sha256,
        )
        self._rows[key] = _Row(letter.folder, entry, kept)
        self._folders[letter.folder] = replace(folder, uid_next=folder.uid_next + 1)
        return key

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        self._must_hold(viewer)
        for key in keys:
            if row := self._rows.get(key):
                row.removed_by |= self._holders if viewer is None else {viewer}
        self._version += 1
        self._forget_unseen(keys, into)

    async def move(self, keys: Sequence[int], folder: str) -> list[int]:
        moved = [self._refile(key, folder) for key in keys]
        self._forget(keys)
        return moved

    def _refile(self, key: int, name: str) -> int:
        """The same letter again, at the end of a folder."""
        row = self._rows.get(key)
        if row is None:
            return 0
        if name not in self._folders:
            self._folders[name] = Folder(name, uid_validity=1, uid_next=1, highest_modseq=1)
        folder = self._changed(name)
        new = next(self._next_key)
        now = self._clock()
        entry = replace(
            row.entry,
            key=new,
            uid=folder.uid_next,
            unique_id=new_email_id(now),
            modseq=folder.highest_modseq,
            saved=now,
        )
        self._rows[new] = _Row(name, entry, row.kept)
        self._folders[name] = replace(folder, uid_next=folder.uid_next + 1)
        return new

    async def flag(self, keys: Sequence[int], flags: Flag) -> None:
        for key in keys:
            if row := self._rows.get(key):
                modseq = self._changed(row.folder).highest_modseq
                row.entry = replace(row.entry, flags=flags, modseq=modseq)

    async def changes(self, since: int, folder: str = INBOX) -> Changes:
        entries = [row.entry for row in self._rows.values() if row.folder == folder and row.entry.modseq > since]
        vanished = [uid for name, modseq, uid in self._vanished if name == folder and modseq > since]
        return Changes(self._folder(folder).highest_modseq, tuple(entries), tuple(vanished))

    async def folders(self) -> list[Folder]:
        return list(self._folders.values())

    async def create_folder(self, name: str) -> None:
        if name in self._folders:
            raise StoreError(f"there is a folder {name} already")
        self._folders[name] = Folder(name, uid_validity=1, uid_next=1, highest_modseq=1)

    async def viewers(self) -> list[Viewer]:
        return [Viewer(name, sight) for name, sight in sorted(self._viewers.items())]

    async def set_viewer(self, name: str, sight: Sight, into: str | None = None) -> None:
        if name == OWNER and (sight is Sight.GONE or (sight is Sight.RESTS and self._holders == {OWNER})):
            raise StoreError("a mailbox that nobody looks at would keep nothing")
        self._viewers[name] = sight
        if sight is Sight.GONE:
            del self._viewers[name]
            for row in self._rows.values():
                row.removed_by.discard(name)
        if not self._holders:
            self._viewers[OWNER] = Sight.HOLDS
        self._version += 1
        self._forget_unseen(list(self._rows), into)

    async def pulled(self, source: str) -> frozenset[str]:
        return frozenset(source_id for name, source_id in self._pulled if name == source)

    async def check(self) -> list[Damage]:
        return self._shelf.check()

    async def close(self) -> None:
        self._shown.clear()

    def _folder(self, name: str) -> Folder:
        if name not in self._folders:
            raise StoreError(f"there is no folder {name}")
        return self._folders[name]

    @property
    def _holders(self) -> set[str]:
        return {name for name, sight in self._viewers.items() if sight is Sight.HOLDS}

    def _must_hold(self, viewer: str | None) -> None:
        if viewer is not None and viewer not in self._holders:
            raise NotLooking(viewer)

    def _changed(self, name: str) -> Folder:
        """The folder as it is from now on: with a modseq of its own for what happens next."""
        folder = self._folder(name)
        self._version += 1
        self._folders[name] = folder = replace(folder, highest_modseq=folder.highest_modseq + 1)
        return folder

    def _forget_unseen(self, keys: Iterable[int], into: str | None = None) -> None:
        seen = self._holders
        unseen = [key for key in keys if (row := self._rows.get(key)) and row.removed_by.issuperset(seen)]
        if into is not None:
            for key in unseen:
                self._refile(key, into)
        self._forget(unseen)

    def _forget(self, keys: Iterable[int]) -> None:
        for key in keys:
            if row := self._rows.pop(key, None):
                self._vanished.append((row.folder, self._changed(row.folder).highest_modseq, row.entry.uid))


# --- responsibility and who lives here ----------------------------------------------------------------------


@dataclass(slots=True)
class _Waiting:
    """A queue item, its content, and who carries it: nobody if empty."""

    item: QueueItem
    kept: Kept
    holder: str = ""

    @property
    def next_time(self) -> float:
        return self.item.leased_until if self.holder else self.item.due


@dataclass(slots=True)
class MemoryLock:
    _held: set[tuple[int, str]]
    _name: tuple[int, str]
    _is_held: bool = True

    async def release(self) -> None:
        if self._is_held:
            self._held.discard(self._name)
            self._is_held = False


class MemoryOffice:
    """The queue by item id, and the mailboxes by account id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shelf = Shelf()
        self._mailboxes: dict[int, MemoryMailbox] = {}
        self._queue: dict[int, _Waiting] = {}
        self._next_item = count(1)
        self._locks: set[tuple[int, str]] = set()

    def open_mailbox(self, account_id: int, mailbox: MemoryMailbox | None = None) -> None:
        self._mailboxes[account_id] = mailbox or MemoryMailbox(self._shelf, self._clock)

    def drop_mailbox(self, account_id: int) -> None:
        self._mailboxes.pop(account_id, None)

    async def stage(self) -> MemoryStage:
        return MemoryStage()

    async def accept(self, acceptance: Acceptance) -> None:
        self._accept(acceptance)

    def _accept(self, acceptance: Acceptance) -> None:
        boxes = [self._mailbox(delivery.account_id) for delivery in acceptance.local]
        kept = self._shelf.keep(acceptance.staged)
        for box, delivery in zip(boxes, acceptance.local, strict=True):
            box.add(Letter(acceptance.staged, acceptance.accepted, delivery.prefix), kept, acceptance.accepted)
        by_domain: dict[str, list[str]] = {}
        for recipient in acceptance.remote:
            by_domain.setdefault(recipient.rpartition("@")[2], []).append(recipient)
        for domain, recipients in by_domain.items():
            item = QueueItem(
                item_id=next(self._next_item),
                letter_id=acceptance.letter_id,
                domain=domain,
                reverse_path=acceptance.reverse_path,
                recipients=tuple(recipients),
                content=kept.content,
                prefix=acceptance.relay_prefix,
                accepted=acceptance.accepted,
                due=acceptance.accepted,
                expires=acceptance.expires,
                attempts=0,
                leased_until=0.0,
                needs_smtputf8=acceptance.needs_smtputf8,
            )
            self._queue[item.item_id] = _Waiting(item, kept)

    async def mailbox(self, account_id: int) -> MemoryMailbox:
        return self._mailbox(account_id)

    def _mailbox(self, account_id: int) -> MemoryMailbox:
        if account_id not in self._mailboxes:
            raise StoreError(f"there is no account {account_id}")
        return self._mailboxes[account_id]

    async def lock(self, account_id: int, viewer: str = OWNER) -> MemoryLock | None:
        name = account_id, viewer
        if name in self._locks:
            return None
        self._locks.add(name)
        return MemoryLock(self._locks, name)

    async def claim(self, holder: str, now: float, lease_seconds: float, limit: int) -> list[QueueItem]:
        ready = [waiting for waiting in self._by_due() if max(waiting.item.due, waiting.next_time) <= now]
        for waiting in ready[:limit]:
            waiting.holder = holder
            waiting.item = replace(waiting.item, leased_until=now + lease_seconds)
        return [waiting.item for waiting in ready[:limit]]

    async def renew(self, holder: str, until: float) -> None:
        for waiting in self._queue.values():
            if waiting.holder == holder:
                waiting.item = replace(waiting.item, leased_until=until)

    async def read_item(self, item: QueueItem, index: int = 0) -> Piece:
        waiting = self._queue.get(item.item_id)
        if waiting is None:
            raise DamagedStore(f"the letter {item.letter_id} is not in the queue")
        return waiting.kept.piece(item.prefix, index)

    async def settle(self, settlement: Settlement) -> bool:
        waiting = self._queue.get(settlement.item_id)
        if waiting is None or not waiting.holder or waiting.holder != settlement.holder:
            return False
        if settlement.notice is not None:
            self._accept(settlement.notice)
        item, outcomes = waiting.item, settlement.outcomes
        still = [
            recipient
            for recipient in item.recipients
            if outcomes.get(recipient, RecipientState.WAITING) is RecipientState.WAITING
        ]
        if not still:
            del self._queue[item.item_id]
            return True
        waiting.holder = ""
        waiting.item = replace(
            item,
            recipients=tuple(still),
            attempts=item.attempts + 1,
            due=settlement.due,
            leased_until=0.0,
            last_reply=settlement.last_reply,
        )
        return True

    async def queue(self) -> list[QueueItem]:
        return [waiting.item for waiting in self._by_due()]

    def _by_due(self) -> list[_Waiting]:
        return sorted(self._queue.values(), key=lambda waiting: (waiting.item.due, waiting.item.item_id))

    async def backlog(self, now: float) -> Backlog:
        due = sum(waiting.next_time <= now for waiting in self._queue.values())
        first = next(iter(self._queue.values()), None)
        return Backlog(len(self._queue), due, first.item.accepted if first else None)

    async def next_due(self) -> float | None:
        return min((waiting.next_time for waiting in self._queue.values()), default=None)

    async def expedite(self, now: float) -> int:
        idle = [waiting for waiting in self._queue.values() if not waiting.holder]
        for waiting in idle:
            waiting.item = replace(waiting.item, due=min(waiting.item.due, now))
        return len(idle)

    async def free_octets(self) -> int:
        return max(0, ROOM_OCTETS - self._shelf.octets())

    async def tidy(self) -> None:
        """Nothing ever lies where it does not belong."""

    async def check(self) -> list[Damage]:
        return self._shelf.check()

    async def close(self) -> None:
        self._locks.clear()


class MemoryDirectory:
    """Accounts by address, in the order in which they came."""

    def __init__(self, office: MemoryOffice) -> None:
        self._office = office
        self._domains: list[str] = []
        self._accounts: dict[str, Account] = {}
        self._credentials: dict[tuple[int, str], Credential] = {}
        self._settings: dict[str, dict[str, str]] = {}
        self._next_account = count(1)
        self._secret = secrets.token_bytes(32)
        self._generation = 1

    async def domains(self) -> list[str]:
        return list(self._domains)

    async def has_domain(self, domain: str) -> bool:
        return domain in self._domains

    async def add_domain(self, domain: str) -> None:
        if domain in self._domains:
            raise StoreError(f"the domain {domain} is here already")
        self._domains.append(domain)

    async def find(self, address: str) -> Account | None:
        local, _, domain = address.rpartition("@")
        account = self._accounts.get(address)
        if account or domain not in self._domains or local not in ("postmaster", "abuse"):
            return account
        everybody = list(self._accounts.values())
        there = [account for account in everybody if account.address.endswith("@" + domain)]
        return next(iter(there or everybody), None)

    async def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    async def add_account(self, address: str, now: float) -> Account:
        return self.move_in(address, now)

    def move_in(self, address: str, created: float, mailbox: MemoryMailbox | None = None) -> Account:
        domain = address.rpartition("@")[2]
        if domain not in self._domains:
            raise StoreError(f"the domain {domain} is not here")
        if address in self._accounts:
            raise StoreError(f"the address {address} is taken")
        self._accounts[address] = account = Account(next(self._next_account), address, created)
        self._office.open_mailbox(account.account_id, mailbox)
        self._generation += 1
        return account

    async def remove_account(self, account_id: int) -> None:
        self._accounts = {
            address: account for address, account in self._accounts.items() if account.account_id != account_id
        }
        self._credentials = {
            name: credential for name, credential in self._credentials.items() if name[0] != account_id
        }
        here = {*self._accounts, *self._domains}
        self._settings = {owner: settings for owner, settings in self._settings.items() if owner in here}
        self._office.drop_mailbox(account_id)
        self._generation += 1

    async def credentials(self, account_id: int) -> list[Credential]:
        return [credential for credential in self._credentials.values() if credential.account_id == account_id]

    async def set_credential(self, credential: Credential, instead_of: str | None = None) -> bool:
        name = (credential.account_id, credential.name)
        if instead_of is not None:
            if self._credentials.get(name) != Credential(*name, instead_of):
                return False
        elif all(account.account_id != credential.account_id for account in self._accounts.values()):
            raise StoreError(f"there is no account {credential.account_id}")
        self._credentials[name] = credential
        self._generation += instead_of is None
        return True

    async def remove_credential(self, account_id: int, name: str) -> None:
        if self._credentials.pop((account_id, name), None) is None:
            raise StoreError(f"there is no credential {name!r}")
        self._generation += 1

    async def everybody_has(self, scheme: str) -> bool:
        verifiers = [credential.verifier for credential in self._credentials.values()]
        return bool(verifiers) and all(scheme in verifier for verifier in verifiers)

    async def secret(self) -> bytes:
        return self._secret

    async def settings(self) -> dict[str, dict[str, str]]:
        return {owner: dict(settings) for owner, settings in self._settings.items()}

    async def change_settings(self, owner: str, changes: Mapping[str, str]) -> bool:
        if owner not in self._accounts and owner not in self._domains:
            raise StoreError(f"there is no account or domain {owner}")
        before = self._settings.get(owner, {})
        after = {key: value for key, value in {**before, **changes}.items() if value}
        if after == before:
            return False
        self._settings[owner] = after
        self._settings = {owner: settings for owner, settings in self._settings.items() if settings}
        self._generation += 1
        return True

    async def generation(self) -> int:
        return self._generation


class MemoryVisits:
    """By account and viewer: the last visit, and when all tokens for logins are there again."""

    def __init__(self, directory: MemoryDirectory) -> None:
        self._directory = directory
        self._last: dict[tuple[int, str], Visit] = {}
        self._full_again: dict[tuple[int, str], float] = {}

    async def count(self, account_id: int, viewer: str, now: float, pace: Pace) -> bool:
        full_again = pace.next_time(self._full_again.get((account_id, viewer), 0.0), now)
        if full_again is None:
            return False
        self._full_again[account_id, viewer] = full_again
        return True

    async def note(self, visits: Sequence[Visit]) -> None:
        here = {account.account_id for account in await self._directory.accounts()}
        for visit in visits:
            if visit.account_id not in here:
                continue
            known = self._last.get((visit.account_id, visit.viewer))
            if known is None or known.at <= visit.at:
                self._last[visit.account_id, visit.viewer] = visit

    async def last(self, account_id: int) -> dict[str, Visit]:
        here = {account.account_id for account in await self._directory.accounts()} & {account_id}
        return {viewer: visit for (account, viewer), visit in self._last.items() if account in here}

    async def forget(self, account_id: int, viewer: str) -> None:
        self._last.pop((account_id, viewer), None)
        self._full_again.pop((account_id, viewer), None)

    async def with_devices(self) -> list[Account]:
        found = {account_id for account_id, viewer in self._last if viewer != OWNER}
        return [account for account in await self._directory.accounts() if account.account_id in found]


@dataclass(frozen=True, slots=True)
class _Aside:
    """All of an account that was removed and may come back."""

    removed: RemovedAccount
    mailbox: MemoryMailbox
    credentials: list[Credential]
    settings: dict[str, str]
    visits: list[Visit]


class MemoryAttic:
    """What was set aside, by the id that it had."""

    def __init__(self, office: MemoryOffice, directory: MemoryDirectory, visits: MemoryVisits) -> None:
        self._office = office
        self._directory = directory
        self._visits = visits
        self._aside: dict[int, _Aside] = {}

    async def set_aside(self, account_id: int, now: float, until: float) -> None:
        found = [account for account in await self._directory.accounts() if account.account_id == account_id]
        if not found:
            raise StoreError(f"there is no account {account_id}")
        [account] = found
        self._aside[account_id] = _Aside(
            RemovedAccount(account, now, until),
            await self._office.mailbox(account_id),
            await self._directory.credentials(account_id),
            (await self._directory.settings()).get(account.address, {}),
            list((await self._visits.last(account_id)).values()),
        )
        await self._directory.remove_account(account_id)

    async def accounts(self) -> list[RemovedAccount]:
        return [aside.removed for aside in self._aside.values()]

    async def bring_back(self, account_id: int) -> Account:
        aside = self._known(account_id)
        before = aside.removed.account
        account = self._directory.move_in(before.address, before.created, aside.mailbox)
        for credential in aside.credentials:
            await self._directory.set_credential(replace(credential, account_id=account.account_id))
        await self._directory.change_settings(account.address, aside.settings)
        await self._visits.note([Visit(account.account_id, visit.viewer, visit.at) for visit in aside.visits])
        del self._aside[account_id]
        return account

    async def forget(self, account_id: int) -> None:
        self._known(account_id)
        del self._aside[account_id]

    def _known(self, account_id: int) -> _Aside:
        if account_id not in self._aside:
            raise StoreError(f"no account {account_id} was removed that can be had back")
        return self._aside[account_id]


class MemoryStore:
    """Everything in this process, and gone with it."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._office = MemoryOffice(clock)
        self._directory = MemoryDirectory(self._office)
        self._visits = MemoryVisits(self._directory)
        self._attic = MemoryAttic(self._office, self._directory, self._visits)

    @property
    def office(self) -> MemoryOffice:
        return self._office

    @property
    def directory(self) -> MemoryDirectory:
        return self._directory

    @property
    def visits(self) -> MemoryVisits:
        return self._visits

    @property
    def attic(self) -> MemoryAttic:
        return self._attic

    async def close(self) -> None:
        await self._office.close()
