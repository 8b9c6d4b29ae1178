"""The values that an office alone knows: who lives here, what is delivered to them, what is on its way to others.

They pass through the waists as those of `store.model`, where they are found too; a mailbox at home does without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from postoffice.message.content import Content
from postoffice.store.model import Staged


@dataclass(frozen=True, slots=True)
class LocalDelivery:
    """A letter for an account of this office. `prefix` is what stands above the content there."""

    account_id: int
    prefix: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A letter for which this office takes responsibility, all of it in one transaction.

    `remote` holds the recipients in other offices; `relay_prefix` stands above the content on its way there.
    `reverse_path` is empty for a notice, which is never bounced (RFC 5321 §4.5.5). `expires` and `accepted` are in
    seconds since the epoch.
    """

    letter_id: str
    staged: Staged
    reverse_path: str
    accepted: float
    local: tuple[LocalDelivery, ...] = ()
    remote: tuple[str, ...] = ()
    relay_prefix: bytes = b""
    expires: float = 0.0
    needs_smtputf8: bool = False


class RecipientState(Enum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many items are on their way, how many of them somebody may carry now, and when the first was accepted."""

    letters: int
    due: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A letter on its way to the recipients of one domain: what one courier carries at once.

    States: *waiting* (due in the future or now, no lease), *carried* (a holder has it until `leased_until`), *gone*
    (every recipient delivered or failed; the item is deleted). `recipients` are those still waiting.
    """

    item_id: int
    letter_id: str
    domain: str
    reverse_path: str
    recipients: tuple[str, ...]
    content: Content
    prefix: bytes
    accepted: float
    due: float
    expires: float
    attempts: int
    leased_until: float
    last_reply: str = ""
    needs_smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a carried item, all of it in one transaction.

    `outcomes` names recipients that are finished (delivered or failed); those left out wait until `due`. `notice`
    tells the sender of failures and is accepted in the same transaction, so it is sent exactly once.
    """

    item_id: int
    holder: str
    outcomes: dict[str, RecipientState] = field(default_factory=dict)
    due: float = 0.0
    last_reply: str = ""
    notice: Acceptance | None = None


# --- who lives here, and when he comes ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Account:
    """`address` is the account's name and first address, lower case, domain in A-labels."""

    account_id: int
    address: str
    created: float


@dataclass(frozen=True, slots=True)
class RemovedAccount:
    """An account that was removed, when, and until when it is kept. It may share its address with others."""

    account: Account
    removed: float
    until: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something may be done: a bucket of `burst` tokens, one of which comes back every `seconds`."""

    seconds: float
    burst: int = 1

    def next_time(self, full_again: float, now: float) -> float | None:
        """When the bucket is full again if a token is taken now; None if there is none.

        `full_again` is what this gave the last time, 0 at first. One that could not be means that the clock was set
        back or the pace changed, and counts for nothing: nobody is locked out for longer than a token takes.
        """
        if full_again > now + self.seconds * self.burst + 1:
            full_again = 0.0
        if full_again > now + self.seconds * (self.burst - 1):
            return None
        return max(full_again, now) + self.seconds


@dataclass(frozen=True, slots=True)
class Credential:
    """A way to become an account. `verifier` has a line for each scheme, by its `$name$`."""

    account_id: int
    name: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Visit:
    """When a viewer last came to a maildrop, in seconds since the epoch.

    `warned` is when the owner was told that this is long ago, 0 if he was not since.
    """

    account_id: int
    viewer: str
    at: float
    warned: float = 0.0
