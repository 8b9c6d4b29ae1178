"""A maildrop while a session has it: locked for one device, seen as it was at login, updated at the end.

    admission ─▶ lock ─▶ look ─▶ the session ─▶ update ✍ 2 ─▶ free

The lock is exclusive (RFC 1939 §4) for the account and the device that logged in: its owner's other devices have
maildrops of their own (`accounts.devices`), and each update removes letters from one device's sight alone. A session
that ends in any other way than by an update removes nothing (§6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from postoffice import counts
from postoffice.access.takeover import Holders
from postoffice.access.views import listed
from postoffice.accounts.devices import begin, into, viewer_of
from postoffice.accounts.login import Admission
from postoffice.accounts.terms import DAY_SECONDS, Bylaws, Terms
from postoffice.accounts.visits import VisitBook
from postoffice.clock import Clock
from postoffice.counts import counter, histogram, observe
from postoffice.errors import NotLooking, PostofficeError, Refusal
from postoffice.net.dialogue import Dialogue
from postoffice.net.pause import pause
from postoffice.protocols.pop3.replies import Code
from postoffice.protocols.pop3.server import Pop3Server
from postoffice.store.base import Mailbox, MaildropLock
from postoffice.store.model import Account, ContentFile, Piece, Small, Snapshot
from postoffice.store.view import FrozenView

CLAIM_SECONDS = 1.0
"""How often one who waits for a maildrop asks whether its holder may be ended; a claim is good for as long."""

_LOCK_WAIT = histogram("postoffice_lock_wait_seconds", "Waits of logins for a maildrop that another had.")
_IN_USE = counter("postoffice_lock_refusals_total", "Right logins refused since another had the maildrop.")


class Maildrops(Protocol):
    """Where maildrops are had from. An `Office` is one; mailbox files at home are another."""

    async def mailbox(self, account_id: int) -> Mailbox: ...

    async def lock(self, account_id: int, viewer: str) -> MaildropLock | None:
        """The exclusive lock of RFC 1939 §4; None if somebody has it."""
        ...


class NotNow(PostofficeError):
    """The password was right, and the maildrop cannot be had at this moment; `code` says why."""

    def __init__(self, text: str, code: Code) -> None:
        super().__init__(text)
        self.code = code


class Maildrop:
    """What a session has between login and its end. `leave` frees it, also a second time."""

    __slots__ = ("_holders", "_lock", "_mailbox", "_viewer", "account", "credential", "terms", "view")

    def __init__(
        self, admission: Admission, terms: Terms, mailbox: Mailbox, view: FrozenView, lock: MaildropLock, viewer: str
    ) -> None:
        self.account, self.credential, _ = admission
        self.terms = terms
        self.view = view
        self._mailbox = mailbox
        self._lock = lock
        self._viewer = viewer
        self._holders: Holders | None = None

    def is_held_by(self, dialogue: Dialogue[Pop3Server], holders: Holders) -> None:
        """Whoever wants it meanwhile finds this conversation."""
        self._holders = holders
        holders.enter((self.account.account_id, self._viewer), dialogue)

    async def read(self, numbers: Sequence[int], index: int = 0) -> list[Piece | None]:
        """The `index`-th piece of each of these letters, in one verb; None for one that is gone."""
        return await self._mailbox.read(self.view.keys(numbers), index)

    async def read_small(self, numbers: Sequence[int]) -> Sequence[Small]:
        """These letters, whole and in one verb, as far as they are small."""
        return await self._mailbox.read_small(self.view.keys(numbers))

    async def content_file(self, number: int) -> ContentFile | None:
        """The file that the content of this letter has for itself, if it has one."""
        [key] = self.view.keys([number])
        return await self._mailbox.content_file(key)

    async def update(self) -> int:
        """Remove what was marked from this device's sight (RFC 1939 §6); gives how many. Durable."""
        keys = self.view.deleted_keys()
        if keys:
            await self._mailbox.remove(keys, self._viewer, self._lock, into(self.terms))
        return len(keys)

    async def leave(self) -> None:
        """Free it for the next session."""
        if self._holders is not None:
            self._holders.leave((self.account.account_id, self._viewer))
            self._holders = None
        await self._lock.release()


class Keeper:
    """Gives out maildrops. One per door."""

    def __init__(
        self,
        office: Maildrops,
        bylaws: Bylaws,
        visits: VisitBook,
        holders: Holders,
        lock_wait_seconds: float,
        now: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._office = office
        self._bylaws = bylaws
        self._visits = visits
        self._holders = holders
        self._lock_wait_seconds = lock_wait_seconds
        self._now = now
        self._clock = clock

    async def open(self, admission: Admission, dialogue: Dialogue[Pop3Server], *, with_surrogates: bool) -> Maildrop:
        """The maildrop of who was let in. A `Refusal` where his terms forbid it, `NotNow` where it is taken."""
        peer, account = dialogue.peer[0], admission.account
        terms = await self._bylaws.admit(account, "pop3", peer)
        if admission.is_recent and not terms.recent_days:
            raise Refusal(permanent=True, status="7.8", public="user name or password is wrong", because="no such view")
        viewer = viewer_of(admission.credential)
        lock = await self._locked(account, viewer, peer)
        try:
            mailbox = await self._office.mailbox(account.account_id)
            snapshot = await self._looked(mailbox, account, viewer)
            if admission.is_recent or terms.max_listed:
                since = self._clock() - terms.recent_days * DAY_SECONDS if admission.is_recent else None
                snapshot = await listed(mailbox, snapshot, terms, since)
            view = FrozenView(snapshot, with_surrogates=with_surrogates)
            if not await self._visits.may_come(account.account_id, viewer, terms):
                raise NotNow(f"one login in {terms.login_delay} seconds is enough", Code.LOGIN_DELAY)
            await self._visits.note(account.account_id, viewer)
        except BaseException:
            await lock.release()  # a maildrop that cannot be opened is not kept from others (RFC 1939 §4)
            raise
        maildrop = Maildrop(admission, terms, mailbox, view, lock, viewer)
        maildrop.is_held_by(dialogue, self._holders)
        return maildrop

    async def _looked(self, mailbox: Mailbox, account: Account, viewer: str) -> Snapshot:
        """What this device has not deleted yet; from its first login on, letters wait for it."""
        try:
            return await mailbox.snapshot(viewer)
        except NotLooking:
            await self._visits.note(account.account_id, viewer)
            await begin(mailbox, account, viewer)
            return await mailbox.snapshot(viewer)

    async def _locked(self, account: Account, viewer: str, peer: str) -> MaildropLock:
        """The lock, waited for a little: housekeeping, or a session that is just ending, may have it."""
        lock = await self._office.lock(account.account_id, viewer)
        if lock is not None:
            return lock
        begun = claims = self._now()
        end = begun + self._lock_wait_seconds
        while lock is None and (now := self._now()) < end:
            if now >= claims:
                claims = min(now + CLAIM_SECONDS, end)
                self._holders.claim((account.account_id, viewer), peer, claims - now)
            await pause(0.05)
            lock = await self._office.lock(account.account_id, viewer)
        observe(_LOCK_WAIT, self._now() - begun)
        if lock is None:
            counts.sheet[_IN_USE] += 1
            raise NotNow("another session has this maildrop", Code.IN_USE)
        return lock
