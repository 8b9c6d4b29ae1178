"""What was observed of something, in order, and waiting for what was not observed yet.

Nothing here looks again and again: whoever observes tells, and whoever waits is woken by that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from postoffice.errors import PostofficeError
from postoffice.events import Fact

PATIENCE_SECONDS = 10.0
LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that happened. `at` is in seconds since the epoch, by the clock of whoever told it."""

    name: str
    at: float
    facts: Mapping[str, Fact]


class NotSeen(PostofficeError):
    """What was waited for did not come. `log` is what was said last instead."""

    def __init__(self, sentence: str, log: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.log = log


class Watch:
    """Sightings of one thing, called `what`. Lives in one event loop. `log` holds the last lines it said."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.seen: list[Sighting] = []
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._news = asyncio.Event()

    def tell(self, sighting: Sighting) -> None:
        self.seen.append(sighting)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def all(self, name: str, /, **facts: Fact) -> Iterator[Sighting]:
        """Every sighting so far of that name with these facts."""
        return (one for one in self.seen if _fits(one, name, facts))

    async def first(
        self, name: str, /, *, unless: tuple[str, ...] = (), seconds: float = PATIENCE_SECONDS, **facts: Fact
    ) -> Sighting:
        """The first sighting of that name with these facts, whether it was before or comes yet.

        Raises `NotSeen` when `seconds` are over, or at once when something that is named in `unless` is seen.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for one in self.seen:
                        if _fits(one, name, facts):
                            return one
                        if one.name in unless:
                            raise NotSeen(f"{self.what} told {_written(one)} instead of {name}", tuple(self.log))
                    await self._news.wait()
        except TimeoutError:
            raise NotSeen(f"{self.what} did not tell {name} in {seconds:g} s", tuple(self.log)) from None


def _fits(one: Sighting, name: str, facts: Mapping[str, Fact]) -> bool:
    return one.name == name and all(one.facts.get(key) == value for key, value in facts.items())


def _written(one: Sighting) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in one.facts.items() if value is not None)
    return f"{one.name} ({facts})" if facts else one.name
