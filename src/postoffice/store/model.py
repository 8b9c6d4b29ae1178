"""The values that pass through the waists of the store. They know no engine and no protocol."""

import os
from array import array
from collections.abc import Mapping, Sequence
from enum import Enum, IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from postoffice.message.content import HEAD_OCTETS, Content, read_whole

if TYPE_CHECKING:
    from postoffice.store.office import (
        Acceptance,
        Account,
        Backlog,
        Credential,
        LocalDelivery,
        Pace,
        QueueItem,
        RecipientState,
        RemovedAccount,
        Settlement,
        Visit,
    )

__all__ = [  # of an office
    "Acceptance",
    "Account",
    "Backlog",
    "Credential",
    "LocalDelivery",
    "Pace",
    "QueueItem",
    "RecipientState",
    "RemovedAccount",
    "Settlement",
    "Visit",
]

CHUNK_OCTETS = 256 * 1024
"""The most wire octets that a `Piece` holds and that an engine keeps in one place."""

INBOX = "INBOX"
REMOVED = "Removed"
"""The folder of letters that were removed and can be recovered. No maildrop shows it; it is made with the first one."""
QUARANTINE = "Quarantine"
"""The folder of letters in which a scanner found something."""
UNSCANNED = "Unscanned"
"""The folder of letters that are to be seen only after their scan, which nobody could make yet."""
WITHHELD = frozenset({QUARANTINE, UNSCANNED})
"""Folders that nobody is shown who does not ask for them by their names. They are made with the first letter."""
OWNER = ""
"""The viewer that every mailbox has from its first day to its last: the account itself."""
MOVER = "\0import"
"""In whose name an account is locked while letters move into it."""


class Flag(IntFlag):
    """The system flags of RFC 9051 §2.3.2."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


NO_FLAGS = Flag(0)


class Sight(Enum):
    """How a viewer looks at a mailbox.

    Who *holds* sees every letter until he removes it himself, and none leaves before that. Who *rests* holds none
    back, and what he removed is remembered: when he holds again, he does not see it again. Who is *gone* is nobody.
    """

    HOLDS = "holds"
    RESTS = "rests"
    GONE = "gone"


class Viewer(NamedTuple):
    """Somebody who looks at a mailbox: its `OWNER`, or one of the owner's devices by its name."""

    name: str
    sight: Sight


class Piece(NamedTuple):
    """A part of a letter in wire form, and whether more follows. The first piece begins with the prefix, stuffed."""

    wire: bytes
    more: bool


class ContentFile:
    """A letter whose content lies in a file of its own, in wire form, from the first octet to the last.

    `above` is what stands above it, stuffed. It can be read until the end of its `with`, whatever becomes of the letter
    meanwhile.
    """

    __slots__ = ("above", "descriptor", "octets")

    def __init__(self, above: bytes, descriptor: int, octets: int) -> None:
        self.above = above
        self.descriptor = descriptor
        self.octets = octets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        os.close(self.descriptor)


Small = tuple[bytes, bytes | None]
"""What stands above a letter, stuffed, and its content in wire form; None where that is not small, or is gone."""

SMALL_OCTETS = 64 * 1024
"""From here on a content is not small."""


def small(piece: Piece | None) -> Small:
    """What a letter is if this is its first piece."""
    return b"", piece.wire if piece is not None and not piece.more else None


class Head(NamedTuple):
    """The beginning of a letter, as it is and not in wire form, with what a list tells of it."""

    key: int
    flags: Flag
    internal_date: float
    octets: int
    beginning: bytes


class Entry(NamedTuple):
    """A letter in a folder.

    `key` is the engine's own handle, good while the snapshot it came from is; `uid` ascends in its folder and is
    never used twice (RFC 9051 §2.3.1.1); `email_id` names the letter for ever, also where it is copied (RFC 8474
    §4); `unique_id` is what UIDL shows, 1 to 70 octets of 0x21-0x7E (RFC 1939 §7). `octets` counts prefix and
    content before dot-stuffing; `surrogate_octets` the same for readers who did not ask for UTF-8 (RFC 6856 §2.1),
    and equal to it where they are shown the same (`message.surrogate`). `internal_date` is when it was received,
    `saved` when it came into this folder (RFC 8514 §2), both in seconds since the epoch.
    """

    key: int
    uid: int
    email_id: str
    unique_id: str
    octets: int
    surrogate_octets: int
    has_dot_lines: bool
    flags: Flag
    modseq: int
    internal_date: float
    saved: float
    prefix: bytes
    sha256: bytes


_NO_SURROGATES: Final[Mapping[int, int]] = {}


class Snapshot:
    """Who sees which letters, frozen, oldest first: three columns of one length.

    `generation` differs between two snapshots of one mailbox, folder and viewer whenever they show different
    letters, and is the same while nothing changed. `surrogates` has the `surrogate_octets`, by key, of letters that
    are shown otherwise to readers who did not ask for UTF-8: of few or none. Nobody changes any of it.
    """

    __slots__ = ("__weakref__", "generation", "keys", "octets", "surrogates", "unique_ids")

    def __init__(
        self,
        generation: tuple[int, ...],
        keys: "array[int]",
        octets: "array[int]",
        unique_ids: Sequence[str],
        surrogates: Mapping[int, int] = _NO_SURROGATES,
    ) -> None:
        self.generation = generation
        self.keys = keys
        self.octets = octets
        self.unique_ids = unique_ids
        self.surrogates = surrogates

    def tail(self, start: int) -> "Snapshot":
        """The same without its first letters; itself if it is to have all."""
        if start <= 0:
            return self
        keys = self.keys[start:]
        surrogates = {key: self.surrogates[key] for key in keys if key in self.surrogates} if self.surrogates else {}
        return Snapshot((*self.generation, start), keys, self.octets[start:], self.unique_ids[start:], surrogates)


