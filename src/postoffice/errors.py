"""Everything that can go wrong, as one tree.

    PostofficeError
    ├── Refusal               we say no: neutral to the protocol; each protocol has one small table for it
    ├── ProtocolError
    │   ├── LocalProtocolError    we were about to do what the protocol forbids: a bug of ours
    │   └── RemoteProtocolError   the other side did
    ├── Disconnected          the conversation is over before its end
    │   ├── ConnectionLost        the other side is gone
    │   ├── PatienceLost          the other side was silent for too long
    │   ├── TakenOver             whose it is came again
    │   └── Draining              we are being stopped
    ├── StoreError            what keeps the letters failed
    │   ├── DamagedStore          a file is not what it must be
    │   ├── NotLooking            this viewer does not look at the mailbox now
    │   └── StoreUnavailable      nobody answers now: try again later
    ├── Refused               the other side says no, in its own words; carries a sysexits status
    ├── TooLarge              a letter is larger than who asked for it takes
    └── UsageError            a person gave us something wrong; carries a sysexits status

An unknown exception is always a *temporary* refusal: a bug may delay a letter, never lose it.
"""

from __future__ import annotations

import os


class PostofficeError(Exception):
    """The root of the tree."""


class Refusal(PostofficeError):
    """We say no, in no protocol's words.

    `status` is the enhanced status code of RFC 3463 without its class (`"1.1"`: no such mailbox); `public` is
    what the other side may read, in plain words and without internals; `because` is for our log.
    """

    def __init__(self, permanent: bool, status: str, public: str, because: str = "") -> None:
        super().__init__(permanent, status, public, because)
        self.permanent = permanent
        self.status = status
        self.public = public
        self.because = because

    def __str__(self) -> str:
        return f"{self.enhanced} {self.public}" + (f" ({self.because})" if self.because else "")

    @property
    def enhanced(self) -> str:
        """The whole enhanced status code, `5.1.1` or `4.3.0` (RFC 3463 §2)."""
        return f"{5 if self.permanent else 4}.{self.status}"


def temporary(because: str, public: str = "Something is wrong here, try again later") -> Refusal:
    """The refusal for everything unknown."""
    return Refusal(permanent=False, status="3.0", public=public, because=because)


class ProtocolError(PostofficeError):
    """A rule of the protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We were about to break it."""


class RemoteProtocolError(ProtocolError):
    """The other side broke it."""


class Disconnected(PostofficeError):
    """The conversation ended before its end."""


class ConnectionLost(Disconnected):
    """The other side closed or reset the connection."""


class PatienceLost(Disconnected):
    """The other side was silent for longer than we wait."""


class TakenOver(Disconnected):
    """The same person began another conversation in its place."""


class Draining(Disconnected):
    """This process is being stopped and the conversation stood between two commands."""


class StoreError(PostofficeError):
    """What keeps the letters failed."""


class DamagedStore(StoreError):
    """A file of the store is not what it must be. Says which file and what was found."""


class NotLooking(StoreError):
    """A mailbox is asked what somebody sees who does not hold its letters: he never did, or he rests."""

    def __init__(self, viewer: str) -> None:
        super().__init__(f"{viewer!r} does not look at this mailbox")


class StoreUnavailable(StoreError):
    """The store does not answer now; nothing is known to be lost, and later it may."""


class Refused(PostofficeError):
    """The other side says no: one sentence with its words, a status of sysexits(3).

    `code` is the response code it gave, `"IN-USE"`, or empty (RFC 2449 §8, RFC 3206); `words` is what it said behind.
    """

    def __init__(self, sentence: str, status: int, *, code: str = "", words: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.words = words

    @property
    def is_temporary(self) -> bool:
        """Whether the same may be granted later."""
        return self.status == getattr(os, "EX_TEMPFAIL", 75)


class TooLarge(PostofficeError):
    """A letter is larger than who asked for it takes."""


class UsageError(PostofficeError):
    """A person gave us something wrong: one clear sentence and a status of sysexits(3)."""

    status = os.EX_USAGE if hasattr(os, "EX_USAGE") else 64

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        if status is not None:
            self.status = status


def status_of(error: PostofficeError) -> int:
    """What a program exits with for which this was the end: a status of sysexits(3)."""
    match error:
        case Refused() | UsageError():
            return error.status
        case DamagedStore():
            return os.EX_DATAERR
        case Disconnected():
            return os.EX_UNAVAILABLE
        case ProtocolError():
            return os.EX_PROTOCOL
        case _:
            return os.EX_TEMPFAIL
