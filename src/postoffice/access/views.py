"""Which part of a maildrop a session shows, where its account wants that: the last days, or the newest letters.

What is not shown cannot be named in the session, and so is never deleted by it.
"""

from __future__ import annotations

from postoffice.accounts.terms import Terms
from postoffice.store.base import Mailbox
from postoffice.store.model import Snapshot


async def listed(mailbox: Mailbox, snapshot: Snapshot, terms: Terms, since: float | None) -> Snapshot:
    """The letters that came after `since` (None: all), and of those the newest `max_listed`.

    The newest and not the oldest, because who leaves letters on the server would else never see a new one.
    """
    start = 0 if since is None else await _first_after(mailbox, snapshot, since)
    if terms.max_listed:
        start = max(start, len(snapshot.keys) - terms.max_listed)
    return snapshot.tail(start)


async def _first_after(mailbox: Mailbox, snapshot: Snapshot, since: float) -> int:
    """How many letters came no later than then: they lie in the order in which they came."""
    low, high = 0, len(snapshot.keys)
    while low < high:
        middle = (low + high) // 2
        [entry] = await mailbox.describe([snapshot.keys[middle]])
        if entry is not None and entry.saved > since:
            high = middle
        else:
            low = middle + 1
    return low
