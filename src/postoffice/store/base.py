"""The waists between everything that speaks a protocol and everything that keeps mail.

    Mailbox      one account's letters: what is shown to whom, reading, adding, removing
    Pulls        what a mailbox remembers of letters that came from elsewhere
    Scans        what scanners said of its letters
    Office       responsibility for letters: the one way in, the queue, the maildrop lock
    Directory    domains, accounts, credentials
    Visits       who came when, and whether he may come again already
    Attic        accounts that were removed and may come back

Every verb is a coroutine. An engine that has the answer returns it without waiting, and then costs its caller no
task switch, because conversations are driven by hand (`net.dialogue`); an engine that has to wait awaits futures
of its own. A verb must not rely on being inside a task (no `asyncio.timeout`, no TaskGroup without opening a task),
and it may be closed while it waits, when the conversation ends: a durable verb that has begun still goes on to its
end, and `close` waits for it.

Durable means: survives a loss of power once the verb has returned. `testing.check_store` is what any engine must
pass; `store.memory` is the shortest one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from postoffice.store.model import (
    INBOX,
    OWNER,
    Changes,
    ContentFile,
    Damage,
    Entry,
    Flag,
    Folder,
    Letter,
    Piece,
    Pulled,
    Scan,
    Sight,
    Small,
    Snapshot,
    Staged,
    Viewer,
)

if TYPE_CHECKING:
    from postoffice.store.office import (
        Acceptance,
        Account,
        Backlog,
        Credential,
        Pace,
        QueueItem,
        RemovedAccount,
        Settlement,
        Visit,
    )


class Stage(Protocol):
    """A letter coming in. Constant memory for any size; holds no lock while the sender is slow."""

    async def write(self, wire: bytes) -> None:
        """Take one more chunk, as `DotReader` gives it."""

    async def octets(self) -> int:
        """How many octets of the content have come."""
        ...

    async def finish(self) -> Staged:
        """The whole letter is here. Not durable yet: that is the verb's duty which takes the `Staged`."""

    async def read(self, index: int) -> Piece:
        """The `index`-th piece of a letter that is finished, and that nothing took yet."""
        ...

    async def abandon(self) -> None:
        """Forget it. Also right after `finish`, if nothing took the `Staged`."""


class MaildropLock(Protocol):
    """Held while it lives; also ends with the process that holds it."""

    async def release(self) -> None:
        """Free it for the next session. Also a second time; only the first counts."""


class Pulls(Protocol):
    """What a mailbox remembers of the letters it got from elsewhere. The memory of a letter outlives the letter."""

    async def sources(self) -> list[str]:
        """All places that letters were pulled from."""
        ...

    async def pulled(self, source: str) -> dict[str, Pulled]:
        """All that was ever met at `source`, by `source_id`."""
        ...

    async def note(self, source: str, notes: Mapping[str, Pulled]) -> None:
        """Remember this, in the place of what was remembered of these letters. Durable."""


class Scans(Protocol):
    """What scanners said of contents, by SHA-256. The memory of a verdict outlives the letter."""

    async def scans(self, contents: Sequence[bytes]) -> list[Scan | None]:
        """What was said last of each; None: nothing yet."""
        ...

    async def to_scan(self, folder: str, signatures: str | None) -> list[int]:
        """Keys of the letters in a folder, oldest first, that have no verdict, or one given with other signatures.

        None: all of them. A folder that is not there has none.
        """
        ...

    async def judge(self, scanned: Mapping[bytes, Scan], moves: Mapping[str, Sequence[int]]) -> None:
        """Remember what was said, and move letters where it says that they belong, all of it or nothing. Durable.

        `moves` has keys by folder, as `move` takes them. What holds then is `Scan.after` what was said before.
        """


class Octets(Protocol):
    """The octets of a mailbox's letters, in wire form, by the keys of a snapshot."""

    async def read(self, keys: Sequence[int], index: int = 0) -> list[Piece | None]:
        """The `index`-th piece of each letter, in their order; None for a letter that is gone. A key may be repeated.

        The caller bounds the sum of octets; a flight of small letters costs one statement.
        """
        ...

    async def read_small(self, keys: Sequence[int]) -> Sequence[Small]:
        """Letters, in their order, if they are small: for many at once, in less time than `read` takes.

        For one that is not, or is gone, `read` has to be asked, and perhaps for those that were asked for with it.
        """
        ...

    async def content_file(self, key: int) -> ContentFile | None:
        """The file of a letter whose content lies in one, which can be sent without being read; None: `read` it."""
        ...


