"""A run of a pull: how it is to be done, what came of it so far, and what one session learns for the next."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from postoffice.client.listing import Listed
from postoffice.clock import Clock, system_clock
from postoffice.events import event
from postoffice.net.dialogue import Dialogue, Tracer
from postoffice.store.model import Scan

if TYPE_CHECKING:
    from postoffice.client.rules import Rule, Wholeness
    from postoffice.store.base import Stage

Order = Literal["oldest", "newest", "smallest"]
"""Which letters come first; the listing of a server has the oldest first."""

Renewal = Callable[[str, bool], Awaitable[str | None]]
"""The password that takes the place of this one, which was refused or, False, with which a session broke off; None if
there is no other."""


class Placed(NamedTuple):
    """Where a letter belongs, and what was said of it."""

    folder: str
    scan: Scan


class Inspection(Protocol):
    """Says where a letter belongs that has come, before it is kept. It may take its time, for several at once."""

    async def look(self, stage: "Stage") -> Placed:
        """`stage` is finished. Raises StoreError where its octets cannot be read."""
        ...

    def unlooked(self) -> Placed:
        """Where one belongs for which nobody waits any more."""
        ...


PART: Final = range(100, 501)
"""How many letters servers show that do not show all (Gmail: some 250 in a session). After that many new ones another
session looks whether there are more."""

STUMBLES: Final = 2
"""How often a letter may break a session off before it is left for another run."""

MOST_GIVEN_UP: Final = 10
"""After how many letters that broke a session off it is the server that is broken."""


class Options(NamedTuple):
    """How to pull.

    `tls` None trusts the authorities of this system. `rules` say which letters that are here may go from the server.
    `allows_clear_text`: the password may go over a network without TLS. `largest`: letters of more octets are left
    there; `headers_only`: all are; of what is left the headers are fetched. `only`: nothing but the letters of these
    unique-ids is fetched, however large they are. The windows bound what was asked for and has not come, the batches
    what has come and is not being kept. `retries` is how many sessions one after the other may bring nothing before the
    run ends, and `longest_wait` how many seconds it waits between two. `dated` gives a letter's date from its beginning
    and the time now. `make_room` is awaited before so many octets are kept, and raises a StoreError if there is no room
    for them. `whole_in` looks into other mailbox files, for the rule about copies; `renewal` gives another password in
    place of one that ended. A server that `needs_unique_ids` and has none is left alone. `inspection` says which
    letters may be seen, while others are on their way.
    """

    password: str
    tls: ssl.SSLContext | None = None
    rules: "tuple[Rule, ...]" = ()
    allows_clear_text: bool = False
    order: Order = "oldest"
    largest: int | None = None
    headers_only: bool = False
    only: frozenset[str] = frozenset()
    patience_seconds: float = 120.0
    window_letters: int = 1024
    window_octets: int = 16 * 1024 * 1024
    batch_letters: int = 128
    batch_octets: int = 2 * 1024 * 1024
    retries: int = 3
    longest_wait: float = 300.0
    tracer: Callable[[Dialogue[Any]], Tracer | None] | None = None
    clock: Clock = system_clock
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    dated: Callable[[bytes, float], float] = lambda _, now: now
    make_room: Callable[[int], Awaitable[None]] | None = None
    whole_in: "Wholeness | None" = None
    renewal: Renewal | None = None
    needs_unique_ids: bool = False
    inspection: Inspection | None = None

    def __repr__(self) -> str:
        """Without the password."""
        return f"Options({self._asdict() | {'password': '...'}})"

    def leaves(self, item: Listed) -> bool:
        """Whether a letter that is new stays on the server for now."""
        if self.only:
            return item.unique_id not in self.only
        return self.headers_only or (self.largest is not None and item.octets > self.largest)


class Report:
    """What became of a pull.

    `letters` and `octets` were fetched and kept; `known` were here before, some of them `relinked`: the server has new
    unique-ids for them. `deleted` are removed from the server. `refused` were listed but not given, or broke off each
    time; `left` are larger than was asked for. `different` came with another size than was announced; `renamed` have
    another unique-id here, because the server's cannot be shown or is another letter's; `absent` are
    unique-ids that were asked for and are not listed. Of the fetched ones something was found in those that are
    `infected`; `unscanned` and `too_large` have no verdict, `held` are those of them that are not to be seen for now.
    """

    def __init__(self) -> None:
        self.listed = 0
        self.letters = 0
        self.octets = 0
        self.known = 0
        self.relinked = 0
        self.deleted = 0
        self.refused = 0
        self.left = 0
        self.different = 0
        self.renamed = 0
        self.absent = 0
        self.infected = 0
        self.unscanned = 0
        self.too_large = 0
        self.held = 0
        self.sessions = 0


class Run:
    """Several sessions, one after the other.

    `trusts_pipelining` ends when commands sent ahead got no answers, or wrong ones. `stumbles` counts, by `source_id`,
    how often a letter broke a session off, `refused` are those that this run does not ask for again. `marked` are those
    whose DELE was said and whose end nobody has confirmed. `has_entered`: some session got in, the last one at
    `entered`, in the seconds of the loop's clock; `login_delay` is what the server wants between two. `is_renewed`: the
    password is another one since then. `fruitless` sessions were the last ones. What is counted by letters is in sets
    of `source_id`s, all else in `report`.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.report = Report()
        self.trusts_pipelining = True
        self.stumbles: dict[str, int] = {}
        self.refused: set[str] = set()
        self.listed: set[str] = set()
        self.known: set[str] = set()
        self.fetched: set[str] = set()
        self.left: set[str] = set()
        self.different: set[str] = set()
        self.marked: set[str] = set()
        self.has_entered = False
        self.is_renewed = False
        self.entered = 0.0
        self.login_delay = 0.0
        self.fruitless = 0

    def enter(self, capabilities: Mapping[bytes, list[bytes]]) -> None:
        """A session is in the maildrop."""
        self.has_entered = True
        self.is_renewed = False
        self.entered = asyncio.get_running_loop().time()
        said = capabilities.get(b"LOGIN-DELAY", [])
        self.login_delay = float(said[0]) if said and said[0].isdigit() else 0.0
        event("home.entered", login_delay=self.login_delay)

    def told(self) -> Report:
        """What came of it so far. A letter counts once, in however many sessions it was met."""
        told = Report()
        vars(told).update(vars(self.report))
        told.listed = max(told.listed, len(self.listed))
        told.known = len(self.known)
        told.refused = len(self.refused)
        told.left = len(self.left)
        told.different = len(self.different)
        return told

    def wait(self) -> float:
        """How many seconds the next session is to wait for."""
        back_off = 0.5 * 2**self.fruitless if self.fruitless else 0.0
        since = asyncio.get_running_loop().time() - self.entered
        return max(back_off, self.login_delay - since, 0.0)
