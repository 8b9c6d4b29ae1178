"""The load of the `logins` rows: many sessions that differ from each other in nothing but how they log in.

    python -m bench.logins logins --port P --how PASS|SCRAM-SHA-256 --connections C --seconds S --accounts N ...

A session is CAPA, the login, STAT, UIDL, QUIT, as in `bench/load.c`, whose report this prints too. Python is quick
enough, because a login costs the server more than us: what SCRAM derives from the password (RFC 5802 §3) is reckoned
once for each account and kept, as good clients do.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import sys
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import uvloop


class Refused(Exception):
    """A reply that is not the expected one."""


@dataclass(slots=True)
class Tally:
    """What came of all sessions."""

    counted: int = 0
    octets: int = 0
    latencies: list[float] = field(default_factory=list)


@cache
def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """ClientKey and StoredKey (RFC 5802 §3), by SHA-256."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return client_key, hashlib.sha256(client_key).digest()


class Session:
    """One connection from greeting to close."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally) -> None:
        self._reader = reader
        self._writer = writer
        self._tally = tally

    async def line(self, indicator: bytes) -> bytes:
        line = await self._reader.readline()
        self._tally.octets += len(line)
        if not line.startswith(indicator):
            raise Refused(line.decode("latin-1").strip() or "the server closed")
        return line

    async def ask(self, command: str, indicator: bytes = b"+OK") -> bytes:
        self._writer.write(f"{command}\r\n".encode())
        return await self.line(indicator)

    async def listing(self, command: str) -> None:
        await self.ask(command)
        while await self.line(b"") != b".\r\n":
            pass

    async def log_in(self, how: str, user: str, password: str) -> None:
        if how == "PASS":
            await self.ask(f"USER {user}")
            await self.ask(f"PASS {password}")
            return
        bare = f"n={user},r=a-nonce-of-the-load"
        encoded = b64encode(f"n,,{bare}".encode()).decode()
        first = b64decode((await self.ask(f"AUTH {how} {encoded}", b"+ "))[2:]).decode()
        nonce, salt, count = (part[2:] for part in first.split(","))
        client_key, stored_key = _keys(password, b64decode(salt), int(count))
        signed = f"{bare},{first},c=biws,r={nonce}".encode()
        signature = hmac.digest(stored_key, signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        final = f"c=biws,r={nonce},p={b64encode(proof).decode()}"
        await self.ask(b64encode(final.encode()).decode(), b"+ ")
        await self.ask("")

    async def run(self, how: str, user: str, password: str) -> None:
        await self.line(b"+OK")
        await self.listing("CAPA")
        await self.log_in(how, user, password)
        stat = await self.ask("STAT")
        self._tally.counted += int(stat.split()[1])
        await self.listing("UIDL")
        await self.ask("QUIT")
        if await self._reader.read():
            raise Refused("the server says more after QUIT")


async def _load(options: argparse.Namespace) -> Tally:
    """Sessions until the time is over; no account is in two at once."""
    tally = Tally()
    idle = deque(f"user{index}@{options.domain}" for index in range(options.accounts))
    deadline = time.monotonic() + options.seconds

    async def client() -> None:
        is_first = True
        while is_first or time.monotonic() < deadline:
            is_first = False
            user, began = idle.popleft(), time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", options.port)
            try:
                await Session(reader, writer, tally).run(options.how, user, options.password)
            finally:
                writer.close()
            tally.latencies.append(time.monotonic() - began)
            idle.append(user)

    async with asyncio.TaskGroup() as group:
        for _ in range(options.connections):
            group.create_task(client())
    return tally


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.logins")
    parser.add_argument("mode", choices=["logins"])
    parser.add_argument("--how", choices=["PASS", "SCRAM-SHA-256"], default="PASS")
    for name in ("port", "connections", "accounts", "seed"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--password", required=True)
    options = parser.parse_args(words)
    began, cpu = time.monotonic(), time.process_time()
    try:
        tally = uvloop.run(_load(options))
    except ExceptionGroup as failures:
        print(json.dumps({"mode": "logins", "errors": 1, "error": str(failures.exceptions[0])}))
        return 1
    seconds, latencies = time.monotonic() - began, sorted(tally.latencies)
    facts = {
        "operations": len(latencies),
        "sessions": len(latencies),
        "seconds": seconds,
        "octets": tally.octets,
        "counted": tally.counted,
        "session_octets": 0,
        "checksum": "",
        "generator_cpu_seconds": time.process_time() - cpu,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
    }
    print(json.dumps({"mode": "logins", **facts}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
