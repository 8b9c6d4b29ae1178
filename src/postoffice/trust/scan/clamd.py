"""clamd, ClamAV's daemon (clamd(8)), asked over a Unix socket or TCP; a connection for each question.

    zVERSION\\0                                    ClamAV 1.4.3/27500/Mon Jan  5 09:00:00 2026\\0
    zINSTREAM\\0 (length, octets)... 0             stream: OK\\0
                                                  stream: NAME FOUND\\0
                                                  INSTREAM size limit exceeded. ERROR\\0

A length is four octets, the highest first. Beyond its StreamMaxLength clamd answers at once and hangs up, while octets
are still being sent: so the answer is waited for from the beginning, and read also behind a broken pipe. TCP has no
protection; who names a host trusts the network up to it.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

from postoffice.trust.scan.answers import Answer, Clean, Found, NoAnswer, TooLarge, named

ANSWER_OCTETS: Final = 4096
"""More than an answer of clamd ever has."""

PORTION_OCTETS: Final = 64 * 1024

_VERSION: Final = re.compile(r"ClamAV [^/\s]+(/[0-9]+)?")
_PREFIX: Final = "stream: "
_LIMIT: Final = "Heuristics.Limits.Exceeded"


@dataclass(frozen=True, slots=True)
class Clamd:
    """A `Scanner` at a path, or a host and port."""

    place: str | tuple[str, int]

    @property
    def name(self) -> str:
        if isinstance(self.place, str):
            return f"clamd at {self.place}"
        host, port = self.place
        return f"clamd at {f'[{host}]' if ':' in host else host}:{port}"

    async def signatures(self, seconds: float) -> str:
        """`ClamAV 1.4.3/27500`: its own version, and the number of its daily database where it has one."""

        async def ask(sock: socket.socket) -> str:
            await _send(sock, b"zVERSION\0")
            return await _answer(sock)

        said = await self._asked(ask, seconds)
        if (found := _VERSION.match(said)) is None:
            raise NoAnswer(f"{self.name} is no clamd: it answers {named(said)!r}", is_away=True)
        return found[0]

    async def scan(self, letter: AsyncIterator[bytes], seconds: float) -> Answer:
        async def ask(sock: socket.socket) -> str:
            answering = asyncio.create_task(_answer(sock))
            try:
                await _stream(sock, letter, answering)
                return await answering
            finally:
                answering.cancel()
                await asyncio.wait([answering])  # it reads from a socket that is about to be closed
                with suppress(asyncio.CancelledError):
                    answering.exception()

        return _read(await self._asked(ask, seconds), self.name)

    async def _asked(self, ask: Callable[[socket.socket], Awaitable[str]], seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                with closing(await self._connected()) as sock:
                    return await ask(sock)
        except TimeoutError as error:
            raise NoAnswer(f"{self.name} did not answer within {seconds:g} s") from error
        except _BrokenOff as error:
            raise NoAnswer(f"{self.name} broke off without an answer") from error
        except OSError as error:
            raise NoAnswer(f"{self.name} cannot be asked: {error.strerror or error}") from error

    async def _connected(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self.place, str):
                return await _connected(socket.AF_UNIX, self.place)
            host, port = self.place
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for family, _, _, _, address in found[:-1]:
                try:
                    return await _connected(family, address)
                except OSError:
                    continue
            return await _connected(found[-1][0], found[-1][4])
        except OSError as error:
            raise NoAnswer(f"{self.name} cannot be reached: {error.strerror or error}", is_away=True) from error


class _BrokenOff(Exception):
    """It hung up before its answer was whole."""


async def _connected(family: int, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


async def _send(sock: socket.socket, octets: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, octets)


async def _stream(sock: socket.socket, letter: AsyncIterator[bytes], answering: asyncio.Task[str]) -> None:
    """All octets of a letter, or as many as it takes until the answer is there."""
    try:
        await _send(sock, b"zINSTREAM\0")
        async for octets in letter:
            for start in range(0, len(octets), PORTION_OCTETS):
                portion = octets[start : start + PORTION_OCTETS]
                await _send(sock, len(portion).to_bytes(4, "big") + portion)
                if answering.done():
                    return
        await _send(sock, bytes(4))
    except (BrokenPipeError, ConnectionResetError):
        """It has answered before the end, or it is gone: that is for the answer to say."""


async def _answer(sock: socket.socket) -> str:
    """Up to its zero octet. A reset may be told before octets that came before it."""
    loop = asyncio.get_running_loop()
    said, resets = b"", 0
    while b"\0" not in said and len(said) < ANSWER_OCTETS:
        try:
            portion = await loop.sock_recv(sock, ANSWER_OCTETS)
        except ConnectionResetError:
            resets += 1
            if resets > 1:
                raise _BrokenOff from None
            continue
        if not portion:
            raise _BrokenOff
        said += portion
    return said.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _read(said: str, who: str) -> Answer:
    """An answer to INSTREAM. Raises NoAnswer for anything that clamd does not say there."""
    if said == f"{_PREFIX}OK":
        return Clean()
    if said.startswith(_PREFIX) and said.endswith(" FOUND"):
        name = named(said.removeprefix(_PREFIX).removesuffix(" FOUND"))
        return TooLarge(name) if name.startswith(_LIMIT) else Found(name)
    if said.startswith("INSTREAM size limit exceeded"):
        return TooLarge("it takes no letter of this size")
    raise NoAnswer(f"{who} answers {named(said)!r}")
