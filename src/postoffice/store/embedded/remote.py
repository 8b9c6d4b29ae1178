"""The committer as a process of its own, fed over a Unix socket by all workers of the office.

A frame is four octets of length and a MessagePack array. To the committer go single jobs, `[number, job]`; back
come the answers of a whole group, `[[number, result, error kind, error text], ...]`. The committer has one thread
that owns the only writing connection: it reads what came from all sockets, commits it as one group, and answers.

If it dies, nobody knows what became of the jobs under way: they end as `StoreUnavailable`, and the next job
connects anew.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from postoffice.database.sqlite import Connection, open_writer, shut
from postoffice.errors import DamagedStore, PostofficeError, StoreError, StoreUnavailable
from postoffice.store.embedded.committing import GROUP_JOBS, commit_group
from postoffice.store.embedded.jobs import RESULTS, AnyJob, Job
from postoffice.store.embedded.places import office_path
from postoffice.store.embedded.store import prepare_office

R = TypeVar("R")

READ_OCTETS = 1024 * 1024
BEAT_SECONDS = 1.0
ERRORS: dict[str, type[StoreError]] = {kind.__name__: kind for kind in (StoreError, DamagedStore, StoreUnavailable)}

Asked = tuple[int, AnyJob]
Answered = tuple[int, msgspec.Raw, str, str]


class Frames:
    """Octets that come in any portions, as whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> Iterator[bytes]:
        self._buffer += octets
        start = 0
        while len(self._buffer) - start >= 4:
            end = start + 4 + int.from_bytes(self._buffer[start : start + 4], "big")
            if len(self._buffer) < end:
                break
            yield bytes(memoryview(self._buffer)[start + 4 : end])
            start = end
        del self._buffer[:start]


