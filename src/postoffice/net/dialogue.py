"""One driver for every conversation, on both ends: a sans-I/O machine, a connection, and a coroutine that talks.

A conversation is written as straight code (`while True: command = await ...`), and driven by hand: octets arrive,
the coroutine runs until it wants more, and gives control back. There is no task, no stream and no queue per
connection, and a verb of the store that has its answer at once costs no trip through the event loop. A verb that
has to wait yields a future, and the coroutine goes on when that is done, whatever happens to the connection
meanwhile: so nobody can cancel a signature half-way.

    waits for     goes on when
    MORE          octets came; or the other side left, was silent too long, or we are being stopped (an exception)
    ROOM          the other side has read enough of what we wrote
    a future      it is done

The other side's silence and pace are measured only in the first two: while *we* are the slow side, no timer runs.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import ssl
import struct
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

from postoffice.errors import ConnectionLost, Disconnected, Draining, PatienceLost
from postoffice.events import event
from postoffice.net.pace import is_fair, octets_under_way
from postoffice.net.pause import give_way
from postoffice.net.sendfile import Outlet
from postoffice.net.tunnel import HANDSHAKE_SECONDS, Tunnel, settle
from postoffice.net.words import in_words

if TYPE_CHECKING:
    from postoffice.net.crowd import Limit
    from postoffice.net.switchboard import Switchboard

FLIGHT_OCTETS = 256 * 1024
"""Replies are joined into writes of about this size, and files are read in pieces of it."""

STRIDE_OCTETS = 1024 * 1024
"""After so much of a file whoever waits comes first."""

_CREDENTIALS = struct.Struct("3i")
"""Process, user and group, as SO_PEERCRED tells them."""

Address = tuple[str, int]
Tracer = Callable[[str, bytes], None]
"""Hears the octets of a conversation: `"C"`, `"S"`, or `"!"` with `TLS`, `C closes` or `S closes`."""


class Machine(Protocol):
    """What the driver needs of a protocol machine."""

    def receive(self, octets: bytes) -> None: ...


M = TypeVar("M", bound=Machine)

_numbers = itertools.count(1)


class Wait(Enum):
    """What a suspended conversation waits for."""

    NOTHING = "nothing: it is running, or over"
    FUTURE = "a future"
    MORE = "more octets"
    ROOM = "room to write"

    def __await__(self) -> Generator[Wait, None, None]:
        return iter((self,))  # type: ignore[return-value]  # as a generator would yield it, in a third of the time


NOTHING: Final = Wait.NOTHING
FUTURE: Final = Wait.FUTURE
MORE: Final = Wait.MORE
ROOM: Final = Wait.ROOM
"""By these names they are found in a third of the time."""


class Dialogue(asyncio.Protocol, Generic[M]):
    """One connection with its machine and its conversation.

    `name` is its own (`1234-17`: process and number), `begun` and `since` are when it began and when it last began to
    wait.
    `patience` is how many seconds the other side may be silent, `is_amid` whether what comes next belongs to something
    begun that may come to its end before we stop; a conversation sets them as its state demands.
    `is_full`: the other side should read before we say more; then `await flush()`.
    `is_encrypted`: the other side speaks TLS, with us (`tls` is that connection) or with a balancer whom we believe.
    `door` is where a caller came in, `limit` why there is no room for him: then he is only told so;
    `counted_as` is the host for which a gate or the switchboard counted him.
    `on_end` hears the result of the conversation or the exception that ended it, `on_lost` that the connection is
    closed.
    """

    __slots__ = (
        "_began",
        "_conversation",
        "_converse",
        "_eof",
        "_flight_end",
        "_heard",
        "_held",
        "_lost",
        "_other_role",
        "_out",
        "_reading",
        "_role",
        "_switchboard",
        "_told",
        "_told_tls",
        "_tracer",
        "_transport",
        "_under_way",
        "_wait",
        "begun",
        "counted_as",
        "door",
        "is_amid",
        "is_encrypted",
        "is_full",
        "limit",
        "machine",
        "name",
        "octets_in",
        "octets_out",
        "on_end",
        "on_lost",
        "patience",
        "peer",
        "since",
        "tls",
    )

    def __init__(
        self,
        machine: M,
        converse: Callable[[Dialogue[M]], Coroutine[Any, Any, Any]],
        switchboard: Switchboard,
        *,
        is_server: bool = True,
        on_end: Callable[[Any, BaseException | None], None] | None = None,
    ) -> None:
        self.machine = machine
        self.name = f"{switchboard.process}-{next(_numbers)}"
        self.begun = 0.0
        self.octets_in = self.octets_out = 0
        self.patience = 60.0
        self.is_amid = False
        self.since = 0.0
        self.peer: Address = ("", 0)
        self.tls: ssl.SSLObject | None = None
        self.is_encrypted = False
        self.door = ""
        self.limit: Limit | None = None
        self.counted_as: str | None = None
        self.on_end = on_end
        self._told: tuple[Address, Address] | None = None
        self._told_tls = ""
        self.on_lost: Callable[[], None] | None = None
        self._converse = converse
        self._conversation: Coroutine[Any, Any, Any] | None = None
        self._switchboard = switchboard
        self._tracer = switchboard.tracer(self) if switchboard.tracer else None
        self._role, self._other_role = ("S", "C") if is_server else ("C", "S")
        self._transport: asyncio.Transport | None = None
        self._wait = NOTHING
        self._out: list[bytes] = []
        self._flight_end = FLIGHT_OCTETS
        self._reading = True
        self._heard = 0  # of `octets_in`, before we last said something or were the slow side
        self._began = 0.0  # when the first behind it came
        self._under_way = -1  # what the other side had to take when we began to wait for it; -1: we did not look
        self._held: bytes | None = None
        self._eof = self._lost = self.is_full = False

    # --- what a conversation calls

    def send(self, octets: bytes) -> None:
        """Say something; it leaves when the conversation next waits, or when a flight is full."""
        self._out.append(octets)
        self.octets_out += len(octets)
        if self.octets_out >= self._flight_end:
            self._write()

    def send_all(self, octets: Sequence[bytes]) -> None:
        """The same, of parts that are joined once only; they are a flight together at most."""
        self._out.extend(octets)
        self.octets_out += sum(map(len, octets))
        if self.octets_out >= self._flight_end:
            self._write()

    async def send_file(self, descriptor: int, octets: int) -> None:
        """Say the first `octets` of a file. Where it cannot be read, or ends before, that is an `OSError` half-way, and
        nothing but the end of the connection can tell the other side."""
        outlet = self._outlet()
        at = 0
        try:
            while at < octets:
                if at and at % STRIDE_OCTETS == 0:
                    await give_way()
                await self.flush()
                room = min(octets, at + STRIDE_OCTETS - at % STRIDE_OCTETS) - at
                sent = outlet.send(descriptor, at, room) if outlet is not None else 0
                self.octets_out += sent
                if not sent:
                    piece = os.pread(descriptor, min(FLIGHT_OCTETS, room), at)
                    if not piece:
                        raise OSError(errno.EIO, f"the file ends after {at} octets of {octets}")
                    self.send(piece)
                    sent = len(piece)
                at += sent
        finally:
            self._heard = self.octets_in
            if outlet is not None:
                outlet.close()

    def _outlet(self) -> Outlet | None:
        """The socket itself, where what we say is what it sends, and nobody listens."""
        transport = self._transport
        if transport is None or isinstance(transport, Tunnel) or self.tls is not None or self._tracer:
            return None
        return Outlet(transport)

    async def flush(self) -> None:
        """Send what was said, and wait until the other side has room for more."""
        self._write()
        while self.is_full and not self._lost:
            await ROOM
        if self._lost:
            raise ConnectionLost("the connection was lost while sending")

    def more(self) -> Awaitable[None]:
        """Send what was said and wait until more octets have come. Ends with a `Disconnected`."""
        self._write()
        if self.is_full or self._eof or self._held is not None or not self._reading or self._switchboard.is_draining:
            return self._more()
        return MORE

    async def _more(self) -> None:
        if self.is_full or self._lost:
            await self.flush()
        held, self._held = self._held, None
        if held:
            if self._tracer:
                self._tracer(self._other_role, held)
            self.octets_in += len(held)
            self._heard = self.octets_in
            self.machine.receive(held)
            return
        if self._eof:
            raise ConnectionLost("the other side closed the connection")
        if self._switchboard.is_draining and self._role == "S" and not self.is_amid:
            raise Draining("this office is closing")
        if not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()
        await MORE

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """Speak TLS from here on. A handshake that fails ends the connection.

        What comes with the end of the handshake waits for the next `more`, so that the machine can begin TLS before.
        """
        await self.flush()
        transport = self._transport
        assert transport is not None
        self._held = b""
        secured = asyncio.get_running_loop().create_future()
        tunnel = Tunnel(
            self,
            context,
            is_server=self._role == "S",
            server_hostname=server_hostname if self._role == "C" else None,
            seconds=min(self.patience, HANDSHAKE_SECONDS),
            on_secured=partial(settle, secured),
        )
        self._transport = tunnel
        tunnel.begin(transport)
        if not self._reading:
            self._reading = True
            tunnel.resume_reading()
        try:
            await secured
        except OSError as error:
            self._eof = self._lost = True
            raise ConnectionLost(f"the TLS handshake failed: {in_words(error)}") from error
        self.tls = tunnel.get_extra_info("ssl_object")
        self.is_encrypted = True
        if self._tracer:
            self._tracer("!", b"TLS")

    @property
    def local(self) -> Address:
        """Where the other side came to, while it is there."""
        if self._told is not None:
            return self._told[1]
        return _address(self._transport.get_extra_info("sockname") if self._transport is not None else None)

    @property
    def tls_version(self) -> str:
        """What the other side speaks, for the log: `TLSv1.3`; empty where nobody told."""
        return self.tls.version() or "" if self.tls is not None else self._told_tls

    @property
    def peer_user(self) -> int | None:
        """The number of the user at the other end of a Unix socket, from the kernel; None elsewhere."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is None or sock.family != socket.AF_UNIX:
            return None
        told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(told)[1])

    # --- what a gate calls, before the connection is made

    def believe(self, peer: Address, local: Address) -> None:
        """A balancer whom we trust says who called whom."""
        self._told = (peer, local)

    def believe_tls(self, version: str) -> None:
        """It says that the way to it was encrypted; the way from it is the owner's own."""
        self.is_encrypted = True
        self._told_tls = version

    @property
    def expected_peer(self) -> str:
        """The host that a balancer told; empty where none did."""
        return self._told[0][0] if self._told is not None else ""

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer = _address(transport.get_extra_info("peername"))
        if self._told is not None:
            self.peer, _ = self._told
        self.tls = transport.get_extra_info("ssl_object")
        self.is_encrypted = self.is_encrypted or self.tls is not None
        if self.is_encrypted and self._tracer:
            self._tracer("!", b"TLS")
        self.begun = self._switchboard.now()
        self.limit = self._switchboard.add(self)
        self._conversation = self._converse(self)
        self._step()

    def data_received(self, octets: bytes) -> None:
        if self._held is not None:
            self._held += octets
            return
        if self._heard == self.octets_in:
            self._began = self._switchboard.now()
        if self._tracer:
            self._tracer(self._other_role, octets)
        self.octets_in += len(octets)
        self.machine.receive(octets)
        if self._wait is MORE:
            self._step()
        elif self._role == "C" and self._wait is ROOM:
            # Replies to what we said already: if both sides waited for room, they would wait for ever.
            self.since = self._switchboard.now()
        elif self._reading and self._transport is not None:
            # We are busy: what is in the machine waits, the rest waits in the network (RFC 2449 §6.6).
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._eof = True
        if self._wait is MORE:
            self._step(ConnectionLost("the other side closed the connection"))
        return self.tls is None and self._conversation is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = self._lost = True
        self._transport = None
        if self.on_lost is not None:
            self.on_lost()
        if self._wait in (MORE, ROOM):
            self._step(ConnectionLost("the connection was lost" if exc is None else f"the connection was lost: {exc}"))

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._wait is ROOM:
            self._step()

    # --- what the switchboard calls

    @property
    def waits_for_peer(self) -> bool:
        """Whether the next move is the other side's."""
        return self._wait in (MORE, ROOM)

    def look_at_pace(self) -> None:
        """End it if the other side, whose move it is, is silent for too long or too slow."""
        now = self._switchboard.now()
        if now - self.since > self.patience:
            if self._takes_what_we_said():
                self.since = now
            else:
                self._lose_patience("reads too slowly" if self.is_full else "silent")
        elif self._wait is MORE and self._role == "S" and now - self._began > self.patience:
            heard = self.octets_in - self._heard
            if not heard or is_fair(heard, now - self._began):
                self._heard = self.octets_in
            else:
                self._lose_patience("writes too slowly")

    def _takes_what_we_said(self) -> bool:
        """Whether it cannot answer yet, because it is still reading, and that at a fair rate."""
        if self._transport is None:
            return False
        before, self._under_way = self._under_way, octets_under_way(self._transport)
        if before < 0:
            return self._under_way > 0
        has_all = self._wait is MORE and self._under_way == 0 < before
        return has_all or is_fair(before - self._under_way, self.patience)

    def _lose_patience(self, because: str) -> None:
        if self.door:
            event("connection.slow", door=self.door, peer=self.peer[0], because=because, seconds=self.patience)
        self._step(PatienceLost(f"{because} for {self.patience:.0f} seconds"))

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return self._switchboard.now() - self.begun

    @property
    def idle_seconds(self) -> float:
        """How long we have been waiting for the other side; none while the next move is ours."""
        return self._switchboard.now() - self.since if self.waits_for_peer else 0.0

    def dismiss(self, problem: Disconnected) -> None:
        """End it with `problem`, if the next move is the other side's; what we have begun comes to its end."""
        if self.waits_for_peer:
            self._step(problem)

    def drain(self) -> None:
        """Stop, if the conversation stands between two commands; else it stops when it gets there.

        Only a server does: a client has begun something, and comes to its end.
        """
        if self._wait is MORE and self._role == "S" and not self.is_amid:
            self._step(Draining("this office is closing"))

    def abort(self) -> None:
        """End it now, without a word."""
        if self._transport is not None:
            self._transport.abort()

    # --- the driver

    def _step(self, problem: Disconnected | None = None) -> None:
        """Run the conversation until it waits again."""
        conversation = self._conversation
        if conversation is None:
            return
        self._wait = NOTHING
        turn = self._switchboard.turn
        outer, turn.session = turn.session, self.name
        try:
            wanted = conversation.send(None) if problem is None else conversation.throw(problem)
        except StopIteration as end:
            self._end(end.value, None)
        except Disconnected as gone:
            self._end(None, gone)
        except (Exception, asyncio.CancelledError) as error:
            if self.on_end is None:
                event("dialogue.crashed", peer=self.peer[0], error="".join(traceback.format_exception(error)))
            self._end(None, error)
        else:
            if wanted is MORE or wanted is ROOM:
                self._wait = wanted
                self.since = self._switchboard.now()
                self._under_way = -1
                if wanted is ROOM and self._transport is not None:
                    self._under_way = octets_under_way(self._transport)
            elif wanted is None:
                asyncio.get_running_loop().call_soon(self._step)
            else:
                # A future awaited outside of a task: we do what the task would have done.
                self._wait = FUTURE
                wanted._asyncio_future_blocking = False
                wanted.add_done_callback(self._future_done)
        finally:
            turn.session = outer

    def _future_done(self, _: Any) -> None:
        self._heard = self.octets_in
        self._step()

    def _write(self) -> None:
        out = self._out
        if not out:
            return
        octets = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._flight_end = self.octets_out + FLIGHT_OCTETS
        self._heard = self.octets_in
        transport = self._transport
        if transport is not None:
            if self._tracer:
                self._tracer(self._role, octets)
            transport.write(octets)

    def _end(self, result: Any, problem: BaseException | None) -> None:
        self._conversation = None
        is_stuck = self.is_full
        self._write()
        if self._transport is not None:
            # Whoever does not read would keep what is written, and the connection, for ever.
            if is_stuck:
                self._transport.abort()
            else:
                self._transport.close()
        self._switchboard.remove(self)
        if self._tracer:
            closes = self._other_role if self._eof else self._role
            self._tracer("!", closes.encode() + b" closes")
        if self.on_end is not None:
            self.on_end(result, problem)


def _address(name: object) -> Address:
    """Host and port of a socket name; IPv6 names have more parts, Unix ones fewer."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else ("", 0)
