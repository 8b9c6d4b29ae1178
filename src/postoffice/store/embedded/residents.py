"""Who lives at the office and what waits for him in `office.db`, asked once for as long as nobody writes to it.

A login asks twice, whether there is such an account and whether anything arrived for it, and most who log in find
nothing new: one statement tells both, and none is needed while the file is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from postoffice.database.sqlite import Connection
from postoffice.errors import StoreError
from postoffice.store.embedded import arrivals

T = TypeVar("T")

NOTHING: Final = (0, 0)
"""The fingerprint of most: one object for all of them."""


class Asked(Protocol):
    """`office.db`."""

    def ask(self, question: Callable[[Connection], T]) -> T: ...

    def version(self) -> int: ...


class Residents:
    """One per process."""

    def __init__(self, office: Asked) -> None:
        self._office = office
        self._known: dict[int, tuple[int, int]] = {}
        self._known_at = -1

    def fingerprint(self, account_id: int) -> tuple[int, int]:
        """That of his arrivals (`arrivals.fingerprint`). A `StoreError` if there is no such account."""
        version = self._office.version()
        if version != self._known_at:
            self._known.clear()
            self._known_at = version
        known = self._known.get(account_id)
        if known is None:
            found = self._office.ask(lambda office: arrivals.fingerprint(office, account_id))
            if found is None:
                raise StoreError(f"there is no account {account_id}")
            known = self._known[account_id] = NOTHING if found == NOTHING else found
        return known