class Mailbox(Octets, Pulls, Scans, Protocol):
    """One account's letters. At the office and at home it is the same."""

    async def snapshot(self, viewer: str | None = None, folder: str = INBOX) -> Snapshot:
        """What `viewer` sees now, oldest first; None: everything that is kept, whoever sees it.

        Cheap when nothing changed: the same object is given again. A folder that is not there is a `StoreError`, a
        viewer who holds nothing back is `NotLooking`.
        """
        ...

    async def describe(self, keys: Sequence[int]) -> list[Entry | None]:
        """The whole entry of each letter, in their order; None for a letter that is gone."""
        ...

    async def stage(self) -> Stage: ...

    async def append(
        self, letters: Sequence[Letter], when_put: Callable[[], object] | None = None, *, may_wait: bool = False
    ) -> list[int]:
        """Keep letters, all of them or none. Durable, or, if it `may_wait`, not before `settle`. Gives their keys in
        order.

        A letter that was fetched from its `origin` before is passed over; its key is 0. An engine that then waits for
        the disk alone may call `when_put` before it does, in the loop's thread.
        """
        ...

    async def settle(self, *, at_once: bool = True) -> bool:
        """Everything that was appended is durable. Unless that shall be `at_once`, an engine for which it costs much
        may put it off, for a few seconds and some octets of letters: False.
        """
        ...

    async def remove(
        self,
        keys: Sequence[int],
        viewer: str | None = None,
        lock: MaildropLock | None = None,
        into: str | None = None,
    ) -> None:
        """Take letters out of a viewer's sight, None: of everybody's; one that nobody sees any more is gone. Durable.

        With `into` it is not gone, but moved to that folder, as `move` does. Keys of letters that are gone already are
        passed over. `lock` is the one it is done under: where a lock can be lost (a lease that ran out while a node
        was paused), that is a `StoreError`, and nothing is removed.
        """

    async def move(self, keys: Sequence[int], folder: str) -> list[int]:
        """Put letters at the end of a folder, which is made if it is not there, for every viewer to see. Durable.

        Gives their new keys in order, 0 for a letter that is gone. A letter that moved keeps its octets and its email
        id; its uid and its unique id are new, so that who has it already takes it for another one.
        """
        ...

    async def flag(self, keys: Sequence[int], flags: Flag) -> None:
        """Set the flags of letters to exactly `flags`. Durable."""

    async def changes(self, since: int, folder: str = INBOX) -> Changes:
        """What happened after the modseq `since`."""
        ...

    async def folders(self) -> list[Folder]: ...

    async def create_folder(self, name: str) -> None:
        """Durable. One that is there already is a `StoreError`."""

    async def viewers(self) -> list[Viewer]:
        """Who looks at this mailbox, `OWNER` first. At first he alone does, and holds."""
        ...

    async def set_viewer(self, name: str, sight: Sight, into: str | None = None) -> None:
        """Say how somebody looks at this mailbox from now on. Durable.

        A new one who holds sees all that is there. Letters that nobody holds back any more are gone, or, with `into`,
        moved to that folder. Where nobody would hold, the owner does: a mailbox always keeps letters for somebody. He
        himself is never gone, and does not rest alone: those are a `StoreError`.
        """

    async def check(self) -> list[Damage]:
        """Look at everything: every hash, every index. Empty means sound; what is harmless is not told."""
        ...

    async def close(self) -> None: ...


class Office(Protocol):
    """Responsibility for letters. Signature 1 is `accept`."""

    async def stage(self) -> Stage:
        """It looks at line ends, as that of a mailbox does not."""
        ...

    async def accept(self, acceptance: Acceptance) -> None:
        """Take responsibility for a letter: all local deliveries and all queue items, in one durable transaction.

        A delivery to an account that is not here is a `StoreError`, and nothing is kept.
        """

    async def mailbox(self, account_id: int) -> Mailbox:
        """The mailbox of an account, with everything that was delivered to it. The office closes it."""
        ...

    async def lock(self, account_id: int, viewer: str = OWNER) -> MaildropLock | None:
        """The exclusive lock of RFC 1939 §4, over all processes of the office; None if somebody has it."""
        ...

    async def claim(self, holder: str, now: float, lease_seconds: float, limit: int) -> list[QueueItem]:
        """Items that are due and not leased, earliest first; from now on `holder` carries them.

        `holder` is a name that nobody had before, one for each claim: a lease is known and renewed by it alone.
        """
        ...

    async def read_item(self, item: QueueItem, index: int = 0) -> Piece:
        """The `index`-th piece of a claimed letter, prefix first. A letter that is not there is a `DamagedStore`."""
        ...

    async def renew(self, holder: str, until: float) -> None:
        """Everything that `holder` carries stays its own until then: a large letter on a slow line takes its time."""

    async def settle(self, settlement: Settlement) -> bool:
        """Record what became of an item. Durable. False, and nothing is changed, if the lease is not the holder's."""
        ...

    async def queue(self) -> list[QueueItem]:
        """Everything on its way, by due time."""
        ...

    async def backlog(self, now: float) -> Backlog:
        """How much is on its way, without looking at each item."""
        ...

    async def next_due(self) -> float | None:
        """When the next unleased item is due, or the next lease ends; None if the queue is empty."""
        ...

    async def expedite(self, now: float) -> int:
        """Make every waiting item due now; gives how many."""
        ...

    async def free_octets(self) -> int:
        """The room that is left for letters."""
        ...

    async def tidy(self) -> None:
        """Housekeeping in a quiet moment: move deliveries where they belong, give space back. Safe at any time."""

    async def check(self) -> list[Damage]: ...

    async def close(self) -> None: ...


