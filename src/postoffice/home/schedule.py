"""When an account is pulled next. Pure: times, in seconds of any clock, and chance (0 to 1) are arguments.

    it went well                      after `every`, ten percent more or less
    it failed                         after a minute, two, four ... up to an hour
    it failed for want of a network   the same, or when there is a network again
    the server refuses the login      after an hour, whatever happens, until a person changes something

Nobody is asked sooner than his LOGIN-DELAY allows (RFC 2449 §6.5).
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from postoffice.errors import Disconnected, PostofficeError, status_of

JITTER: Final = 0.1
SPREAD_SECONDS: Final = 3.0
"""Over how long a time those are spread who would all begin at once."""

FIRST_RETRY_SECONDS: Final = 60.0
LAST_RETRY_SECONDS: Final = 3600.0


class Turn:
    """Of one account. `due` is when it is pulled next, `failures` how often it failed since it last went well."""

    def __init__(self, every: float, now: float, chance: float) -> None:
        self.due = now + SPREAD_SECONDS * chance
        self.failures = 0
        self._every = every
        self._allowed = now
        self._status = os.EX_OK
        self._lacks_network = False
        self._is_wanted = self._has_network = False

    @property
    def is_locked_out(self) -> bool:
        return self._status == os.EX_NOPERM

    def begun(self) -> None:
        """What is wished for from now on is about the next time."""
        self._is_wanted = self._has_network = False

    def entered(self, now: float, login_delay: float) -> None:
        """The server let us in, and wants so many seconds until the next time."""
        self._allowed = now + login_delay

    def succeeded(self, now: float, chance: float) -> None:
        self.failures, self._status, self._lacks_network = 0, os.EX_OK, False
        self._set(now + (0.0 if self._is_wanted else self._every * (1 - JITTER + 2 * JITTER * chance)))

    def failed(self, now: float, problem: PostofficeError) -> bool:
        """Whether that is news: it went well before, or failed otherwise."""
        status = status_of(problem)
        is_news, self._status = status != self._status, status
        self._lacks_network = _lacks_network(problem)
        if self.is_locked_out:
            wait = LAST_RETRY_SECONDS
        elif self._is_wanted or (self._has_network and self._lacks_network):
            wait = SPREAD_SECONDS
        else:
            wait = min(self._every, FIRST_RETRY_SECONDS) * 2.0 ** min(self.failures, 20)
        self.failures += 1
        self._set(now + min(wait, LAST_RETRY_SECONDS))
        return is_news

    def poke(self, now: float) -> None:
        """Somebody wants it now, or once more if it runs."""
        self._is_wanted = True
        if not self.is_locked_out:
            self._set(min(now, self.due))

    def network_came(self, now: float, chance: float) -> None:
        """This machine got an address: connections through it work in a moment."""
        self._has_network = True
        if self._lacks_network:
            self._set(min(now + SPREAD_SECONDS * (0.5 + chance / 2), self.due))

    def settings_changed(self, now: float) -> None:
        """Perhaps by it what failed is mended."""
        if self.failures:
            self._status = os.EX_OK
            self._set(now)

    def _set(self, due: float) -> None:
        self.due = max(due, self._allowed)


def _lacks_network(problem: PostofficeError) -> bool:
    cause = problem.__cause__
    return isinstance(problem, Disconnected) and isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError)
