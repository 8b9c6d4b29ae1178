"""The server: a parent that owns the sockets and answers nobody, a committer, and workers.

    parent ──┬── committer     the only one who writes office.db; its socket is the parent's too
             ├── worker 1      answers at every door
             └── worker n

A worker that dies or is stuck is replaced; connections that wait at a door wait in the parent's socket and are
answered by the next one. SIGTERM and SIGINT: let everybody finish, then end. SIGHUP: read the certificates again.
The parent has no loop and no threads, so it can fork at any time.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from postoffice import __version__
from postoffice.accounts.guard import Guard
from postoffice.accounts.ledger import BOOK, begin_book
from postoffice.app import worker as worker_module
from postoffice.app.board import STATUS_SOCKET, Board, give
from postoffice.app.certificates import Certificates
from postoffice.app.config import DOORS, METRICS, OPEN_IF_NAMED, PORTS, Config
from postoffice.app.observe import open_log
from postoffice.app.privilege import settle_in
from postoffice.app.worker import HEARTBEAT_SECONDS, READY, Work, beats
from postoffice.errors import UsageError
from postoffice.net.crowd import Crowd
from postoffice.net.listen import Door, bind_door, bind_socket, listen_privately
from postoffice.net.notify import notify, watchdog_seconds
from postoffice.net.tls_server import Pair
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.remote import serve_committer

Body = Callable[[int, socket.socket], None]
"""What a child does, with its end of the status pipe and of its lifeline."""

START_SECONDS = 30.0
RESPAWN_SECONDS = 0.5
RESPAWN_LIMIT_SECONDS = 30.0
COMMITTER_SOCKET = "committer.socket"
TOLD = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""The signals by which somebody tells us something."""


@dataclass(slots=True)
class Child:
    """A process of ours. `heard` is when it last said that it lives."""

    name: str
    pid: int
    heard: float
    status: int
    lifeline: socket.socket
    is_ready: bool = False

    def close(self) -> None:
        os.close(self.status)
        self.lifeline.close()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line adds to the configuration."""

    trace: bool = False


def serve(config: Config, options: ServeOptions) -> int:
    """Run an office until it is told to stop. Gives the exit status; what is wrong at the start is a `UsageError`."""
    _take_descriptors()
    doors = open_doors(config)
    try:
        return _serve_behind(doors, config, options)
    finally:
        for sock in [sock for share in doors for door in share.values() for sock in door.sockets]:
            sock.close()


def _take_descriptors() -> None:
    """As many as we may have: each connection is one."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _serve_behind(doors: Sequence[Mapping[str, Door]], config: Config, options: ServeOptions) -> int:
    assert config.office.data is not None
    data = config.office.data.resolve()
    if config.tls.certificate and config.tls.key:
        certificate = (config.tls.certificate.resolve(), config.tls.key.resolve())
    else:
        certificate = (Path("tls/certificate.pem"), Path("tls/key.pem"))
    more = tuple(Pair(pair.certificate.resolve(), pair.key.resolve()) for pair in config.tls.more)
    config = replace(config, tls=replace(config.tls, more=more))
    if config.tls.client_authorities:
        tls = replace(config.tls, client_authorities=config.tls.client_authorities.resolve())
        config = replace(config, tls=tls)
    if config.log.file:
        config = replace(config, log=replace(config.log, file=config.log.file.resolve()))
    settle_in(data, config.office.user)
    if not Path("office.db").exists():
        raise UsageError(f"{data}: there is no office here; make one with: postoffice init", os.EX_NOINPUT)
    certificates = Certificates(*certificate, config.tls)
    if config.log.file:  # what is wrong with it is said now, once, and not by every worker
        os.close(open_log(config.log))
    lock = _only_one(data)
    _look_at_store()
    try:
        return Supervisor(config, options, certificates, doors).run()
    finally:
        os.close(lock)


def open_doors(config: Config) -> list[dict[str, Door]]:
    """Bind every door that is not closed by its port -1; a set of sockets for each worker."""
    offset = config.office.port_offset
    if offset is None:
        offset = 0 if _may_bind_low_ports() else 10000
    workers = config.office.workers or os.cpu_count() or 1
    doors: list[dict[str, Door]] = [{} for _ in range(workers)]
    addresses = {"lmtp": config.lmtp.addresses, METRICS: config.metrics.addresses}
    for name, standard in PORTS.items():
        port = config.office.ports.get(name, -1 if name in OPEN_IF_NAMED else standard + offset)
        where = addresses.get(name, config.office.addresses)
        shares = bind_door(name, where, port, workers, config.office.gone_seconds) if port >= 0 else []
        for own, share in zip(doors, shares, strict=False):
            own[name] = share
    for name, path in config.office.sockets.items():
        for own, share in zip(doors, bind_socket([own.get(name, Door(name, ())) for own in doors], path), strict=True):
            own[name] = share
    return doors