class Directory(Protocol):
    """Who lives here. Addresses are lower case with the domain in A-labels.

    The first account answers for postmaster and abuse: that of the domain, else that of the office.
    """

    async def domains(self) -> list[str]: ...

    async def has_domain(self, domain: str) -> bool: ...

    async def add_domain(self, domain: str) -> None:
        """Durable. One that is there already is a `StoreError`."""

    async def find(self, address: str) -> Account | None:
        """Whose address this is. `postmaster` and `abuse` of every domain here are somebody's (RFC 5321 §4.5.1)."""
        ...

    async def accounts(self) -> list[Account]: ...

    async def add_account(self, address: str, now: float) -> Account:
        """Durable. An address that is taken, or whose domain is not here, is a `StoreError`."""
        ...

    async def remove_account(self, account_id: int) -> None:
        """The account, its credentials and its letters, for ever. Durable. Its id is never used again."""

    async def credentials(self, account_id: int) -> list[Credential]: ...

    async def set_credential(self, credential: Credential, instead_of: str | None = None) -> bool:
        """Add it, or replace the one of the same name. Durable.

        `instead_of` is the verifier that kept the same password in another way: if it is not there any more, nothing
        is changed and this gives False. The generation stays then, for what was remembered is still so.
        """
        ...

    async def remove_credential(self, account_id: int, name: str) -> None:
        """Durable. One that is not there is a `StoreError`."""

    async def everybody_has(self, scheme: str) -> bool:
        """Whether there are credentials, and none without a verifier of this scheme, given as `$name$`."""
        ...

    async def secret(self) -> bytes:
        """32 octets that nobody else knows, the same for as long as the office lives."""
        ...

    async def settings(self) -> dict[str, dict[str, str]]:
        """What is set, as text by key, for accounts by their address and for domains by their name."""
        ...

    async def change_settings(self, owner: str, changes: Mapping[str, str]) -> bool:
        """Set some for an account or a domain; an empty value takes one back. Durable. Gives whether anything changed.

        An owner who is not here is a `StoreError`.
        """
        ...

    async def generation(self) -> int:
        """Grows with every change of domains, accounts, credentials or settings, so that who remembers any knows."""
        ...


class Visits(Protocol):
    """Who came to which maildrop when. It goes with the account."""

    async def count(self, account_id: int, viewer: str, now: float, pace: Pace) -> bool:
        """Take a token for a login. Durable. False, and nothing is taken, if there is none left (RFC 2449 §6.5)."""
        ...

    async def note(self, visits: Sequence[Visit]) -> None:
        """Remember the last visits of some viewers; one that is older than what is known is passed over. Durable."""

    async def last(self, account_id: int) -> dict[str, Visit]:
        """The last visit, as far as it was noted, of each viewer of an account, by his name."""
        ...

    async def forget(self, account_id: int, viewer: str) -> None:
        """This viewer never came. Durable."""

    async def with_devices(self) -> list[Account]:
        """The accounts to which somebody else than their owner came."""
        ...


class Attic(Protocol):
    """Accounts that were removed and may come back. At every moment an account lives in the directory or stands here.

    Their addresses are free for others. They stay until they come back or are forgotten, whatever the time is.
    """

    async def set_aside(self, account_id: int, now: float, until: float) -> None:
        """Remove an account, and keep all that it is. Durable. One that is not here is a `StoreError`.

        Whoever has one of its maildrop locks is not waited for: those are for the caller to take.
        """

    async def accounts(self) -> list[RemovedAccount]:
        """All of them, the first one first."""
        ...

    async def bring_back(self, account_id: int) -> Account:
        """Make an account again, with its letters, credentials and settings, under a new id. Durable.

        Its letters keep their unique-ids. An address that is taken, or a domain that is not here, is a `StoreError`.
        """
        ...

    async def forget(self, account_id: int) -> None:
        """Let go all that was kept of an account. Durable. One that does not stand here is a `StoreError`."""


class Store(Protocol):
    """An engine."""

    @property
    def office(self) -> Office: ...

    @property
    def directory(self) -> Directory: ...

    @property
    def visits(self) -> Visits: ...

    @property
    def attic(self) -> Attic: ...

    async def close(self) -> None: ...
