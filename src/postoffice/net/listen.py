"""Doors: sockets that listen, and who answers there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from postoffice.errors import UsageError
from postoffice.net.crowd import Crowd
from postoffice.net.dialogue import Dialogue
from postoffice.net.gate import Answerer, Gate
from postoffice.net.networks import Network
from postoffice.net.tunnel import Tunnel

BACKLOG = 1024
LONGEST_KEEPALIVE_SECONDS = 32_767.0
"""The most that the kernel takes."""

GONE_SECONDS = 120.0
"""After how long a silent network counts as one that is gone."""


def serving_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a process that has doors: uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@dataclass(frozen=True, slots=True)
class Door:
    """A name of ours for a port, and the sockets that listen there."""

    name: str
    sockets: tuple[socket.socket, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """`127.0.0.1:10110`, `[::1]:10110`, `/run/postoffice/lmtp`."""
        return tuple(_written(sock) for sock in self.sockets)


def bind_door(
    name: str, hosts: tuple[str, ...], port: int, shares: int = 1, gone_seconds: float = GONE_SECONDS
) -> list[Door]:
    """Listen on `port` of every address; port 0 takes any free one, the same on all. A busy one is a `UsageError`.

    Gives the door `shares` times, each with sockets of its own: the kernel spreads connections over them, so that
    one does not wake every process. Whoever keeps a share open keeps the connections that wait there.
    A connection whose other end acknowledges nothing for `gone_seconds` is broken off by the kernel; 0 waits as long
    as the system does.
    """
    _must_be_free(name, hosts, port)
    shared: list[Door] = []
    for _ in range(shares):
        door = Door(name, tuple(_listening(name, hosts, port)))
        port = port or int(door.sockets[0].getsockname()[1])
        for sock in door.sockets:
            _notice_the_dead(sock, gone_seconds)
        shared.append(door)
    return shared


def bind_socket(shares: Sequence[Door], path: Path) -> list[Door]:
    """The shares of a door, listening at a Unix socket too, the same one for all.

    What an office left there that is gone is taken away; whoever may reach the folder may connect.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and _is_deserted(path):
            path.unlink()
        sock.bind(os.fspath(path))
        path.chmod(0o666)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        name = shares[0].name
        raise UsageError(f"cannot listen on {path} for {name}: {error.strerror or error}", os.EX_OSERR) from error
    sock.setblocking(False)
    return [Door(share.name, (*share.sockets, sock)) for share in shares]


def listen_privately(name: str, backlog: int) -> socket.socket:
    """A Unix socket in the working directory, for processes of our own user. What lay there under its name is gone."""
    Path(name).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(name)
    os.chmod(name, 0o600)  # noqa: PTH101 - bound by this very name
    listening.listen(backlog)
    listening.setblocking(False)
    return listening


def _is_deserted(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _must_be_free(name: str, hosts: tuple[str, ...], port: int) -> None:
    """Sockets that share a port would share it with another office too; so see first that nobody is there."""
    if port:
        for sock in _listening(name, hosts, port, is_shared=False):
            sock.close()


def _listening(name: str, hosts: tuple[str, ...], port: int, *, is_shared: bool = True) -> list[socket.socket]:
    """One socket for each address."""
    sockets: list[socket.socket] = []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            if family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and sockets:
                continue  # a machine without IPv6
            for opened in sockets:
                opened.close()
            raise UsageError(
                f"cannot listen on {host} port {port} for {name}: {error.strerror or error}", os.EX_OSERR
            ) from error
        sock.setblocking(False)
        sockets.append(sock)
        port = port or sock.getsockname()[1]
    return sockets


def _at(name: str, make: Callable[[], Dialogue[Any]]) -> Callable[[], Dialogue[Any]]:
    """What makes dialogues that know at which door they are."""

    def made() -> Dialogue[Any]:
        dialogue = make()
        dialogue.door = name
        return dialogue

    return made


def _inside(tls: ssl.SSLContext, make: Callable[[], Dialogue[Any]]) -> Callable[[], Tunnel]:
    """What makes them inside TLS."""
    return lambda: Tunnel(make(), tls)


class Answering(Protocol):
    """A socket at which somebody answers."""

    def close(self) -> None:
        """Nobody does any more."""


async def answer(
    door: Door,
    make: Callable[[], Dialogue[Any]],
    tls: ssl.SSLContext | None = None,
    balancers: tuple[Network, ...] = (),
    crowd: Crowd | None = None,
) -> list[Answering]:
    """Let `make` answer every connection at the door; with `tls`, after a handshake, if there is room in the `crowd`.

    Who comes from the networks of `balancers` says first who is calling, by the PROXY protocol.
    """
    loop = asyncio.get_running_loop()
    servers: list[Answering] = []
    make = _at(door.name, make)
    begin = make if tls is None else _inside(tls, make)
    for sock in door.sockets:
        # A gate costs a TLS session 5 %; where only those whom we trust get to, it has nobody to count.
        has_strangers = tls is not None and crowd is not None and not crowd.trusts(str(sock.getsockname()[0]))
        if (balancers or has_strangers) and sock.family is not socket.AF_UNIX:
            servers.append(Gate(sock, Answerer(make, tls, balancers, crowd)))
            continue
        create = loop.create_unix_server if sock.family is socket.AF_UNIX else loop.create_server
        servers.append(await create(begin, sock=sock, backlog=BACKLOG))
    return servers


def _notice_the_dead(listening: socket.socket, seconds: float) -> None:
    """Connections inherit it: in silence the other end is asked whether it lives, in half of that time and then four
    times; and what we sent waits no longer for its acknowledgement (RFC 9293 §3.8.4, RFC 5482)."""
    if not seconds:
        return
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = min(seconds, LONGEST_KEEPALIVE_SECONDS)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(seconds / 2)))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(seconds / 8)))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def _written(sock: socket.socket) -> str:
    if sock.family is socket.AF_UNIX:
        return str(sock.getsockname())
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
