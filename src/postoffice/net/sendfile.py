"""Octets that the kernel sends from a file by itself, uncopied by us (sendfile(2)).

They go to the socket beside the connection's transport, so nothing may wait in that one: it is told to call any octet
that waits too many for as long. What the socket has no room for is left to the transport, as anything else is, and
that tells when it has left.
"""

from __future__ import annotations

import asyncio
import errno
import os

from postoffice.errors import ConnectionLost


class Outlet:
    """The socket of a connection in clear, while a file is sent. `close` leaves the transport as it was."""

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket").fileno()
        transport.set_write_buffer_limits(0)

    def send(self, descriptor: int, at: int, octets: int) -> int:
        """Send what there is room for, from there on, perhaps nothing; gives how many octets that were.

        A file that cannot be read is an `OSError`, a connection that is gone a `ConnectionLost`.
        """
        if self._transport.is_closing():  # its number may be another connection's soon
            raise ConnectionLost("the connection was lost while sending")
        if self._transport.get_write_buffer_size():
            return 0
        try:
            return os.sendfile(self._socket, descriptor, at, octets)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            raise ConnectionLost(f"the connection was lost: {error.strerror}") from error

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits()