class Supervisor:
    """Keeps the children alive."""

    def __init__(
        self,
        config: Config,
        options: ServeOptions,
        certificates: Certificates,
        doors: Sequence[Mapping[str, Door]],
    ) -> None:
        self._config = config
        self._options = options
        self._certificates = certificates
        self._doors = doors
        self._children: dict[int, Child] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._failed_starts: dict[str, int] = {}
        self._stopping_since: float | None = None
        self._said_ready = False
        self._committer_socket = listen_privately(COMMITTER_SOCKET, 64)
        self._board = Board.make(["parent", "committer", *_worker_names(len(doors))], self._facts())
        self._board.enter("parent")
        ledger, trouble = begin_book(Path(BOOK))
        if trouble:
            self._say(trouble)
        self._guard = Guard(config.guard, ledger)
        self._crowd = Crowd(config.crowd, tuple(DOORS), config.guard.trusted_networks, len(doors))
        self._readers = listen_privately(STATUS_SOCKET, 16)
        self._watchdog_seconds = watchdog_seconds()
        self._patted = 0.0
        self._wakeup, wakeup = os.pipe()
        for end in (self._wakeup, wakeup):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def _facts(self) -> dict[str, Any]:
        """What the board says of us as long as we live."""
        doors = {name: door.addresses for name, door in self._doors[0].items()}
        certificates = [str(path) for path in self._certificates.paths]
        return {"version": __version__, "certificates": certificates, "doors": doors}

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._heard_signal)
        self._start_committer()
        for index in range(len(self._doors)):
            self._start_worker(index)
        while self._children or (self._due and self._stopping_since is None):
            self._wait()
            self._pat_watchdog()
            self._reap()
            self._watch()
        self._readers.close()
        Path(STATUS_SOCKET).unlink(missing_ok=True)
        return 0

    # --- children

    def _start_committer(self) -> None:
        def commit(status: int, lifeline: socket.socket) -> None:
            serve_committer(Path(), self._committer_socket, lifeline, beats(status, HEARTBEAT_SECONDS))

        self._spawn("committer", commit)

    def _start_worker(self, index: int) -> None:
        job = Work(
            self._config,
            Path(),
            self._certificates,
            Path(COMMITTER_SOCKET),
            self._doors[index],
            self._board,
            self._guard,
            self._crowd,
            self._options.trace,
            index,
        )

        def work(status: int, lifeline: socket.socket) -> None:
            self._crowd.take_seat(index)
            worker_module.work(job, status, lifeline)

        self._spawn(f"worker {index}", work)

    def _spawn(self, name: str, body: Body) -> None:
        """Fork a child that runs `body(status, lifeline)` and ends; none any more once we are told to stop."""
        # A signal that came between the fork and our note of the child would never reach it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)
        try:
            if self._stopping_since is None:
                self._fork(name, body)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _fork(self, name: str, body: Body) -> None:
        status_read, status_write = os.pipe()
        lifeline, far_end = socket.socketpair()
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(status_read)
            lifeline.close()
            self._become_child(name, body, status_write, far_end)
        os.close(status_write)
        far_end.close()
        os.set_blocking(status_read, False)
        self._children[pid] = Child(name, pid, time.monotonic(), status_read, lifeline)

    def _become_child(self, name: str, body: Body, status: int, lifeline: socket.socket) -> None:
        """Never returns: a child must not run the parent's code behind the fork."""
        code = os.EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)
            for child in self._children.values():
                child.close()
            os.close(self._wakeup)
            self._readers.close()
            self._board.enter(name)
            _take_name(name)
            body(status, lifeline)
            code = os.EX_OK
        except UsageError as error:
            print(f"postoffice: {error}", file=sys.stderr)
            code = error.status
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    # --- the round

    def _wait(self) -> None:
        """Until a child says something, a signal comes, or a second is over."""
        readable = [self._wakeup, self._readers.fileno(), *(child.status for child in self._children.values())]
        for descriptor in select.select(readable, [], [], 1.0)[0]:
            if descriptor == self._wakeup:
                with suppress(BlockingIOError):
                    os.read(descriptor, 512)
            elif descriptor == self._readers.fileno():
                give(self._readers, self._board)
        for child in self._children.values():
            with suppress(BlockingIOError):
                said = os.read(child.status, 512)
                if said:
                    child.heard = time.monotonic()
                    child.is_ready = child.is_ready or READY in said
        ready = sum(child.is_ready for child in self._children.values())
        if not self._said_ready and ready == len(self._doors) + 1:  # the workers and the committer
            self._said_ready = True
            self._say_ready()

    def _reap(self) -> None:
        """Bury the dead, and replace them unless we are closing."""
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self._children.pop(pid, None)
            if child is None:
                continue
            child.close()
            self._board.leave(child.name)
            if self._stopping_since is None:
                self._say(f"{child.name} ended ({os.waitstatus_to_exitcode(status)}), starting another")
                again = self._start_committer if child.name == "committer" else _worker_again(self, child.name)
                self._due.append((time.monotonic() + self._patience_with(child), again))
        if self._stopping_since is not None and all(c.name == "committer" for c in self._children.values()):
            for committer in self._children.values():
                committer.lifeline.close()  # it answers what was asked, and ends

    def _patience_with(self, child: Child) -> float:
        """How long to wait before another is started: at once, but longer each time for one that never got ready."""
        tries = 0 if child.is_ready else self._failed_starts.get(child.name, 0) + 1
        self._failed_starts[child.name] = tries
        return float(min(RESPAWN_SECONDS * 2**tries, RESPAWN_LIMIT_SECONDS))

    def _watch(self) -> None:
        """Start what is due; kill what is stuck or does not end."""
        now = time.monotonic()
        for when, start in [due for due in self._due if due[0] <= now]:
            self._due.remove((when, start))
            if self._stopping_since is None:
                start()
        for child in self._children.values():
            silent = now - child.heard
            limit = self._config.office.stuck_seconds if child.is_ready else START_SECONDS
            if silent > limit:
                self._say(f"{child.name} is stuck, killing it")
                os.kill(child.pid, signal.SIGKILL)
        if self._stopping_since is not None and now - self._stopping_since > self._config.office.drain_seconds + 10:
            for child in self._children.values():
                os.kill(child.pid, signal.SIGKILL)

    def _heard_signal(self, number: int, _frame: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT) and self._stopping_since is None:
            self._stopping_since = time.monotonic()
            notify("STOPPING=1")
            self._tell("worker", signal.SIGTERM)
        elif number == signal.SIGHUP:
            with suppress(UsageError, OSError):  # the workers say what is wrong
                self._certificates.reload()  # for those who replace them
            self._tell("worker", signal.SIGHUP)

    def _tell(self, name: str, number: int) -> None:
        for child in self._children.values():
            if child.name.startswith(name):
                with suppress(ProcessLookupError):
                    os.kill(child.pid, number)

    def _say(self, trouble: str) -> None:
        self._board.note("parent", trouble)
        _say(trouble)

    def _pat_watchdog(self) -> None:
        """To systemd, if it asks: the parent goes round, and looks after the others itself."""
        now = time.monotonic()
        if self._watchdog_seconds and now - self._patted >= self._watchdog_seconds / 3:
            self._patted = now
            notify("WATCHDOG=1")

    def _say_ready(self) -> None:
        where = [f"{name}={address}" for name, door in self._doors[0].items() for address in door.addresses]
        print("ready", *where, flush=True)
        notify("READY=1")


