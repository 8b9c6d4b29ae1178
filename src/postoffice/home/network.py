"""When this machine gets an address: a sign that what could not be reached may be reachable now (rtnetlink(7)).

The kernel tells everybody who asks, without privileges and without a service in between.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

RTM_NEWADDR: Final = 20
RTMGRP_IPV4_IFADDR: Final = 0x10
RTMGRP_IPV6_IFADDR: Final = 0x100

_HEADER: Final = struct.Struct("=IHHII")
"""`struct nlmsghdr`: length, type, flags, sequence, port."""


@contextmanager
def address_watch(came: Callable[[], None]) -> Iterator[None]:
    """`came` is called, in the running loop, whenever there is a new address. Where nobody tells, it is not called."""
    loop = asyncio.get_running_loop()
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except (OSError, AttributeError):
        yield
        return
    with netlink:
        netlink.setblocking(False)
        netlink.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))

        def look() -> None:
            try:
                octets = netlink.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                came()  # more was told than there was room for (ENOBUFS)
                return
            if has_new_address(octets):
                came()

        loop.add_reader(netlink, look)
        try:
            yield
        finally:
            loop.remove_reader(netlink)


def has_new_address(octets: bytes) -> bool:
    """Whether one of the messages in a datagram of rtnetlink tells of one."""
    at = 0
    while at + _HEADER.size <= len(octets):
        length, kind, *_ = _HEADER.unpack_from(octets, at)
        if kind == RTM_NEWADDR:
            return True
        at += max((length + 3) & ~3, _HEADER.size)
    return False
