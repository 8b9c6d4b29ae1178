"""A long way to a server: what is sent through here arrives so many milliseconds later, in either direction.

    python -m bench.relay PORT MILLISECONDS       prints `ready PORT`, and listens there

Only the time is added: any number of octets may be on the way, so who asks ahead is not held up by who asks.
"""

from __future__ import annotations

import asyncio
import sys

READ_OCTETS = 1 << 18


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """One direction, to its end."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        while octets := await reader.read(READ_OCTETS):
            on_the_way.put_nowait((loop.time() + seconds, octets))
        on_the_way.put_nowait((loop.time() + seconds, b""))

    async def give() -> None:
        while True:
            due, octets = await on_the_way.get()
            await asyncio.sleep(due - loop.time())
            if not octets:
                writer.write_eof()
                return
            writer.write(octets)
            await writer.drain()

    await asyncio.gather(take(), give())


async def relay(port: int, seconds: float) -> None:
    """Until somebody ends us."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(carry(reader, there_writer, seconds), carry(there_reader, writer, seconds))
        except OSError:
            pass  # one end has left, and the other one hears of it
        finally:
            there_writer.close()
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), float(sys.argv[2]) / 1000))
