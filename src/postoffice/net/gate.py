"""A gate in front of a door: what must be known of a caller before TLS, who he is and whether there is room for him.

Who comes through a balancer that we trust says first who is really calling.

Whether a caller is a balancer is known by its address alone, and from a balancer the header of the PROXY protocol
must come, whole, before anything else: before our greeting and before TLS. So the header is taken from the socket
octet for octet, and what stands behind it stays there for whoever answers. Others come in as they are; a header of
theirs is noise like any other. At a door with TLS a caller is counted before the handshake, which costs more than all
the rest; whoever is one too many cannot be told so there, and finds the connection closed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from postoffice import counts
from postoffice.errors import RemoteProtocolError
from postoffice.events import event
from postoffice.net.crowd import Crowd
from postoffice.net.dialogue import Dialogue
from postoffice.net.networks import Network, is_in
from postoffice.net.tunnel import Tunnel
from postoffice.protocols.proxy import Caller, header_octets, parse

HEADER_SECONDS = 10.0
"""How long a balancer may take to say who is calling."""

_REFUSED = counts.counter("postoffice_proxy_refused_total", "Balancers' connections without a right PROXY header.")

PORTION_OCTETS = 4096
FULL_SECONDS = 1.0
"""How long nobody is let in when there are no descriptors left."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers behind a gate: after a handshake, if there is `tls`, and room in the `crowd`. `networks` are where
    balancers are."""

    make: Callable[[], Dialogue[Any]]
    tls: ssl.SSLContext | None
    networks: tuple[Network, ...] = ()
    crowd: Crowd | None = None


class Gate:
    """One listening socket. Made inside a running loop; open until `close`."""

    def __init__(self, listening: socket.socket, answerer: Answerer) -> None:
        self._listening = listening
        self._answerer = answerer
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._open()

    def close(self) -> None:
        """Let nobody in any more. Who is inside stays."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listening)
            self._listening.close()
            for task in self._entering:
                task.cancel()

    def _open(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            connection, name = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            event("gate.full", error=str(error))
            self._loop.remove_reader(self._listening)
            self._loop.call_later(FULL_SECONDS, self._open)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._enter(connection, name[0]))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket, peer: str) -> None:
        dialogue = self._answerer.make()
        try:
            if is_in(peer, self._answerer.networks):
                async with asyncio.timeout(HEADER_SECONDS):
                    caller = parse(await self._header(connection))
                _believe(dialogue, caller)
        except (RemoteProtocolError, OSError, TimeoutError) as error:
            connection.close()
            counts.sheet[_REFUSED] += 1
            event("proxy.refused", peer=peer, because=str(error) or "no PROXY header in time")
            return
        except BaseException:
            connection.close()
            raise
        tls, crowd = self._answerer.tls, self._answerer.crowd
        if tls is not None and crowd is not None:
            host = dialogue.expected_peer or peer
            if crowd.enter(dialogue.door, host) is not None:
                connection.close()
                return
            dialogue.counted_as = host

        def is_over(problem: OSError | None) -> None:
            if problem is not None and dialogue.counted_as is not None and crowd is not None:
                crowd.leave(dialogue.door, dialogue.counted_as)  # no handshake, no conversation

        inside = dialogue if tls is None else Tunnel(dialogue, tls, on_secured=is_over)
        try:
            await self._loop.connect_accepted_socket(lambda: inside, connection)
        except OSError as error:
            connection.close()
            is_over(error)

    async def _header(self, connection: socket.socket) -> bytes:
        """The whole header, and not an octet of what follows."""
        header = b""
        while True:
            await self._readable(connection)
            seen = connection.recv(PORTION_OCTETS, socket.MSG_PEEK)
            if not seen:
                raise RemoteProtocolError("closed before the PROXY header was whole")
            whole = header_octets(header + seen)
            header += connection.recv(len(seen) if whole is None else min(len(seen), whole - len(header)))
            if len(header) == whole:
                return header

    async def _readable(self, connection: socket.socket) -> None:
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection, _settle, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(connection)


def _settle(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def _believe(dialogue: Dialogue[Any], caller: Caller) -> None:
    if caller.source is not None and caller.destination is not None:
        dialogue.believe(caller.source, caller.destination)
    if caller.is_encrypted:
        dialogue.believe_tls(caller.tls)