def _worker_names(workers: int) -> list[str]:
    return [f"worker {index}" for index in range(workers)]


def _worker_again(supervisor: Supervisor, name: str) -> Callable[[], None]:
    index = int(name.removeprefix("worker "))
    return lambda: supervisor._start_worker(index)


def _say(sentence: str) -> None:
    """On standard error; where nobody reads that any more, the mail goes on all the same."""
    with suppress(OSError):
        # Not through `sys.stderr`: what stays in its buffer would be an error once more at our end.
        os.write(2, f"postoffice: {sentence}\n".encode())


def _take_name(name: str) -> None:
    """What `ps` and `top` show of a child, where the system can (Linux: PR_SET_NAME)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, f"po {name}".encode(), 0, 0, 0)


def _only_one(data: Path) -> int:
    """Two servers never share a folder."""
    descriptor = os.open("office.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(f"{data}: another postoffice serves this folder already", os.EX_TEMPFAIL) from error
    return descriptor


def _look_at_store() -> None:
    """Open the store once and close it again: migrations, the leftovers of a crash, and damage are dealt with here."""
    import asyncio

    async def look() -> None:
        store = EmbeddedStore.open(Path())
        await store.close()

    asyncio.run(look())


def _may_bind_low_ports() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", DOORS["smtp"]))
        except PermissionError:
            return False
        except OSError:
            return True
    return True
