"""The metrics door: as much HTTP as a reader of metrics needs, `GET /metrics`, one answer a connection (RFC 9112).

It is no door for mail: nobody logs in, nothing is changed by it, and it knows no letters and no names. It is on
loopback unless the settings say otherwise, whatever the addresses of the other doors.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from postoffice.errors import PostofficeError

METRICS_PORT = 9110
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_OCTETS = 8192
REQUEST_SECONDS = 5.0
CLOSING_SECONDS = 5.0
READERS = 16
"""How many a process answers at once; who comes then is sent away."""

Read = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """`addresses` is where the door is: what it shows is no secret, but tells much about an office."""

    addresses: tuple[str, ...] = ("127.0.0.1", "::1")


async def answer_readers(
    sockets: Sequence[socket.socket], read: Read, request_seconds: float = REQUEST_SECONDS
) -> list[asyncio.Server]:
    """Answer whoever connects there with what `read` gives, until the servers are closed."""
    inside = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside
        inside += 1
        try:
            if inside <= READERS:
                await _answer_one(reader, writer, read, request_seconds)
        finally:
            inside -= 1
            writer.close()

    return [await asyncio.start_server(answer, sock=sock, limit=REQUEST_OCTETS) for sock in sockets]


async def _answer_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: Read, request_seconds: float
) -> None:
    try:
        response = await _response(reader, read, request_seconds)
        async with asyncio.timeout(CLOSING_SECONDS):
            writer.write(response)
            await writer.drain()
            writer.write_eof()
            # To close on one who still sends would take our answer from him (RFC 9112 §9.6).
            while await reader.read(REQUEST_OCTETS):
                pass
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        pass  # who is gone needs no answer


async def _response(reader: asyncio.StreamReader, read: Read, request_seconds: float) -> bytes:
    try:
        async with asyncio.timeout(request_seconds):
            request = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        return _written("408 Request Timeout", "too slow\n")
    except asyncio.LimitOverrunError:
        return _written("431 Request Header Fields Too Large", "too much\n")
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return _written("405 Method Not Allowed", "only GET\n", "Allow: GET, HEAD\r\n")
    if path != b"/metrics":
        return _written("404 Not Found", "see /metrics\n")
    try:
        text = await read()
    except PostofficeError as error:
        return _written("503 Service Unavailable", f"{error}\n")
    whole = _written("200 OK", text)
    return whole if method == b"GET" else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _written(status: str, text: str, fields: str = "") -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n{fields}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
