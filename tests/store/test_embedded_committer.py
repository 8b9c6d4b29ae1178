"""The committer as a process: the same promises over a socket, and nothing hangs when it dies."""

import asyncio
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import uvloop

from postoffice.errors import StoreError, StoreUnavailable
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.jobs import Expedite
from postoffice.store.embedded.remote import RemoteCommitter, serve_committer
from postoffice.testing.check_store import Check, name_of
from postoffice.testing.check_store.directory import DIRECTORY_CHECKS
from postoffice.testing.check_store.office import OFFICE_CHECKS
from postoffice.testing.check_store.queue import QUEUE_CHECKS
from postoffice.testing.check_store.walk import deliver, keys, new_account, text

SPAWN = multiprocessing.get_context("spawn")


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@contextmanager
def committer(data: Path, path: Path) -> Iterator[BaseProcess]:
    listener = listen(path)
    ours, theirs = socket.socketpair()
    process = SPAWN.Process(target=serve_committer, args=(data, listener, theirs))
    process.start()
    listener.close()
    theirs.close()
    try:
        yield process
    finally:
        ours.close()
        process.join(10)
        code = process.exitcode
        process.close()
        path.unlink()
        assert code in (0, -signal.SIGKILL)


@asynccontextmanager
async def opened(data: Path, path: Path, client: RemoteCommitter | None = None) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(data, committer=client or RemoteCommitter(path))
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: the path of a Unix socket is 107 octets at most."""
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("check", [*OFFICE_CHECKS, *QUEUE_CHECKS, *DIRECTORY_CHECKS], ids=name_of)
async def test_it_keeps_every_promise(check: Check, tmp_path: Path, sockets: Path) -> None:
    with committer(tmp_path / "data", sockets / "c"):
        async with opened(tmp_path / "data", sockets / "c") as store:
            await check(store)


async def test_jobs_under_way_fail_when_it_dies_and_later_ones_find_the_next(tmp_path: Path, sockets: Path) -> None:
    data, path = tmp_path / "data", sockets / "c"
    with committer(data, path) as process:
        client = RemoteCommitter(path)
        async with opened(data, path, client) as store:
            account = await new_account(store)
            await deliver(store, text(1), account.account_id)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)
            under_way = client.run(Expedite(1.0))
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(StoreUnavailable, match="the committer is gone"):
                await under_way
            process.join()
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await deliver(store, text(3), account.account_id)
            path.unlink()
            with committer(data, path):
                await deliver(store, text(4), account.account_id)
                mailbox = await store.office.mailbox(account.account_id)
                assert len(await keys(mailbox)) == 2
                await store.close()
            path.touch()


async def test_one_bad_job_of_a_group_fails_alone(tmp_path: Path, sockets: Path) -> None:
    with committer(tmp_path / "data", sockets / "c"):
        async with opened(tmp_path / "data", sockets / "c") as store:
            account = await new_account(store)
            deliveries = [deliver(store, text(n), account.account_id if n != 5 else 99) for n in range(20)]
            ends = await asyncio.gather(*deliveries, return_exceptions=True)
            assert [type(end) for n, end in enumerate(ends) if end is not None and n != 5] == []
            assert isinstance(ends[5], StoreError)
            assert len(await keys(await store.office.mailbox(account.account_id))) == 19


async def test_two_stores_share_one_office(tmp_path: Path, sockets: Path) -> None:
    data, path = tmp_path / "data", sockets / "c"
    with committer(data, path):
        async with opened(data, path) as one, opened(data, path) as other:
            account = await new_account(one)
            await asyncio.gather(
                *(deliver(store, text(n), account.account_id) for n in range(10) for store in (one, other))
            )
            here, there = [await store.office.mailbox(account.account_id) for store in (one, other)]
            assert await keys(here) == await keys(there)
            lock = await one.office.lock(account.account_id)
            assert lock is not None
            assert await other.office.lock(account.account_id) is None
            shown = await there.snapshot()
            await (await one.office.mailbox(account.account_id)).absorb()
            assert [piece is not None for piece in await there.read(shown.keys)] == [True] * 20
            assert (await there.snapshot()).generation == shown.generation
            await there.remove(shown.keys[:5])
            assert len(await keys(here)) == 15
            await lock.release()
            assert await other.office.lock(account.account_id) is not None


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_jobs_end_where_the_committer_takes_the_connection_and_dies(
    loop: Callable[[], asyncio.AbstractEventLoop], sockets: Path
) -> None:
    path = sockets / "dying"
    listener = listen(path)

    def take_and_die() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()

    async def ask() -> list[object]:
        client = RemoteCommitter(path)
        jobs = [asyncio.ensure_future(client.run(Expedite(0.0))) for _ in range(3)]
        async with asyncio.timeout(10):
            return await asyncio.gather(*jobs, return_exceptions=True)

    taker = threading.Thread(target=take_and_die)
    taker.start()
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            for _ in range(20):
                assert [type(end) for end in runner.run(ask())] == [StoreUnavailable] * 3
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        taker.join(10)
        path.unlink()
