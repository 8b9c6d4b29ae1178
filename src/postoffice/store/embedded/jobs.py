"""The writes of `office.db` as values, so that they can wait for each other in a group or travel to the committer.

Each job says in its type what comes back. What a job needs of the world (the time, new email ids) was decided
before it was made: done twice on two copies of a file it would do the same.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

from postoffice.clock import Clock
from postoffice.message.content import Content
from postoffice.store.identity import new_email_id
from postoffice.store.model import Acceptance, Account, QueueItem, RecipientState, Settlement, Visit

R = TypeVar("R")


class Job(Struct, Generic[R], frozen=True, tag=True, array_like=True):
    """Something to be done in a transaction of the committer; `R` is what it gives."""


class Delivery(Struct, frozen=True, array_like=True):
    """A letter for one account, already named for ever."""

    account_id: int
    email_id: str
    prefix: bytes
    surrogate_octets: int


class Accept(Job[bool], frozen=True):
    """Take responsibility for a letter. Gives whether its spool file, if it has one, is in use now.

    The octets are in `wire`, or in the file that `spool` names. `remote` holds a domain and its recipients for
    each queue item.
    """

    content: Content
    wire: bytes | None
    spool: str | None
    letter_id: str
    reverse_path: str
    accepted: float
    expires: float
    needs_smtputf8: bool
    local: list[Delivery]
    remote: list[tuple[str, list[str]]]
    relay_prefix: bytes


class Claim(Job[list[QueueItem]], frozen=True):
    holder: str
    now: float
    lease_seconds: float
    limit: int


class Renew(Job[None], frozen=True):
    holder: str
    until: float


class Settled(Struct, frozen=True, array_like=True):
    """Whether it was the holder's to settle, whether the notice's spool file is in use, which ones may go."""

    is_done: bool
    is_notice_spool_used: bool = False
    spooled: list[str] = []


class Settle(Job[Settled], frozen=True):
    item_id: int
    holder: str
    finished: list[str]
    due: float
    last_reply: str
    notice: Accept | None


class Expedite(Job[int], frozen=True):
    now: float


class Removed(Struct, frozen=True, array_like=True):
    """Which arrivals were there, and which spool files may go."""

    numbers: list[int]
    spooled: list[str]


class RemoveArrivals(Job[Removed], frozen=True):
    account_id: int
    numbers: list[int]


class AddDomain(Job[None], frozen=True):
    domain: str


class AddAccount(Job[Account], frozen=True):
    address: str
    now: float


class RemoveAccount(Job[list[str]], frozen=True):
    """Gives the spool files that may go. The mailbox file is taken away by who asked.

    An account that may come back leaves its arrivals here: whoever was told 250 meanwhile was told the truth.
    """

    account_id: int
    may_come_back: bool = False


class ReserveAccount(Job[int], frozen=True):
    """An id that no account had and no other will have."""


class BringBack(Job[Account], frozen=True):
    """An account that was `removed_id` lives here again under an id that was reserved; its file is there before."""

    removed_id: int
    account_id: int
    address: str
    created: float
    credentials: dict[str, str]
    settings: dict[str, str]
    visits: dict[str, float]


class NoteFile(Job[None], frozen=True):
    """The account has a mailbox file from now on: if there is none, it is lost."""

    account_id: int


class SetCredential(Job[bool], frozen=True):
    """Gives whether it was set: with `instead_of`, only if that was kept until now."""

    account_id: int
    name: str
    verifier: str
    instead_of: str | None = None


class ChangeSettings(Job[bool], frozen=True):
    """Those with an empty value are taken back. Gives whether anything changed."""

    owner: str
    changes: dict[str, str]


class CountLogin(Job[bool], frozen=True):
    """Gives whether there was a token for it."""

    account_id: int
    viewer: str
    now: float
    seconds: float
    burst: int


class NoteVisits(Job[None], frozen=True):
    visits: list[Visit]


class ForgetVisits(Job[None], frozen=True):
    account_id: int
    viewer: str


class RemoveCredential(Job[None], frozen=True):
    account_id: int
    name: str


class GiveSpaceBack(Job[bool], frozen=True):
    """Some freed pages go back to the disk, but for those that the next letters will need. Gives whether more could."""

    spare_pages: int = 256
    step_pages: int = 128


AnyJob = (
    Accept
    | Claim
    | Renew
    | Settle
    | Expedite
    | RemoveArrivals
    | AddDomain
    | AddAccount
    | RemoveAccount
    | ReserveAccount
    | BringBack
    | NoteFile
    | SetCredential
    | ChangeSettings
    | CountLogin
    | NoteVisits
    | ForgetVisits
    | RemoveCredential
    | GiveSpaceBack
)

RESULTS: dict[type[AnyJob], object] = {
    Accept: bool,
    Claim: list[QueueItem],
    Renew: None,
    Settle: Settled,
    Expedite: int,
    RemoveArrivals: Removed,
    AddDomain: None,
    AddAccount: Account,
    RemoveAccount: list[str],
    ReserveAccount: int,
    BringBack: Account,
    NoteFile: None,
    SetCredential: bool,
    ChangeSettings: bool,
    CountLogin: bool,
    NoteVisits: None,
    ForgetVisits: None,
    RemoveCredential: None,
    GiveSpaceBack: bool,
}
"""What each job gives, for who reads it from a socket."""


def accept_job(acceptance: Acceptance, clock: Clock) -> Accept:
    by_domain: dict[str, list[str]] = {}
    for recipient in acceptance.remote:
        by_domain.setdefault(recipient.rpartition("@")[2], []).append(recipient)
    now = clock() if acceptance.local else 0.0
    staged, place = acceptance.staged, acceptance.staged.place
    return Accept(
        content=staged.content,
        wire=place if isinstance(place, bytes) else None,
        spool=place if isinstance(place, str) else None,
        letter_id=acceptance.letter_id,
        reverse_path=acceptance.reverse_path,
        accepted=acceptance.accepted,
        expires=acceptance.expires,
        needs_smtputf8=acceptance.needs_smtputf8,
        local=[
            Delivery(to.account_id, new_email_id(now), to.prefix, staged.surrogate_octets(to.prefix))
            for to in acceptance.local
        ],
        remote=list(by_domain.items()),
        relay_prefix=acceptance.relay_prefix,
    )


def settle_job(settlement: Settlement, clock: Clock) -> Settle:
    waiting = RecipientState.WAITING
    return Settle(
        item_id=settlement.item_id,
        holder=settlement.holder,
        finished=[name for name, state in settlement.outcomes.items() if state is not waiting],
        due=settlement.due,
        last_reply=settlement.last_reply,
        notice=accept_job(settlement.notice, clock) if settlement.notice is not None else None,
    )
