"""Who lives at the office and what waits for him in `office.db`, asked once for as long as nobody writes to it.

A login asks twice, whether there is such an account and whether anything arrived for it, and most who log in find
nothing new: one statement tells both, and none is needed while the file is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeVar

from postoffice.database.sqlite import Connection
from postoffice.errors import StoreError

T = TypeVar("T")

_LOOK: Final = (
    "SELECT coalesce((SELECT max(number) FROM arrivals WHERE account_id = ?1), 0),"
    " coalesce((SELECT times FROM departures WHERE account_id = ?1), 0), has_file FROM accounts WHERE account_id = ?1"
)


class Resident(NamedTuple):
    """Changes with every arrival that comes or goes: the number of the newest, and how often some departed.

    `has_file`: letters were absorbed, so where there is no mailbox file it is lost.
    """

    newest: int
    departures: int
    has_file: int


_MOST: Final = {one: one for one in (Resident(0, 0, 0), Resident(0, 0, 1))}
"""What is told of most: one object for all of them."""


class Asked(Protocol):
    """`office.db`."""

    def ask(self, question: Callable[[Connection], T]) -> T: ...

    def version(self) -> int: ...


class Residents:
    """One per process."""

    def __init__(self, office: Asked) -> None:
        self._office = office
        self._known: dict[int, Resident] = {}
        self._known_at = -1

    def look(self, account_id: int) -> Resident:
        """A `StoreError` if there is no such account."""
        version = self._office.version()
        if version != self._known_at:
            self._known.clear()
            self._known_at = version
        known = self._known.get(account_id)
        if known is None:
            row = self._office.ask(lambda office: office.execute(_LOOK, (account_id,)).fetchone())
            if row is None:
                raise StoreError(f"there is no account {account_id}")
            found = Resident(*row)
            known = self._known[account_id] = _MOST.get(found, found)
        return known