def framed(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets


# --- the process -----------------------------------------------------------------------------------------------


class Worker:
    """One worker's socket, as the committer sees it."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.frames = Frames()
        self.outgoing = bytearray()

    def send(self) -> None:
        """As much as goes without waiting."""
        try:
            while self.outgoing:
                del self.outgoing[: self.channel.send(self.outgoing)]
        except BlockingIOError:
            pass


class CommitterProcess:
    """Single-threaded; `serve_committer` runs it."""

    def __init__(self, connection: Connection, path: Path, listener: socket.socket) -> None:
        self._connection = connection
        self._path = path
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._decoder = msgspec.msgpack.Decoder(Asked)
        self._encoder = msgspec.msgpack.Encoder()
        self._waiting: list[tuple[Worker, int, AnyJob]] = []

    def run(self, stop: socket.socket | None, beat: Callable[[], None] | None) -> None:
        """Until `stop` can be read; what came before is answered. `beat` is called each second at least."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        if stop is not None:
            self._selector.register(stop, selectors.EVENT_READ)
        stopping = False
        while not stopping:
            if beat is not None:
                beat()
            for key, events in self._selector.select(BEAT_SECONDS):
                if key.fileobj is self._listener:
                    self._greet()
                elif key.fileobj is stop:
                    stopping = True
                else:
                    self._hear(key.data, events)
            while self._waiting:
                self._commit()
        self._selector.close()

    def _greet(self) -> None:
        try:
            channel, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        channel.setblocking(False)
        self._selector.register(channel, selectors.EVENT_READ, Worker(channel))

    def _hear(self, worker: Worker, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(worker)
            if events & selectors.EVENT_READ:
                octets = worker.channel.recv(READ_OCTETS)
                if not octets:
                    raise ConnectionResetError
                for frame in worker.frames.feed(octets):
                    number, job = self._decoder.decode(frame)
                    self._waiting.append((worker, number, job))
        except BlockingIOError:
            return
        except (OSError, msgspec.DecodeError):
            self._part_from(worker)

    def _part_from(self, worker: Worker) -> None:
        if worker.channel.fileno() >= 0:
            self._selector.unregister(worker.channel)
            worker.channel.close()

    def _commit(self) -> None:
        group, self._waiting = self._waiting[:GROUP_JOBS], self._waiting[GROUP_JOBS:]
        answers = commit_group(self._connection, [job for _, _, job in group], self._path)
        by_worker: dict[Worker, list[tuple[int, object, str, str]]] = {}
        for (worker, number, _), answer in zip(group, answers, strict=True):
            told = (number, answer, "", "")
            if isinstance(answer, Exception):
                told = (number, None, type(answer).__name__, str(answer))
            by_worker.setdefault(worker, []).append(told)
        for worker, tellings in by_worker.items():
            worker.outgoing += framed(self._encoder.encode(tellings))
            try:
                self._send(worker)
            except OSError:
                self._part_from(worker)

    def _send(self, worker: Worker) -> None:
        if worker.channel.fileno() < 0:
            return
        worker.send()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outgoing else 0)
        self._selector.modify(worker.channel, events, worker)


def serve_committer(
    data: Path,
    listener: socket.socket,
    stop: socket.socket | None = None,
    beat: Callable[[], None] | None = None,
) -> None:
    """Be the committer of the office in `data`, for whoever connects to `listener`, until `stop` can be read.

    `beat` is called each second at least, as long as it is not stuck.
    """
    prepare_office(data)
    connection = open_writer(office_path(data))
    try:
        CommitterProcess(connection, office_path(data), listener).run(stop, beat)
    finally:
        shut(connection)


# --- its client in a worker ------------------------------------------------------------------------------------


class _Channel(asyncio.Protocol):
    """A connection to the committer and the jobs under way on it."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._pending: dict[int, tuple[type[Any], asyncio.Future[Any]]] = {}
        self._decoder = msgspec.msgpack.Decoder(list[Answered])
        self._encoder = msgspec.msgpack.Encoder()
        self._transport: asyncio.Transport | None = None
        self._next = 0
        self._outgoing: list[bytes] = []
        self.is_open = False
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def send(self, job: AnyJob) -> asyncio.Future[Any]:
        if not self.is_open:
            raise StoreUnavailable("the committer is gone")
        self._next += 1
        future = asyncio.get_running_loop().create_future()
        self._pending[self._next] = type(job), future
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(framed(self._encoder.encode((self._next, job))))
        return future

    def _flush(self) -> None:
        """What was asked in this round of the loop leaves together, and is committed together."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            for number, result, error, text in self._decoder.decode(frame):
                kind, future = self._pending.pop(number)
                if future.done():
                    continue
                if error:
                    future.set_exception(ERRORS.get(error, StoreError)(text))
                else:
                    future.set_result(msgspec.msgpack.decode(result, type=cast(Any, RESULTS[kind])))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._transport = None
        _fail([future for _, future in self._pending.values()], StoreUnavailable("the committer is gone"))
        self._pending.clear()
        if not self.gone.done():
            self.gone.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _fail(futures: Sequence[asyncio.Future[Any]], error: PostofficeError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


class RemoteCommitter:
    """A `Committer` in another process, reached through the Unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: _Channel | None = None
        self._connecting: asyncio.Task[_Channel] | None = None
        self._is_closed = False

    def run(self, job: Job[R]) -> Awaitable[R]:
        if self._is_closed:
            raise StoreUnavailable("the office is closed")
        if self._channel is not None and self._channel.is_open:
            return self._channel.send(cast(AnyJob, job))
        return self._run_connected(cast(AnyJob, job))

    async def _run_connected(self, job: AnyJob) -> Any:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        channel = await asyncio.shield(self._connecting)
        return await channel.send(job)

    async def _connect(self) -> _Channel:
        try:
            loop = asyncio.get_running_loop()
            _, self._channel = await loop.create_unix_connection(_Channel, str(self._path))
            return self._channel
        except OSError as error:
            raise StoreUnavailable(f"the committer does not answer at {self._path}: {error.strerror}") from error
        finally:
            self._connecting = None

    async def close(self) -> None:
        """Jobs under way are answered by whoever awaits them first; none is taken any more."""
        self._is_closed = True
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()
            await channel.gone
