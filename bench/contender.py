"""What a server must offer to be measured.

A contender keeps the accounts `user0@b.example`, `user1@...` with one password, lets them log in by POP3 in clear, and
may take mail for them by SMTP from loopback. Everything it writes lies in the folder it is given; it listens on
127.0.0.1 only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

DOMAIN = "b.example"
PASSWORD = "bench-secret"


@dataclass(frozen=True, slots=True)
class Mail:
    """How many accounts there are and which letters lie in each, in this order.

    `just_arrived`: the letters came a moment ago, by SMTP, and lie where they lie then.
    `with_scram`: the password is kept so that it can be used by SCRAM-SHA-256 too. `in_clear`: it is not hashed.
    """

    accounts: int
    letters: Sequence[bytes]
    with_scram: bool = False
    domain: str = DOMAIN
    in_clear: bool = False
    just_arrived: bool = False

    def addresses(self) -> list[str]:
        return [f"user{index}@{self.domain}" for index in range(self.accounts)]


class Contender(Protocol):
    """A server that can be measured: `prepare`, `start`, any number of runs, `stop`."""

    name: str
    does_pop3: bool
    does_smtp: bool
    keeps_letters: bool
    does_logins: bool
    """Whether it is one of those whose ways to keep a password are compared."""
    does_day: bool
    """Whether what comes in by SMTP goes out by POP3."""
    load_words: tuple[str, ...]
    """What the load must be told for this one alone."""

    def absence(self) -> str | None:
        """Why it cannot run here, or None."""
        ...

    def version(self) -> str: ...

    def prepare(self, home: Path, mail: Mail) -> None:
        """Write configuration, accounts and letters into the empty folder `home`."""

    def start(self, core: int | None) -> None:
        """Run, on this core or on any; return when connections are accepted."""

    def ports(self) -> dict[str, int]:
        """Where it listens: `pop3`, `pop3s`, `smtp`."""
        ...

    def pids(self) -> dict[str, int]:
        """The root of each tree of processes that does the work, by name."""
        ...

    def settle(self) -> None:
        """Return when every accepted letter has reached its mailbox, or raise `ServerFailed`."""

    def delivered(self) -> int | None:
        """How many letters lie in all mailboxes; None: ask by POP3."""
        ...

    def chill(self) -> None:
        """Forget, while it is stopped, what could be made anew: indexes that are not the mail itself."""

    def stop(self) -> None:
        """End every process. Also right when it never started."""
