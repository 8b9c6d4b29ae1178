"""A page from a web server that we do not know: by HTTPS and nothing else, and never more than a little of it.

Names are looked up by the resolver that is given. Whoever sends us elsewhere is followed twice, if it is to the usual
port of another name; how long all of it may take is one time.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import ssl
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from postoffice.errors import Refusal
from postoffice.message.address import parse_domain
from postoffice.net.dns import Resolver

PORT: Final = 443
PAGE_OCTETS: Final = 256 * 1024
PATIENCE_SECONDS: Final = 15.0
_HOPS: Final = 2


@dataclass(frozen=True, slots=True)
class Web:
    """How pages are got: who is asked for names, whom TLS believes, and at which port servers listen."""

    resolver: Resolver
    tls: ssl.SSLContext
    port: int = PORT

    async def page(self, url: str) -> bytes | None:
        """What is there; None if there is nothing, for whatever reason."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for _ in range(_HOPS + 1):
                    status, where, body = await self._get(url)
                    if status == http.client.OK:
                        return body if len(body) <= PAGE_OCTETS else None
                    if not where or status not in (301, 302, 303, 307, 308):
                        return None
                    url = urllib.parse.urljoin(url, where)
        except (OSError, ValueError, Refusal, http.client.HTTPException):
            pass  # TimeoutError and ssl.SSLError are OSErrors
        return None

    async def _get(self, url: str) -> tuple[int, str | None, bytes]:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" or parts.port or not parts.hostname or parts.hostname.startswith("["):
            raise ValueError("not by https, or not at the usual port")
        host = parse_domain(parts.hostname)
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        if not target.isascii() or any(character <= " " for character in target):
            raise ValueError("a target that does not fit into a line")
        for address in await self.resolver.addresses(host):
            try:
                return _parsed(await self._exchange(address, host, target))
            except OSError:
                continue
        raise OSError(f"{host} does not answer")

    async def _exchange(self, address: str, host: str, target: str) -> bytes:
        reader, writer = await asyncio.open_connection(address, self.port, ssl=self.tls, server_hostname=host)
        try:
            lines = (f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", "Accept: text/xml, */*")
            writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
            octets = bytearray()
            while len(octets) <= 2 * PAGE_OCTETS and (more := await reader.read(65536)):
                octets += more
            return bytes(octets)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


def _parsed(octets: bytes) -> tuple[int, str | None, bytes]:
    response = http.client.HTTPResponse(cast(socket.socket, _Heard(octets)))
    response.begin()
    return response.status, response.headers.get("Location"), response.read(PAGE_OCTETS + 1)


class _Heard:
    """What was heard, as that part of a socket which the standard library reads an answer from."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._octets)
