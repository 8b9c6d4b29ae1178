"""Spike: an office with very many mailboxes on one disk.

    python bench/spikes/mailboxes.py --accounts 100000 --absorb 10000 FOLDER

Makes the accounts, delivers a letter to each (arrivals in one file), lets some of them absorb theirs into mailbox
files, opens those files cold and in a churn beyond the LRU, and prints what each step costs in time and room.
What was learned is in docs/spikes.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.jobs import AddAccount
from postoffice.store.model import Acceptance, LocalDelivery

LETTER_OCTETS = 10_000
GROUP = 64


@dataclass(frozen=True, slots=True)
class Cost:
    """What `times` repetitions of something took."""

    what: str
    times: int
    cpu: float
    wall: float
    octets: int

    def __str__(self) -> str:
        cpu, wall = self.cpu / self.times * 1e6, self.wall / self.times * 1e6
        room = f"{self.octets / self.times:10,.0f} octets on disk" if self.octets else ""
        return f"{self.what:42} {self.times:8,} x {cpu:9,.1f} us CPU {wall:9,.1f} us wall {room}"


class Stopwatch:
    def __init__(self, data: Path) -> None:
        self._data = data

    async def time(self, what: str, times: int, work: Callable[[], Awaitable[None]], *, room: bool = False) -> None:
        before = on_disk(self._data) if room else 0
        cpu, wall = time.process_time(), time.perf_counter()
        await work()
        cost = (time.process_time() - cpu, time.perf_counter() - wall)
        print(Cost(what, times, *cost, on_disk(self._data) - before if room else 0), flush=True)


def on_disk(data: Path) -> int:
    return sum((Path(folder) / name).stat().st_blocks * 512 for folder, _, names in os.walk(data) for name in names)


async def deliver(store: EmbeddedStore, account_id: int, number: int) -> None:
    stage = await store.office.stage()
    await stage.write(b"Subject: %d\r\n\r\n" % number + random.randbytes(LETTER_OCTETS // 2).hex().encode() + b"\r\n")
    prefix = b"Return-Path: <a@a.example>\r\nReceived: from a.example by b.example\r\n"
    local = (LocalDelivery(account_id, prefix),)
    await store.office.accept(Acceptance(str(number), await stage.finish(), "a@a.example", 1.0, local))


async def in_groups(size: int, works: list[Callable[[], Awaitable[object]]]) -> None:
    for start in range(0, len(works), size):
        await asyncio.gather(*(work() for work in works[start : start + size]))


async def look(store: EmbeddedStore, account_id: int) -> None:
    mailbox = await store.office.mailbox(account_id)
    snapshot = await mailbox.snapshot()
    await mailbox.read(snapshot.keys[:16])


async def run(data: Path, accounts: int, absorb: int) -> None:
    store = EmbeddedStore.open(data)
    watch = Stopwatch(data)
    dice = random.Random(1)
    await store.directory.add_domain("b.example")

    async def make() -> None:
        run_job = store._premises.committer.run
        await in_groups(256, [lambda n=n: run_job(AddAccount(f"u{n}@b.example", 1.0)) for n in range(accounts)])  # type: ignore[misc]

    await watch.time("an account", accounts, make, room=True)
    ids = [account.account_id for account in await store.directory.accounts()]

    async def deliveries() -> None:
        shuffled = dice.sample(ids, len(ids))
        await in_groups(GROUP, [lambda to=to: deliver(store, to, to) for to in shuffled])  # type: ignore[misc]

    await watch.time(f"a delivery, {GROUP} at once, anywhere", accounts, deliveries, room=True)

    async def looks(whom: list[int]) -> None:
        for account_id in whom:
            await look(store, account_id)

    some = dice.sample(ids, min(10_000, accounts))
    await watch.time("a look at an account of arrivals only", len(some), lambda: looks(some))

    chosen = dice.sample(ids, min(absorb, accounts))

    async def absorption() -> None:
        for account_id in chosen:
            await (await store.office.mailbox(account_id)).absorb()

    await watch.time("a file made, its first letter absorbed", len(chosen), absorption, room=True)

    async def more() -> None:
        await in_groups(GROUP, [lambda to=to: deliver(store, to, -to) for to in chosen for _ in range(20)])  # type: ignore[misc]

    few = chosen[: max(1, len(chosen) // 10)]
    chosen = few
    await watch.time("a delivery to those with files", len(chosen) * 20, more)
    await watch.time("a letter absorbed, 20 at once", len(chosen) * 20, absorption)

    await store.close()
    began = time.perf_counter()
    store = EmbeddedStore.open(data)
    print(f"{'the office opened again':42} {(time.perf_counter() - began) * 1e3:.1f} ms")
    await watch.time("a look at a file, opened cold", len(few), lambda: looks(few))
    churn = dice.choices(few, k=2 * len(few))
    await watch.time("a look in a churn beyond the LRU", len(churn), lambda: looks(churn))
    warm = few[:200] * 10
    await looks(few[:200])
    await watch.time("a look at a file that is open", len(warm), lambda: looks(warm))
    await store.close()
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--absorb", type=int, default=2_000)
    given = parser.parse_args()
    asyncio.run(run(given.folder, given.accounts, given.absorb))


if __name__ == "__main__":
    main()
