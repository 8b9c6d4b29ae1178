"""The table: every fault, what it does, and what must be so all the same when somebody has pulled a few times.

Each fault is tried twice, by who deletes and by who keeps. `outcome` says what must come of it, `first` and `last`
which exit statuses (sysexits) `postoffice fetch` may have in the first run and in the last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

from postoffice.testing.faults import connection, hostile, letters, listings, logins
from postoffice.testing.peer import Leaving, Pop3Peer, Session

FINE = frozenset({os.EX_OK})
LATER = frozenset({os.EX_TEMPFAIL})
PROTOCOL = frozenset({os.EX_PROTOCOL})
ANY = FINE | LATER | PROTOCOL | {os.EX_UNAVAILABLE}
"""Of a run that may heal by itself, or be cut and tell so."""


class Outcome(Enum):
    """What must be so in the end. Nothing else is ever delivered as a letter, and nothing is there twice."""

    ALL = "every letter is at home once, and the server is empty (delete) or full (keep)"
    OTHERS = "the same of all letters but the bad one, which stays at the server"
    NOTHING = "no letter is at home, and the server is full"
    ALL_OR_NOTHING = "either of both, and no password was said if there is nothing"


class Trial(Enum):
    """What is done to the program that pulls."""

    NONE = auto()
    KILL = auto()
    TWO = auto()
    CLOCK = auto()
    DISK_OF_LETTERS = auto()
    DISK_OF_INDEX = auto()
    DISK_OF_MEMORY = auto()


class Tls(Enum):
    """How the conversation is kept from others."""

    NONE = auto()
    IMPLICIT = auto()
    STLS = auto()
    OTHER_NAME = auto()
    """From the first octet, with a certificate for somebody else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. `later` are letters that come after the first session, `also` makes the other form of a letter that may
    be at home in its place. `needs_patience`: the program must notice that nobody speaks any more."""

    name: str
    what: str
    session: Callable[[Pop3Peer], Session] = Session
    letters: Callable[[], dict[str, bytes]] = letters.some
    later: Mapping[str, bytes] = field(default_factory=dict, hash=False)
    outcome: Outcome = Outcome.ALL
    first: frozenset[int] = ANY
    last: frozenset[int] = FINE
    also: Callable[[bytes], bytes] = lambda letter: letter
    trial: Trial = Trial.NONE
    tls: Tls = Tls.NONE
    with_token: bool = False
    needs_patience: bool = False
    is_slow: bool = False

    def expected(self) -> dict[str, bytes]:
        """All letters that must be at home by unique id, `vast` without its octets."""
        if self.outcome is Outcome.NOTHING:
            return {}
        found = {**self.letters(), **self.later}
        if self.outcome is Outcome.OTHERS:
            del found["id-2"]
        return found


_later = {"later-2": letters.letter("later", 17_500)}

MEASURED = (
    Fault(
        "closed", "the connection is closed in the middle of letter 4", partial(connection.CutShort, how=Leaving.CLOSED)
    ),
    Fault("reset", "it is reset there", partial(connection.CutShort, how=Leaving.RESET)),
    Fault("silent", "it is silent there", partial(connection.CutShort, how=Leaving.SILENT), needs_patience=True),
    Fault(
        "refused",
        "RETR 2 is refused, always",
        partial(letters.Refused, words=b"cannot read it"),
        outcome=Outcome.OTHERS,
        first=LATER,
        last=LATER,
    ),
    Fault("quit-lost", "QUIT is done, its +OK never comes", connection.QuitLost),
    Fault("quit-refused", "QUIT is refused, nothing is deleted", connection.QuitRefused),
    Fault("no-uidl", "there is no UIDL", listings.NoUidl, first=FINE),
    Fault("same-uid", "two letters have one unique-id", listings.SameUniqueId, first=FINE),
    Fault("long-line", "a line of 2 MB", letters=letters.long_line, first=FINE),
    Fault("any-octets", "NUL, eight bits, bare LF", letters=letters.any_octets, first=FINE),
    Fault(
        "killed",
        "SIGKILL in the middle of letter 40 of 60",
        partial(connection.CutShort, how=Leaving.SILENT, index=39),
        partial(letters.some, 60),
        trial=Trial.KILL,
        first=frozenset({-9}),
    ),
)
"""The eleven that were measured before there was a line of this program."""

KNOWN = (
    Fault(
        "uid-reused",
        "a unique-id is used again for another letter",
        partial(listings.UniqueIdReused, later=_later),
        later=_later,
        first=FINE,
    ),
    Fault("moved", "all unique-ids change", partial(listings.Moved, later=_later), later=_later),
    Fault("renumbered", "the letters are renumbered", partial(listings.Renumbered, later=_later), later=_later),
    Fault("wrong-sizes", "LIST is wrong about every letter", listings.WrongSizes, first=FINE),
    Fault("changing-sizes", "LIST says other sizes in each session", listings.ChangingSizes),
    Fault("no-line-end", "a letter without CRLF at its end", letters=letters.no_line_end, first=FINE),
    Fault(
        "not-stuffed",
        "lines that begin with a dot are not stuffed",
        letters.NotStuffed,
        letters.dot_lines,
        also=lambda letter: letter.replace(b"\r\n.", b"\r\n"),
        first=FINE,
    ),
    Fault(
        "lone-dot",
        "nor is a line that is only a dot, in letter 2",
        letters.NotStuffed,
        letters.lone_dot,
        outcome=Outcome.OTHERS,
        last=LATER | PROTOCOL,
    ),
    Fault(
        "capa-more",
        "CAPA tells of UIDL and PIPELINING behind the login only",
        connection.CapaTellsMoreInside,
        first=FINE,
    ),
    Fault(
        "capa-less",
        "CAPA tells of PIPELINING before the login only",
        connection.CapaTellsLessInside,
        first=FINE,
        needs_patience=True,
    ),
    Fault(
        "drops-ahead",
        "PIPELINING is announced, and commands sent ahead get lost",
        connection.DropsAhead,
        needs_patience=True,
    ),
    Fault("mixes-ahead", "PIPELINING is announced, and answers get into each other", connection.MixesAhead),
    Fault(
        "injected",
        "octets before TLS begins",
        hostile.Injects,
        tls=Tls.STLS,
        outcome=Outcome.ALL_OR_NOTHING,
        first=PROTOCOL,
        last=PROTOCOL,
    ),
    Fault(
        "tls-closed",
        "TLS is closed in the middle of letter 4 with close_notify",
        partial(connection.CutShort, how=Leaving.CLOSED),
        tls=Tls.IMPLICIT,
    ),
    Fault(
        "tls-cut",
        "and without",
        partial(connection.CutShort, how=Leaving.ABORTED),
        tls=Tls.IMPLICIT,
    ),
    Fault(
        "tls-no-notify",
        "TLS is closed behind QUIT without close_notify",
        connection.NoCloseNotify,
        tls=Tls.IMPLICIT,
        first=FINE,
    ),
    Fault(
        "shows-some", "250 of 600 letters in a session", listings.ShowsSome, partial(letters.some, 600, 700), first=FINE
    ),
    Fault("in-use", "[IN-USE] in the first run", partial(logins.LoginRefused, code="IN-USE"), first=LATER),
    Fault("login-delay", "[LOGIN-DELAY]", partial(logins.LoginRefused, code="LOGIN-DELAY"), first=LATER),
    Fault("sys-temp", "[SYS/TEMP]", partial(logins.LoginRefused, code="SYS/TEMP"), first=LATER),
    Fault(
        "sys-perm", "[SYS/PERM]", partial(logins.LoginRefused, code="SYS/PERM"), first=frozenset({os.EX_UNAVAILABLE})
    ),
    Fault("auth", "[AUTH]", partial(logins.LoginRefused, code="AUTH"), first=frozenset({os.EX_NOPERM})),
    Fault(
        "retr-temp",
        "[SYS/TEMP] to RETR 2 in the first run",
        partial(letters.Refused, words=b"[SYS/TEMP] later", can_be_repaired=True),
        first=LATER,
    ),
    Fault(
        "token",
        "XOAUTH2: the token of the first run is refused by a challenge that is an error in JSON",
        logins.TokenRefused,
        tls=Tls.IMPLICIT,
        with_token=True,
        first=frozenset({os.EX_NOPERM}),
    ),
    Fault(
        "vast",
        "a letter of more than 2 GiB",
        letters.Vast,
        lambda: {**letters.some(2), "vast": b"", "id-3": letters.letter("3")},
        first=FINE,
        is_slow=True,
    ),
    Fault("disk-letters", "the disk is full in the body of letter 3", trial=Trial.DISK_OF_LETTERS),
    Fault("disk-index", "it is full a little later, at any place of what is written", trial=Trial.DISK_OF_INDEX),
    Fault("disk-memory", "it is full where it is remembered what was fetched", trial=Trial.DISK_OF_MEMORY),
    Fault("two", "two programs pull into the same place at once", connection.MeetsAnother, trial=Trial.TWO),
    Fault("clock", "the clock steps back between the runs", trial=Trial.CLOCK, first=FINE),
)
"""Each of them a known real case."""

HOSTILE = (
    Fault(
        "endless-greeting",
        "a greeting without end",
        hostile.EndlessGreeting,
        outcome=Outcome.NOTHING,
        first=PROTOCOL,
        last=PROTOCOL,
    ),
    Fault(
        "endless-listing",
        "a listing without end",
        hostile.EndlessListing,
        outcome=Outcome.NOTHING,
        first=PROTOCOL,
        last=PROTOCOL,
    ),
    Fault(
        "endless-body",
        "letter 2 has no end",
        partial(hostile.EndlessBody, portion=hostile.LINES),
        outcome=Outcome.OTHERS,
        last=LATER | PROTOCOL,
    ),
    Fault(
        "endless-line",
        "letter 2 has a line without end",
        partial(hostile.EndlessBody, portion=hostile.ONE_LINE),
        outcome=Outcome.OTHERS,
        last=LATER | PROTOCOL,
    ),
    Fault(
        "says-yes",
        "+OK to everything, and nothing behind it",
        hostile.SaysYes,
        outcome=Outcome.NOTHING,
        needs_patience=True,
        first=ANY - FINE,
        last=ANY - FINE,
    ),
    Fault(
        "other-name",
        "a certificate for another name",
        tls=Tls.OTHER_NAME,
        outcome=Outcome.NOTHING,
        first=frozenset({os.EX_UNAVAILABLE}),
        last=frozenset({os.EX_UNAVAILABLE}),
    ),
)
"""Servers that mean harm, and who stands between."""

FAULTS = (*MEASURED, *KNOWN, *HOSTILE)


@dataclass(frozen=True, slots=True)
class Cell:
    """A fault met by who deletes, or by who keeps."""

    fault: Fault
    delete: bool

    def __str__(self) -> str:
        return f"{self.fault.name}-{'delete' if self.delete else 'keep'}"


CELLS = tuple(Cell(fault, delete) for fault in FAULTS for delete in (True, False))
