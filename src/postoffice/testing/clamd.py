"""A server that speaks clamd's language (clamd(8)) as far as it is needed: VERSION and INSTREAM, on a real socket.

It finds what its `signatures` name, octets by octets, and fails in the way that it is told to. What it was sent is in
`letters`. `version` is the number of its database; whoever changes signatures changes that, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-" + b"TEST-FILE!$H+H*"
"""The octets that scanners agreed to find; in no file as a whole, so that none finds them here."""


class Fault(Enum):
    """What it does in place of an answer to INSTREAM."""

    NONE = "none"
    HANGS = "hangs"
    NONSENSE = "nonsense"
    BREAKS_OFF = "breaks off"
    BREAKS_OFF_EARLY = "breaks off before it was sent anything"
    ERROR = "error"


@dataclass(slots=True)
class ClamdPeer:
    """`limit` is its StreamMaxLength; `may_answer` is waited for before each answer to INSTREAM."""

    signatures: dict[str, bytes] = field(default_factory=lambda: {"Test.Eicar": EICAR})
    version: int = 1
    limit: int = 25 * 1024 * 1024
    fault: Fault = Fault.NONE
    letters: list[bytes] = field(default_factory=list)
    octets: int = 0
    asked: int = 0
    most_at_once: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    _at_once: int = 0

    def __post_init__(self) -> None:
        self.may_answer.set()

    @asynccontextmanager
    async def listening(self, path: Path | None = None) -> AsyncIterator[str]:
        """On a Unix socket, or a port of loopback; gives what it is named by: `clamd:...`."""
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await self._speak(reader, writer)
            finally:
                self._at_once -= 1
                tasks.discard(task)
                writer.close()

        if path is not None:
            server = await asyncio.start_unix_server(connected, path)
            name = f"clamd:{path}"
        else:
            server = await asyncio.start_server(connected, "127.0.0.1", 0)
            name = f"clamd:127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield name
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.readuntil(b"\0"))[:-1]
        if command == b"zVERSION":
            said = b"ClamAV 1.4.3/%d/Sun Nov 29 02:00:00 2026" % self.version
            await self._say(writer, b"What?" if self.fault is Fault.NONSENSE else said)
        elif command == b"zINSTREAM":
            self.asked += 1
            await self._in_stream(reader, writer)
        else:
            await self._say(writer, b"UNKNOWN COMMAND")

    async def _in_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.BREAKS_OFF_EARLY:
            return
        if self.fault is Fault.HANGS:
            await asyncio.Event().wait()
        letter = bytearray()
        while octets := int.from_bytes(await reader.readexactly(4), "big"):
            if len(letter) + octets > self.limit:
                await self._say(writer, b"INSTREAM size limit exceeded. ERROR")
                return
            letter += await reader.readexactly(octets)
            self.octets += octets
        self.letters.append(bytes(letter))
        await self.may_answer.wait()
        match self.fault:
            case Fault.NONSENSE:
                await self._say(writer, b"250 2.0.0 Ok\r\n\x1b[2J")
            case Fault.BREAKS_OFF:
                writer.write(b"stream: O")
                await writer.drain()
            case Fault.ERROR:
                await self._say(writer, b"stream: Can't allocate memory ERROR")
            case _:
                name = next((name for name, octets in self.signatures.items() if octets in letter), "")
                await self._say(writer, f"stream: {name} FOUND".encode() if name else b"stream: OK")

    async def _say(self, writer: asyncio.StreamWriter, said: bytes) -> None:
        writer.write(said + b"\0")
        await writer.drain()
