"""Who may try a password, and when: one for all doors of a process, one book for all processes.

    a place     pays for every wrong password that came from it: delays, then refusals
    a name      attacked from everywhere is closed to places that failed lately, and to no other
    a pair      a name that logged in rightly from a place: what others do to either of them does not touch it

So a right password from a place where nothing failed is looked at at once, whatever happens elsewhere; and a place that
is refused learns nothing, because nothing is looked at. The same wrong password for the same name from the same place
counts once. A name that nobody has is treated like any other (RFC 1939 §13).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network

from postoffice.accounts.ledger import Area, Ledger, Row
from postoffice.accounts.penalties import CLEAN_POINTS, LONGEST_REFUSAL_SECONDS, Scale, decayed
from postoffice.clock import Clock, system_clock
from postoffice.errors import Refusal
from postoffice.events import event
from postoffice.net.networks import NOWHERE, Network, is_in, place_in_words, place_of
from postoffice.net.pause import pause

TRUST_SECONDS = 30 * 86_400.0
"""How long a login that was right speaks for who comes from there."""

NOTE_SECONDS = 6 * 3600.0
"""How often a process writes down that the same login was right again."""

NOTED_LIMIT = 65_536
NAME_LETTERS = 256
"""Of longer names, which nobody has (RFC 5321 §4.5.3.1.3), the rest is not kept."""

SEEN = 8
"""How many wrong passwords are known again, for each place and each name."""


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """From `failures` wrong passwords on a place is refused, for `refuse_seconds` and each time twice as long.

    `trusted_networks` are never penalised and nothing of theirs is counted. So many `login_tries` end a connection.
    """

    failures: int = 10
    refuse_seconds: float = 60.0
    login_tries: int = 5
    trusted_networks: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def is_failed_login(refusal: Refusal) -> bool:
    """Whether it is one, or was not even looked at."""
    return refusal.status == "7.8" or (refusal.status == "7.0" and not refusal.permanent)


@dataclass(frozen=True, slots=True)
class Penalty:
    """What stands against somebody: `points` now, refused `until` (0: not), wrong passwords ever, repeated ones too."""

    kind: str
    who: str
    points: float
    until: float
    failures: int


_KINDS = {"network": Area.PLACE, "account": Area.NAME, "login": Area.PAIR}


class Guard:
    """What `Login` asks before it looks at a password, and tells afterwards."""

    def __init__(
        self,
        settings: GuardSettings | None = None,
        ledger: Ledger | None = None,
        clock: Clock = system_clock,
        wait: Callable[[float], Awaitable[None]] = pause,
    ) -> None:
        self.settings = settings or GuardSettings()
        self.ledger = ledger or Ledger()
        self.key = secrets.token_bytes(32)
        """For fingerprints of passwords: the same in all processes that come from this one, and nowhere on a disk."""
        self._clock = clock
        self._wait = wait
        self._places: dict[str, tuple[int, int]] = {}
        self._noted: dict[tuple[int, bytes], float] = {}
        failures, seconds = self.settings.failures, self.settings.refuse_seconds
        self._of_place = Scale(2, failures, seconds, LONGEST_REFUSAL_SECONDS)
        self._of_name = Scale(2 * failures, 2 * failures, seconds, 3600.0)
        self._of_pair = Scale(failures, failures, seconds, 3600.0)

    # --- what a login asks and tells

    def is_clean(self, host: str) -> bool:
        """Whether nothing failed from there lately: then there is nothing to ask. Under a microsecond."""
        place, key = self._place(host)
        if place == NOWHERE:
            return True
        row = self.ledger.get(Area.PLACE, key)
        return row is None or not self._is_marked(row)

    async def admit(self, host: str, name: str, fingerprint: bytes = b"") -> None:
        """Return when a password for `name` may be looked at; a temporary `Refusal` if none may now."""
        if self.is_clean(host):
            return
        name = name[:NAME_LETTERS]
        delay = self._delay(host, name, fingerprint)
        if delay:
            event("login.delayed", peer=host, account=name, seconds=delay)
            await self._wait(delay)
            self._delay(host, name, fingerprint)  # others may have failed meanwhile

    def failed(self, host: str, name: str, fingerprint: bytes = b"") -> None:
        """A password was wrong. Without a fingerprint nobody can tell whether it was the same one again."""
        place, key = self._place(host)
        if place == NOWHERE:
            return
        name, word = name[:NAME_LETTERS], place_in_words(place)
        seen = self.ledger.key_of(f"{place} {name} {fingerprint.hex()}") % 0xFFFF + 1 if fingerprint else 0
        pair = self._pair(place, name)
        with self.ledger.writing():
            self._add(Area.PLACE, key, word, seen, self._of_place)
            self._add(Area.NAME, self.ledger.key_of(name), name, seen, self._of_name)
            if self._is_trusted(self.ledger.get(Area.PAIR, pair)):
                self._add(Area.PAIR, pair, f"{name} from {word}", seen, self._of_pair)

    def knows(self, host: str, mark: bytes) -> bool:
        """Whether it stands in the book that this was right, a fingerprint or a name. Under a microsecond."""
        place, _ = self._place(host)
        return place == NOWHERE or self._clock() - self._noted.get((place, mark), 0.0) < NOTE_SECONDS

    def worked(self, host: str, name: str, fingerprint: bytes = b"") -> None:
        """A login was right."""
        mark = fingerprint or name.encode()
        if self.knows(host, mark):
            return
        place, key = self._place(host)
        now = self._clock()
        if len(self._noted) >= NOTED_LIMIT:
            self._noted.clear()
        self._noted[place, mark] = now
        pair = self._pair(place, name)
        with self.ledger.writing():
            row = self.ledger.get(Area.PAIR, pair) or Row(pair, f"{name} from {place_in_words(place)}")
            credential = int.from_bytes(fingerprint[:8], "little")
            account = self.ledger.key_of(name)
            row = replace(row, worked=now, credential=credential or row.credential, place=key, account=account)
            self.ledger.put(Area.PAIR, row)

    # --- what people ask

    def penalties(self) -> list[Penalty]:
        """Whoever is not clean, the longest refused first."""
        now = self._clock()
        found = []
        for kind, area in _KINDS.items():
            for row in filter(self._is_marked, self.ledger.rows(area)):
                until = row.until if self._is_refused(row) else 0.0
                found.append(Penalty(kind, row.name, decayed(row.points, row.at, now), until, row.failures))
        return sorted(found, key=lambda penalty: (-penalty.until, -penalty.points, penalty.who))

    def forgive(self, who: str) -> bool:
        """Forget what stands against an account or an address of the network; whether there was anything."""
        place = place_of(who.partition("/")[0])
        key = self.ledger.key_of(str(place) if place else who)
        with self.ledger.writing():
            found = self.ledger.drop(Area.PLACE if place else Area.NAME, key)
            for pair in [row for row in self.ledger.rows(Area.PAIR) if key in (row.place, row.account) and row.points]:
                self.ledger.put(Area.PAIR, replace(pair, points=0.0, until=0.0, seen=()))
                found = True
        return found

    # --- the reckoning

    def _delay(self, host: str, name: str, fingerprint: bytes) -> float:
        """How long to wait. Says no by a `Refusal`."""
        place, key = self._place(host)
        now = self._clock()
        pair = self.ledger.get(Area.PAIR, self._pair(place, name))
        if pair is not None and self._is_trusted(pair):
            credential = int.from_bytes(fingerprint[:8], "little")
            if credential and credential == pair.credential:
                return 0.0
            rows = [pair]
        else:
            found = (self.ledger.get(Area.PLACE, key), self.ledger.get(Area.NAME, self.ledger.key_of(name)))
            rows = [row for row in found if row is not None]
        for row in rows:
            if self._is_refused(row):
                event("login.refused", peer=host, account=name, because=row.name, seconds=round(row.until - now))
                raise Refusal(
                    permanent=False,
                    status="7.0",
                    public="too many failed logins, try again later",
                    because=f"{row.name} is refused for {row.until - now:.0f} seconds",
                )
        if pair in rows:
            return 0.0
        points = [decayed(row.points, row.at, now) for row in rows if row.key == key]
        return self._of_place.delay(points[0]) if points else 0.0

    def _add(self, area: Area, key: int, name: str, seen: int, scale: Scale) -> None:
        """One more failure; a point, unless this password was seen before."""
        now = self._clock()
        row = self.ledger.get(area, key) or Row(key, name)
        points = decayed(row.points, row.at, now)
        if seen and seen in row.seen:
            self.ledger.put(area, replace(row, failures=row.failures + 1))
            return
        points += 1.0
        refusal = scale.refusal(points)
        until = max(row.until, now + refusal) if refusal else row.until
        known = (seen, *row.seen)[:SEEN] if seen else row.seen
        self.ledger.put(area, replace(row, points=points, at=now, until=until, failures=row.failures + 1, seen=known))
        if refusal:
            event("login.penalised", who=name, points=round(points), seconds=round(refusal))

    def _is_marked(self, row: Row) -> bool:
        now = self._clock()
        return self._is_refused(row) or decayed(row.points, row.at, now) >= CLEAN_POINTS

    def _is_refused(self, row: Row) -> bool:
        """Now. What a clock that was wrong put further off than any refusal lasts does not count."""
        return 0.0 < row.until - self._clock() <= LONGEST_REFUSAL_SECONDS

    def _is_trusted(self, pair: Row | None) -> bool:
        return pair is not None and 0.0 <= self._clock() - pair.worked < TRUST_SECONDS

    def _pair(self, place: int, name: str) -> int:
        return self.ledger.key_of(f"{place} {name}")

    def _place(self, host: str) -> tuple[int, int]:
        """Where `host` is, and its key; nowhere, if nobody is penalised there."""
        known = self._places.get(host)
        if known is None:
            if len(self._places) >= 10_000:
                self._places.clear()
            place = NOWHERE if is_in(host, self.settings.trusted_networks) else place_of(host)
            known = self._places[host] = (place, self.ledger.key_of(str(place)))
        return known