class Origin(NamedTuple):
    """Where a letter is pulled from: `source_id` names it there, for our memory.

    `octets` is the size it was said to have there, `header` a digest of its header, by which it is known again under
    another name; `seen` is when it was met there.
    """

    source: str
    source_id: str
    octets: int | None = None
    header: bytes | None = None
    seen: float | None = None


class Pulled(NamedTuple):
    """What is remembered of a letter elsewhere: what it is here, and its life there, in seconds since the epoch.

    `email_id` and `sha256` are those of the letter here, None until it was fetched; `is_here`: it has not been removed
    here since. `fetched` is when it became durable here, 0 if that was before times were noted; `deleting` is when its
    removal there was first asked for, by `rule`; `confirmed` when the server agreed, at QUIT; `gone` when it was seen
    to be there no more. `tries` counts how often it was not given, and `words` are the server's about it. `head` is its
    header, where it was asked for alone and the letter is not here yet.
    """

    octets: int | None = None
    header: bytes | None = None
    sha256: bytes | None = None
    email_id: str | None = None
    is_here: bool = False
    seen: float | None = None
    fetched: float | None = None
    deleting: float | None = None
    rule: str = ""
    confirmed: float | None = None
    gone: float | None = None
    tries: int = 0
    words: str = ""
    head: bytes = b""


class Verdict(Enum):
    """What a scanner said of a content, or that it said nothing."""

    CLEAN = "clean"
    INFECTED = "infected"
    TOO_LARGE = "too large"
    UNSCANNED = "unscanned"


class Scan(NamedTuple):
    """A verdict, `at` seconds since the epoch.

    `name` is what was found, or why there is no verdict; of a clean one, what was found in it before. `signatures` are
    the version of what `scanner` knew, empty where it does not say. `allowed` are names that a person said are none.
    """

    verdict: Verdict
    scanner: str
    at: float
    name: str = ""
    signatures: str = ""
    allowed: frozenset[str] = frozenset()

    @property
    def is_dangerous(self) -> bool:
        return self.verdict is Verdict.INFECTED and self.name not in self.allowed

    def after(self, before: "Scan | None") -> "Scan":
        """What holds when this is said behind `before`: who could not look takes back nothing of who could."""
        if before is None:
            return self
        says_less = {Verdict.UNSCANNED: {Verdict.CLEAN, Verdict.INFECTED}, Verdict.TOO_LARGE: {Verdict.INFECTED}}
        holds = before if before.verdict in says_less.get(self.verdict, ()) else self
        return holds._replace(allowed=self.allowed | before.allowed)

    def folder(self, wanted: str) -> str:
        """Where a letter belongs of which this holds, and which would else go into the folder `wanted`."""
        if self.is_dangerous:
            return QUARANTINE
        return INBOX if wanted == QUARANTINE else wanted


class Staged(NamedTuple):
    """A content that is here but belongs to nothing yet.

    `head` is its beginning, not stuffed: what of the header lies in its first 64 KiB, or all of these. What an engine
    needs to find it again is in `place`: the wire octets themselves for a letter up to `CHUNK_OCTETS`, a name for a
    larger one. `has_bare_line_ends` tells of an LF without CR or a CR without LF, which may be kept but never sent on
    (RFC 5321 §2.3.8); None of what was staged in a mailbox, where nobody looks.
    """

    content: Content
    head: bytes
    place: bytes | str
    has_bare_line_ends: bool | None

    @classmethod
    def of(cls, wire: bytes) -> Self:
        """A letter that is here whole, of up to `CHUNK_OCTETS` octets, at whose line ends nobody looks."""
        return cls(*read_whole(wire), None)

    def surrogate_octets(self, prefix: bytes) -> int:
        """What a letter of this content below `prefix` measures for readers who did not ask for UTF-8."""
        octets = len(prefix) + self.content.octets
        if self.content.has_ascii_header and prefix.isascii():
            return octets
        from postoffice.message.surrogate import growth

        return octets + growth((prefix + self.head)[:HEAD_OCTETS])


class Letter(NamedTuple):
    """A letter to be put into a mailbox.

    `unique_id` None means: give it a new one. Its `origin` is remembered in the transaction that keeps it, so that it
    is never pulled again; its `scan` too, and where it goes is `Scan.folder` of what holds then.
    """

    staged: Staged
    internal_date: float
    prefix: bytes = b""
    unique_id: str | None = None
    flags: Flag = NO_FLAGS
    origin: Origin | None = None
    folder: str = INBOX
    scan: Scan | None = None


class Folder(NamedTuple):
    """`uid_validity` changes if uids ever have to begin anew (RFC 9051 §2.3.1.1)."""

    name: str
    uid_validity: int
    uid_next: int
    highest_modseq: int


class Changes(NamedTuple):
    """What happened in a folder since a modseq: entries new or with other flags, and uids that are gone (RFC 7162)."""

    highest_modseq: int
    entries: tuple[Entry, ...]
    vanished: tuple[int, ...]


class Damage(NamedTuple):
    """One thing that is not as it must be: where, in what way, what that means for letters, and what helps.

    What `is_harmless` costs room and no letter: a crash left it, and housekeeping takes it away.
    """

    where: str
    what: str
    means: str = ""
    remedy: str = ""
    is_harmless: bool = False


def __getattr__(name: str) -> object:
    """What an office alone knows is imported by who asks for it: to make it takes as long as to pull fifty letters."""
    if name in __all__:
        from postoffice.store import office

        return getattr(office, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
