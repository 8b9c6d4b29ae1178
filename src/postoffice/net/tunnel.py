"""TLS between a connection and who talks over it: a protocol to the connection, a transport to him.

The event loop's own TLS holds some 20 kB more for each connection, which counts where ten thousand keep still. Here
there is what OpenSSL needs, and no buffer of ours: what comes is decrypted at once, and what is said leaves at once,
record by record, so that nothing large stays behind. The other side's pace and our own limits hold as without TLS.

He who closes says so to the other side (RFC 8446 §6.1), and does not wait for it to say the same.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

RECORD_OCTETS = 16 * 1024
"""The most that a record carries (RFC 8446 §5.1); nothing is left of one that is read with so much room."""

PORTION_OCTETS = 2 * RECORD_OCTETS
"""How much is decrypted at once: OpenSSL keeps the room for it as long as the connection lasts."""

HANDSHAKE_SECONDS = 60.0

Octets = bytes | bytearray | memoryview


class Tunnel(asyncio.Protocol, asyncio.Transport):
    """One connection inside TLS. `inside` hears of it when the handshake is over, unless he `begin`s it himself.

    `on_secured` hears once how the handshake ended: with None, or with an OSError (`ssl.SSLError` is one), and then
    there is no connection any more. Raises ValueError for a `server_hostname` that is no name.
    """

    __slots__ = (
        "_handshake",
        "_has_begun",
        "_incoming",
        "_inside",
        "_is_closing",
        "_on_secured",
        "_outgoing",
        "_problem",
        "_seconds",
        "_tls",
        "_transport",
    )

    def __init__(
        self,
        inside: asyncio.Protocol,
        context: ssl.SSLContext,
        *,
        is_server: bool = True,
        server_hostname: str | None = None,
        seconds: float = HANDSHAKE_SECONDS,
        on_secured: Callable[[OSError | None], None] | None = None,
    ) -> None:
        self._inside = inside
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, is_server, server_hostname)
        self._seconds = seconds
        self._on_secured = on_secured
        self._transport: asyncio.Transport
        self._handshake: asyncio.TimerHandle | None = None
        """Its end, if it lasts too long; there while it lasts."""
        self._has_begun = self._is_closing = False
        self._problem: OSError | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Take over a connection at which `inside` was until now."""
        self._has_begun = True
        transport.set_protocol(self)
        self.connection_made(transport)

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._handshake = asyncio.get_running_loop().call_later(self._seconds, self._is_slow)
        if not self._tls.server_side:
            self._shake_hands()

    def data_received(self, octets: bytes) -> None:
        if self._handshake is None and len(octets) <= PORTION_OCTETS:
            self._take(octets)
        else:
            view = memoryview(octets)
            for at in range(0, len(view), PORTION_OCTETS):
                self._take(view[at : at + PORTION_OCTETS])

    def eof_received(self) -> bool:
        if self._handshake is not None:
            self._fail(ConnectionResetError("the other side closed the connection"))
        elif not self._is_closing:
            if self._inside.eof_received():
                return True
            self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        if self._handshake is not None:
            self._end_handshake(exc if isinstance(exc, OSError) else ConnectionResetError("the connection was lost"))
        if self._has_begun:
            self._inside.connection_lost(exc or self._problem)

    def pause_writing(self) -> None:
        if self._has_begun:
            self._inside.pause_writing()

    def resume_writing(self) -> None:
        if self._has_begun:
            self._inside.resume_writing()

    # --- what he calls who is inside

    def write(self, data: Octets) -> None:
        """Say something, unless the connection is closing. Nobody says anything before the handshake is over."""
        if self._is_closing:
            return
        if len(data) <= RECORD_OCTETS:
            self._tls.write(data)
            self._transport.write(self._outgoing.read())
            return
        view = memoryview(data)
        write, read = self._tls.write, self._outgoing.read
        records: list[bytes] = []
        at, end = 0, len(view)
        while at < end:
            at += write(view[at : at + RECORD_OCTETS])
            records.append(read())
        self._transport.writelines(records)

    def writelines(self, list_of_data: Iterable[Octets]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Say that this was all, and close when that has left."""
        if self._is_closing:
            return
        self._is_closing = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it would like to hear the same of the other side
        self._pass_on()
        self._transport.close()

    def abort(self) -> None:
        self._is_closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object` is the `ssl.SSLObject`; all else is told by the connection."""
        return self._tls if name == "ssl_object" else self._transport.get_extra_info(name, default)

    # --- how it does that

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._pass_on()
        except OSError as error:
            self._pass_on()  # the alert
            self._fail(error)
        else:
            self._pass_on()
            self._end_handshake(None)
            if not self._has_begun:
                self._has_begun = True
                self._inside.connection_made(self)

    def _is_slow(self) -> None:
        self._fail(TimeoutError(f"the TLS handshake took more than {self._seconds:.0f} seconds"))

    def _fail(self, error: OSError) -> None:
        self._is_closing = True
        self._transport.close()
        self._end_handshake(error)

    def _end_handshake(self, problem: OSError | None) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            handshake.cancel()
        on_secured, self._on_secured = self._on_secured, None
        if on_secured is not None:
            on_secured(problem)

    def _take(self, octets: Octets) -> None:
        """Hand on what is in them."""
        incoming = self._incoming
        incoming.write(octets)
        if self._handshake is not None:
            self._shake_hands()
            if self._handshake is not None or not incoming.pending:
                return
        if self._is_closing:
            return
        said = b""
        is_over = False
        try:
            while True:
                record = self._tls.read(RECORD_OCTETS)
                if not record:
                    is_over = True
                    break
                said = said + record if said else record
                if not incoming.pending:
                    break
        except ssl.SSLWantReadError:
            pass  # a part of a record, or one that is not for us
        except ssl.SSLError as error:
            self._problem = error
            self._is_closing = True  # nothing can be said any more
        if self._outgoing.pending:
            self._pass_on()
        if said:
            self._inside.data_received(said)
        if is_over:
            self.eof_received()
        elif self._problem is not None:
            self._transport.close()

    def _pass_on(self) -> None:
        """Send what TLS wants to say."""
        octets = self._outgoing.read()
        if octets:
            self._transport.write(octets)


def settle(future: asyncio.Future[Any], problem: BaseException | None, result: object = None) -> None:
    """Say how something ended, if anybody still waits: `partial(settle, future)` hears of a handshake."""
    if future.done():
        return
    if problem is None:
        future.set_result(result)
    else:
        future.set_exception(problem)
