"""A maildrop whose holder is gone goes over to its owner who comes again, and to nobody else (RFC 1939 §4, §6)."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from postoffice.access.pop3 import Pop3Settings
from postoffice.access.takeover import Holders
from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.events import collected
from postoffice.net.listen import bind_door
from postoffice.net.networks import Network
from postoffice.store.base import Store
from postoffice.store.memory import MemoryStore
from postoffice.store.model import OWNER
from postoffice.testing.office import run_office
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB, PASSWORD = "bob@b.example", "secret"
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)
EAGER = Pop3Settings(lock_wait_seconds=2.0, takeover_seconds=0.001)
"""Whoever was silent for a millisecond may be ended."""
PATIENT = Pop3Settings(lock_wait_seconds=0.2, takeover_seconds=600.0)
NEVER = Pop3Settings(lock_wait_seconds=0.2, takeover_seconds=0.0)


class From(Pop3Raw):
    """A client at an address of its own."""

    def __init__(self, port: int, address: str) -> None:
        self._name, self._buffer = "localhost", b""
        self._socket = socket.create_connection(("127.0.0.1", port), 20, (address, 0))
        self.greeting = self.line()


LETTER = b"Subject: one\r\n\r\nhello\r\n"


async def sessions(
    store: Store, settings: Pop3Settings, play: Callable[[int], None], letter: bytes = LETTER
) -> list[tuple[str, int]]:
    """Play with an office that has a letter for Bob; gives how his sessions ended and what they removed, in order."""
    config = Config(pop3=settings, login=LoginSettings(clear_text_networks=LOOPBACK))
    with collected() as events:
        async with run_office(store, "b.example", people={BOB: PASSWORD}, config=config) as office:

            def deliver_and_play() -> None:
                with SmtpRaw(office.port("smtp")) as client:
                    client.ask("EHLO x.example")
                    assert client.send("x@a.example", [BOB], letter) == 250
                play(office.port("pop3"))

            await asyncio.to_thread(deliver_and_play)
            while len(office.open_office._switchboard):
                await asyncio.sleep(0)
        return [(str(f["end"]), int(f["removed"] or 0)) for name, f in events if name == "pop3.closed"]


def hold(port: int) -> Pop3Raw:
    """A session that holds the maildrop and has marked its letter."""
    holder = Pop3Raw(port)
    assert holder.log_in(BOB, PASSWORD).startswith(b"+OK")
    assert holder.ask("DELE 1").startswith(b"+OK")
    return holder


async def test_the_owner_who_comes_again_has_the_maildrop_and_nothing_was_removed(store: Store) -> None:
    def play(port: int) -> None:
        with hold(port) as frozen, Pop3Raw(port) as again:
            assert again.log_in(BOB, PASSWORD).startswith(b"+OK")
            assert again.ask("STAT").startswith(b"+OK 1 ")
            assert frozen.rest() == b"", "the old session is closed without a word"
            assert again.ask("QUIT").startswith(b"+OK")

    assert await sessions(store, EAGER, play) == [("taken over", 0), ("quit", 0)]


async def test_a_holder_who_does_not_read_is_silent_too(store: Store) -> None:
    def play(port: int) -> None:
        with Pop3Raw(port) as stuck, Pop3Raw(port) as again:
            assert stuck.log_in(BOB, PASSWORD).startswith(b"+OK")
            stuck.say(b"RETR 1\r\n" * 3000)  # more than all buffers on the way hold
            assert again.log_in(BOB, PASSWORD).startswith(b"+OK")

    [first, _] = await sessions(store, EAGER, play, b"Subject: much\r\n\r\n" + (b"x" * 70 + b"\r\n") * 1000)
    assert first == ("taken over", 0)


@pytest.mark.parametrize("settings", [PATIENT, NEVER], ids=["not silent for long enough", "never"])
async def test_a_session_that_lives_is_left_alone(store: Store, settings: Pop3Settings) -> None:
    def play(port: int) -> None:
        with hold(port) as holder, Pop3Raw(port) as other:
            assert other.log_in(BOB, PASSWORD).startswith(b"-ERR [IN-USE]")
            assert holder.ask("QUIT").startswith(b"+OK")

    assert await sessions(store, settings, play) == [("quit", 1)]


async def test_from_another_address_nobody_is_ended(store: Store) -> None:
    def play(port: int) -> None:
        with hold(port) as holder, From(port, "127.0.0.2") as other:
            assert other.log_in(BOB, PASSWORD).startswith(b"-ERR [IN-USE]")
            assert holder.ask("QUIT").startswith(b"+OK")

    settings = Pop3Settings(lock_wait_seconds=0.2, takeover_seconds=0.001)
    assert await sessions(store, settings, play) == [("quit", 1)]


async def test_a_wrong_password_ends_nobody_and_learns_nothing(store: Store) -> None:
    def play(port: int) -> None:
        with hold(port) as holder, Pop3Raw(port) as other:
            assert other.log_in(BOB, "wrong").startswith(b"-ERR [AUTH]")
            assert holder.ask("QUIT").startswith(b"+OK")

    assert await sessions(store, EAGER, play) == [("quit", 1)]


async def test_a_session_that_is_cut_off_frees_its_maildrop_and_removes_nothing(store: Store) -> None:
    def play(port: int) -> None:
        holder = hold(port)
        holder._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        holder.close()  # a reset: no end was said
        with Pop3Raw(port) as again:
            assert again.log_in(BOB, PASSWORD).startswith(b"+OK")
            assert again.ask("STAT").startswith(b"+OK 1 ")
            assert again.ask("QUIT").startswith(b"+OK")

    settings = Pop3Settings(lock_wait_seconds=5.0, takeover_seconds=0.0)
    assert await sessions(store, settings, play) == [("lost", 0), ("quit", 0)]


async def test_a_claim_that_is_heard_too_late_ends_nobody() -> None:
    """As by a worker that was stopped meanwhile."""
    store, now, said = MemoryStore(), 1000.0, list[bytes]()
    config = Config(pop3=EAGER, login=LoginSettings(clear_text_networks=LOOPBACK))
    async with run_office(store, "b.example", people={BOB: PASSWORD}, config=config) as office:
        holders = office.open_office.holders
        holders._clock = lambda: now
        elsewhere = Holders(30.0, clock=lambda: now)
        elsewhere.tell_others = said.append
        account = await office.account(BOB)
        elsewhere.claim((account.account_id, OWNER), "127.0.0.1", 1.0)
        holder = await asyncio.to_thread(Pop3Raw, office.port("pop3"))
        await asyncio.to_thread(holder.log_in, BOB, PASSWORD)
        now = 1002.0
        holders.hear(said[0])
        assert (await asyncio.to_thread(holder.ask, "NOOP")).startswith(b"+OK")
        now = 1000.5
        await _until_idle(holders)
        holders.hear(said[0])
        assert await asyncio.to_thread(holder.rest) == b""
        holder.close()


async def _until_idle(holders: Holders) -> None:
    while not all(session.idle_seconds > EAGER.takeover_seconds for session in holders._sessions.values()):
        await asyncio.sleep(0)


def test_any_patience_is_taken() -> None:
    for seconds in (0.0, 0.1, 1e9):
        [door] = bind_door("pop3", ("127.0.0.1",), 0, gone_seconds=seconds)
        [listening] = door.sockets
        with listening:
            assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == (seconds > 0)


@pytest.mark.parametrize("gone_seconds", [120.0, 8.0])
def test_the_kernel_is_told_to_notice_the_dead(gone_seconds: float) -> None:
    [door] = bind_door("pop3", ("127.0.0.1",), 0, gone_seconds=gone_seconds)
    [listening] = door.sockets
    with listening, socket.create_connection(listening.getsockname()):
        wait_until(lambda: _may_accept(listening), "somebody waits")
        connection, _ = listening.accept()
        with connection:
            tcp = socket.IPPROTO_TCP
            idle = connection.getsockopt(tcp, socket.TCP_KEEPIDLE)
            asked = connection.getsockopt(tcp, socket.TCP_KEEPINTVL) * connection.getsockopt(tcp, socket.TCP_KEEPCNT)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert idle + asked == gone_seconds
            assert connection.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == gone_seconds * 1000


def _may_accept(listening: socket.socket) -> bool:
    return bool(select.select([listening], [], [], 0)[0])


# --- over several workers


@contextmanager
def served(config: str) -> Iterator[OfficeProcess]:
    with open_folder() as folder:
        make_office(folder / "office", {BOB: PASSWORD})
        with OfficeProcess(folder / "office", CLEAR_TEXT + config, ["--workers", "2"]) as office:
            yield office


def closings(office: OfficeProcess) -> list[dict[str, Any]]:
    return [event for event in office.events() if event["event"] == "pop3.closed"]


def test_the_holder_may_live_in_another_worker() -> None:
    with served("[pop3]\ntakeover_seconds = 0.001\n") as office, neighbours(office) as (holder, other):
        assert holder.log_in(BOB, PASSWORD).startswith(b"+OK")
        assert other.log_in(BOB, PASSWORD).startswith(b"+OK")
        assert holder.rest() == b""
        assert other.ask("QUIT").startswith(b"+OK")
        wait_until(lambda: len(closings(office)) == 2, "both are told")
        assert [event["end"] for event in closings(office)] == ["taken over", "quit"]
        assert len({event["process"] for event in closings(office)}) == 2


def test_the_maildrop_of_a_stopped_worker_is_in_use_until_it_is_replaced() -> None:
    config = "[office]\nstuck_seconds = 4.0\n[pop3]\nlock_wait_seconds = 0.3\ntakeover_seconds = 0.001\n"
    with served(config) as office, neighbours(office) as (holder, other):
        assert holder.log_in(BOB, PASSWORD).startswith(b"+OK")
        stopped = worker_of(office, holder)
        os.kill(stopped, signal.SIGSTOP)
        assert other.log_in(BOB, PASSWORD).startswith(b"-ERR [IN-USE]")
        wait_until(lambda: stopped not in office.pids(), "the supervisor has ended it")
        assert other.log_in(BOB, PASSWORD).startswith(b"+OK")


@contextmanager
def neighbours(office: OfficeProcess) -> Iterator[tuple[Pop3Raw, Pop3Raw]]:
    """Two connections, each to a worker of its own."""
    with ExitStack() as clients:
        first = clients.enter_context(Pop3Raw(office.ports["pop3"]))
        second = clients.enter_context(Pop3Raw(office.ports["pop3"]))
        while worker_of(office, second) == worker_of(office, first):
            second = clients.enter_context(Pop3Raw(office.ports["pop3"]))
        yield first, second


def worker_of(office: OfficeProcess, client: Pop3Raw) -> int:
    """Who answers a connection, as the system tells it."""
    here, there = client._socket.getsockname()[1], client._socket.getpeername()[1]
    ends = f":{there:04X} 0100007F:{here:04X} "
    [row] = [row for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines() if ends in row]
    name = f"socket:[{row.split()[9]}]"
    [worker] = [pid for pid in office.children("worker") if name in _open_files(pid)]
    return worker


def _open_files(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(entry.readlink()))
    return found
