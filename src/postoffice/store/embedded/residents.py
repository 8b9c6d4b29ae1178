"""Who lives at the office and what waits for him in `office.db`, asked once for as long as nothing of it changes.

A login asks twice, whether there is such an account and whether anything arrived for it, and most who log in find
nothing new: one statement tells both, and none is needed while the file is as it was. Where somebody wrote to it, for
whatever reason, those are asked for again of whom he may have written:

    a letter came                        its number is above all that there were
    one went, or a file was noted        `departures` says when, as the office counts such times
    an account came, went, was changed   the directory has another generation, and everybody is asked for again
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeVar

from postoffice.database.sqlite import Connection
from postoffice.errors import StoreError

T = TypeVar("T")

MOST_KNOWN: Final = 100_000
"""Some 25 MB, if each has letters waiting; a third of that if none has."""

MANY: Final = 1000
"""So much news is not read: everybody is asked for again."""

_LOOK: Final = (
    "SELECT coalesce((SELECT max(number) FROM arrivals WHERE account_id = ?1), 0),"
    " coalesce((SELECT times FROM departures WHERE account_id = ?1), 0), has_file FROM accounts WHERE account_id = ?1"
)
_STATE: Final = (
    "SELECT directory_generation, coalesce((SELECT max(number) FROM arrivals), 0),"
    " coalesce((SELECT max(times) FROM departures), 0) FROM office"
)
_NEWS: Final = (
    "SELECT account_id FROM arrivals WHERE number > ? UNION ALL SELECT account_id FROM departures WHERE times > ?"
)


class Resident(NamedTuple):
    """Changes with every arrival that comes or goes: the number of the newest, and when one departed last, as the
    office counts that.

    `has_file`: letters were absorbed, so where there is no mailbox file it is lost.
    """

    newest: int
    departures: int
    has_file: int


_MOST: Final = {one: one for one in (Resident(0, 0, 0), Resident(0, 0, 1))}
"""What is told of most: one object for all of them."""


class _State(NamedTuple):
    """Up to where it is known what happened."""

    generation: int
    newest: int
    departed: int


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
        self._state = _State(-1, 0, 0)

    def generation(self) -> int:
        """Changes with everything that is said of accounts, domains and their terms."""
        self._catch_up()
        return self._state.generation

    def look(self, account_id: int) -> Resident:
        """A `StoreError` if there is no such account."""
        self._catch_up()
        known = self._known.get(account_id)
        if known is None:
            row = self._office.ask(lambda office: office.execute(_LOOK, (account_id,)).fetchone())
            if row is None:
                raise StoreError(f"there is no account {account_id}")
            found = Resident(*row)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[account_id] = _MOST.get(found, found)
        return known

    def _catch_up(self) -> None:
        """Forget those of whom there is news. Somebody may write between the statements: what they tell of is news
        then the next time too."""
        version = self._office.version()
        if version == self._known_at:
            return
        before, state = self._state, self._office.ask(_state_of)
        news = max(state.newest - before.newest, state.departed - before.departed)
        if state.generation != before.generation or news > MANY:
            self._known.clear()
        elif news > 0:
            for (account_id,) in self._office.ask(
                lambda office: office.execute(_NEWS, (before.newest, before.departed)).fetchall()
            ):
                self._known.pop(account_id, None)
        # What was the newest may be gone, and numbers are not given twice.
        self._state = state._replace(newest=max(state.newest, before.newest))
        self._known_at = version


def _state_of(office: Connection) -> _State:
    row = office.execute(_STATE).fetchone()
    if row is None:
        raise StoreError("office.db does not say how it is")
    return _State(*row)
