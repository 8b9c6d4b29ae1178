"""A small DNS of our own: a zone in a dictionary, served on loopback over UDP and TCP.

    async with FakeDNS({"b.example": {"MX": ["10 mx.b.example."]}, "mx.b.example": {"A": ["127.0.0.1"]}}) as dns:
        Resolver([dns.address])

A name that is not in the zone does not exist (NXDOMAIN), unless a longer one is. Instead of records a name may have
a response code (`"SERVFAIL"`), or `SILENT`: then nobody answers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SILENT = "SILENT"

Records = Mapping[str, Sequence[str]] | str
"""Record type to presentations as in a zone file (names in full, with the final dot); or how the name fails."""


class FakeDNS:
    """Serves while it is entered. `zone` may be changed at any time; `questions` are (name, type), as they came."""

    def __init__(self, zone: Mapping[str, Records], ttl: int = 60) -> None:
        self.zone: dict[str, Records] = dict(zone)
        self.ttl = ttl
        self.questions: list[tuple[str, str]] = []
        self.address = ("127.0.0.1", 0)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        udp, tcp = _two_sockets()
        self.address = udp.getsockname()
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            for client in self._clients:
                client.close()
            await self._tcp.wait_closed()

    def reply(self, question: bytes, limit: int) -> bytes | None:
        """The answer, None to say nothing. One that does not fit comes empty and says so (RFC 1035 §4.2.1)."""
        try:
            query = dns.message.from_wire(question)
        except dns.exception.DNSException:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        for asked in query.question:
            name = str(asked.name).rstrip(".").lower()
            self.questions.append((name, dns.rdatatype.to_text(asked.rdtype)))
            if self.zone.get(name) == SILENT:
                return None
            self._answer(response, name, asked.rdtype)
        try:
            return response.to_wire(max_size=max(limit, query.payload))
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _answer(self, response: dns.message.Message, name: str, kind: dns.rdatatype.RdataType) -> None:
        records = self.zone.get(name)
        if isinstance(records, str):
            response.set_rcode(dns.rcode.from_text(records))
        elif records is None:
            if not any(known.endswith("." + name) for known in self.zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            owner = dns.name.from_text(name)
            for text in (dns.rdatatype.to_text(kind), "CNAME"):
                if records.get(text):
                    response.answer.append(dns.rrset.from_text_list(owner, self.ttl, "IN", text, records[text]))
                    break

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Messages over TCP, each behind its length (RFC 1035 §4.2.2)."""
        self._clients.add(writer)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.reply(await reader.readexactly(size), 65535)
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDNS) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.reply(data, 512)
        if reply is not None:
            self._transport.sendto(reply, addr)


def _two_sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket with one port number; the second may be taken, then with another one."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
            continue
        udp.setblocking(False)
        tcp.setblocking(False)
        return udp, tcp
