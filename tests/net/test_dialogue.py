"""The driver: what a conversation may rely on, whatever the connection does meanwhile, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postoffice.errors import ConnectionLost, Draining, PatienceLost
from postoffice.events import collected
from postoffice.net.dialogue import FLIGHT_OCTETS, Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.protocols.lines import NEED_DATA, LineReader
from postoffice.testing.certificates import Authority

Talk = Callable[[Dialogue[LineReader]], Coroutine[Any, Any, Any]]
Run = Callable[[Coroutine[Any, Any, None]], None]


@dataclass
class Stage:
    """A server of one conversation at a time, what became of it, and a clock that only we move."""

    talk: Talk
    time: float = 0.0
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.board = Switchboard(lambda _: lambda who, octets: self.heard.append((who, octets)))
        self.board.now = lambda: self.time
        self.end: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.dialogue = self._dialogue()

    def _dialogue(self) -> Dialogue[LineReader]:
        return Dialogue(LineReader(10_000), self.talk, self.board, on_end=lambda _, problem: self._ended(problem))

    def _ended(self, problem: BaseException | None) -> None:
        if not self.end.done():
            self.end.set_result(problem)

    @asynccontextmanager
    async def open(self, room: int = 0) -> AsyncIterator[int]:
        """Listen; `room` makes the buffers of the network that small."""
        sock = socket.socket()
        if room:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.bind(("127.0.0.1", 0))
        server = await asyncio.get_running_loop().create_server(lambda: self.dialogue, sock=sock)
        try:
            yield sock.getsockname()[1]
        finally:
            self.board.close()
            server.close()
            await server.wait_closed()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    while not holds():
        await asyncio.sleep(0)


async def next_line(dialogue: Dialogue[LineReader]) -> bytes:
    while (line := dialogue.machine.take()) is NEED_DATA:
        await dialogue.more()
    assert isinstance(line, bytes)
    return line


async def echo(dialogue: Dialogue[LineReader]) -> None:
    while (line := await next_line(dialogue)) != b"quit":
        dialogue.send(line + b"\r\n")
        if dialogue.is_full:
            await dialogue.flush()
    await dialogue.flush()


def test_what_comes_while_a_verb_waits_is_there_afterwards(run: Run) -> None:
    async def main() -> None:
        verb: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waits: list[bool] = []

        async def talk(dialogue: Dialogue[LineReader]) -> None:
            first = await next_line(dialogue)
            waits.append(True)
            answer = await verb
            dialogue.send(first + answer + await next_line(dialogue) + b"\r\n")
            await dialogue.flush()

        stage = Stage(talk)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"one\r\n")
            await until(lambda: bool(waits))
            writer.write(b"two\r\n")
            await until(lambda: len(stage.dialogue.machine) > 0)
            verb.set_result(b" and ")
            assert await reader.read() == b"one and two\r\n"
            writer.close()

    run(main())


def test_a_verb_ends_though_its_connection_is_lost(run: Run) -> None:
    async def main() -> None:
        verb: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done: list[str] = []

        async def talk(dialogue: Dialogue[LineReader]) -> None:
            await next_line(dialogue)
            done.append("begun")
            await verb
            done.append("ended")
            await dialogue.more()
            done.append("never")

        stage = Stage(talk)
        async with stage.open() as port:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
            sock.sendall(b"go\r\n")
            await until(lambda: done == ["begun"])
            sock.close()
            await until(lambda: stage.dialogue._transport is None)
            assert not stage.end.done()
            verb.set_result(None)
            assert isinstance(await stage.end, ConnectionLost)
            assert done == ["begun", "ended"]
            assert len(stage.board) == 0

    run(main())


def test_patience_is_lost_only_while_the_other_side_is_to_move(run: Run) -> None:
    async def main() -> None:
        verb: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def talk(dialogue: Dialogue[LineReader]) -> None:
            dialogue.patience = 60
            await verb
            dialogue.send(b"your turn\r\n")
            try:
                await next_line(dialogue)
            except PatienceLost:
                dialogue.send(b"too late\r\n")
                raise

        stage = Stage(talk)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: len(stage.board) == 1)
            stage.time = 1000
            stage.board.sweep()
            verb.set_result(None)
            assert await reader.readline() == b"your turn\r\n"
            stage.time = 1060
            stage.board.sweep()
            assert not stage.end.done()
            stage.time = 1061
            stage.board.sweep()
            assert await reader.read() == b"too late\r\n"
            assert isinstance(await stage.end, PatienceLost)
            writer.close()

    run(main())


def test_a_peer_that_never_reads_costs_no_more_than_a_flight_and_is_cut_off(run: Run) -> None:
    async def main() -> None:
        async def talk(dialogue: Dialogue[LineReader]) -> None:
            for _ in range(10_000):
                dialogue.send(b"x" * 100_000)
                if dialogue.is_full:
                    await dialogue.flush()

        stage = Stage(talk)
        async with stage.open(room=8192) as port:
            sock = socket.create_connection(("127.0.0.1", port))
            await until(lambda: stage.dialogue.is_full)
            assert stage.dialogue._transport is not None
            assert stage.dialogue._transport.get_write_buffer_size() < 2 * FLIGHT_OCTETS
            stage.time = 61
            stage.board.sweep()
            assert isinstance(await stage.end, PatienceLost)
            await until(lambda: stage.dialogue._transport is None)
            sock.close()

    run(main())


def test_what_was_held_back_comes_when_the_peer_reads_again(run: Run) -> None:
    async def main() -> None:
        async def talk(dialogue: Dialogue[LineReader]) -> None:
            for _ in range(40):
                dialogue.send(b"x" * 50_000)
                if dialogue.is_full:
                    await dialogue.flush()

        stage = Stage(talk)
        async with stage.open(room=8192) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: stage.dialogue.is_full)
            assert len(await reader.read()) == 40 * 50_000
            assert await stage.end is None
            writer.close()

    run(main())


def test_a_line_that_drips_is_not_waited_for_for_ever(run: Run) -> None:
    async def main() -> None:
        stage = Stage(echo)
        stage.dialogue.door = "pop3"
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"whole\r\n")
            assert await reader.readline() == b"whole\r\n"
            stage.time = 50  # silence before a line does not count against it
            with collected() as events:
                for number in range(1, 100):
                    writer.write(b"x")
                    await until(lambda count=number: len(stage.dialogue.machine) == count or stage.end.done())  # type: ignore[misc]
                    stage.time += 10
                    stage.board.sweep()
                    if stage.end.done():
                        break
            assert isinstance(await stage.end, PatienceLost)
            assert stage.time == 50 + 70
            assert events[0][0] == "connection.slow"
            assert events[0][1]["because"] == "writes too slowly"
            writer.close()

    run(main())


def test_a_slow_line_at_a_fair_rate_is_waited_for(run: Run) -> None:
    async def main() -> None:
        stage = Stage(echo)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(1, 40):
                writer.write(b"x" * 200)
                await until(lambda count=number: len(stage.dialogue.machine) == 200 * count)  # type: ignore[misc]
                stage.time += 10
                stage.board.sweep()
            writer.write(b"\r\n")
            assert len(await reader.readline()) == 39 * 200 + 2
            assert not stage.end.done()
            writer.close()

    run(main())


def test_who_reads_slowly_at_a_fair_rate_gets_everything(run: Run) -> None:
    async def main() -> None:
        async def talk(dialogue: Dialogue[LineReader]) -> None:
            dialogue.send(b"x" * 3_000_000)
            await dialogue.flush()
            await dialogue.more()

        stage = Stage(talk)
        async with stage.open(room=8192) as port:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            read = 0
            while read < 3_000_000:  # each time 59 seconds and more than is fair
                for _ in range(20):
                    read += len(await asyncio.get_running_loop().sock_recv(sock, 4096))
                    if read == 3_000_000:
                        break
                stage.time += 59
                stage.board.sweep()
                assert not stage.end.done(), read
            assert stage.time > 30 * 59
            stage.time += 61
            stage.board.sweep()
            stage.time += 61
            stage.board.sweep()
            assert isinstance(await stage.end, PatienceLost)
            sock.close()

    run(main())


def test_who_has_not_read_our_reply_yet_is_not_silent(run: Run) -> None:
    """RFC 1939 §3: no autologout while we are the slow side, and the network is ours."""

    async def main() -> None:
        async def talk(dialogue: Dialogue[LineReader]) -> None:
            dialogue.send(b"x" * 60_000)
            dialogue.send(await next_line(dialogue) + b"\r\n")
            await dialogue.flush()

        stage = Stage(talk)
        async with stage.open(room=8192) as port:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await until(lambda: stage.dialogue.waits_for_peer)
            read = 0
            while read < 60_000:
                stage.time += 61
                stage.board.sweep()
                assert not stage.end.done(), read
                before = read
                while read < min(before + 15_000, 60_000):
                    read += len(await loop.sock_recv(sock, 4096))
            stage.time += 61
            stage.board.sweep()
            assert not stage.end.done()
            await loop.sock_sendall(sock, b"thanks\r\n")
            assert await stage.end is None
            sock.close()

    run(main())


def test_two_ends_that_both_send_ten_thousand_lines_do_not_wait_for_each_other(run: Run) -> None:
    async def main() -> None:
        lines = 10_000

        async def pour(dialogue: Dialogue[LineReader]) -> int:
            for _ in range(lines):
                dialogue.send(b"y" * 250 + b"\r\n")
            dialogue.send(b"quit\r\n")
            await dialogue.flush()
            for _ in range(lines):
                assert await next_line(dialogue) == b"y" * 250
            return lines

        stage = Stage(echo)
        heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def ended(count: Any, problem: BaseException | None) -> None:
            if problem is None:
                heard.set_result(count)
            else:
                heard.set_exception(problem)

        async with stage.open(room=8192) as port:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            client = Dialogue(LineReader(10_000), pour, stage.board, is_server=False, on_end=ended)
            await asyncio.get_running_loop().create_connection(lambda: client, sock=sock)
            assert await heard == lines

    run(main())


def test_draining_ends_what_stands_between_two_commands_at_once(run: Run) -> None:
    async def main() -> None:
        stage = Stage(echo)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\r\n")
            assert await reader.readline() == b"hello\r\n"
            await stage.board.drain(20)
            assert isinstance(await stage.end, Draining)
            assert await reader.read() == b""
            writer.close()

    run(main())


def test_draining_waits_for_a_verb_and_its_reply(run: Run) -> None:
    async def main() -> None:
        verb: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waits: list[bool] = []

        async def talk(dialogue: Dialogue[LineReader]) -> None:
            await next_line(dialogue)
            waits.append(True)
            await verb
            dialogue.send(b"durable\r\n")
            await next_line(dialogue)

        stage = Stage(talk)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"keep it\r\n")
            await until(lambda: bool(waits))
            draining = asyncio.ensure_future(stage.board.drain(20))
            await until(lambda: stage.board.is_draining)
            assert not stage.end.done()
            verb.set_result(None)
            await draining
            assert await reader.read() == b"durable\r\n"
            assert isinstance(await stage.end, Draining)
            writer.close()

    run(main())


def test_draining_cuts_who_is_not_done_in_time(run: Run) -> None:
    async def main() -> None:
        verb: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def talk(dialogue: Dialogue[LineReader]) -> None:
            await verb
            await dialogue.more()

        stage = Stage(talk)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: len(stage.board) == 1)
            with collected() as events:
                await stage.board.drain(0)
            assert events == [("switchboard.cut", {"conversations": 1})]
            assert await reader.read() == b""
            verb.set_result(None)
            assert isinstance(await stage.end, ConnectionLost)
            writer.close()

    run(main())


def test_whole_lines_count_though_their_sender_closed_behind_them(run: Run) -> None:
    async def main() -> None:
        stage = Stage(echo)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"one\r\ntwo\r\nthr")
            writer.write_eof()
            assert await reader.read() == b"one\r\ntwo\r\n"
            assert isinstance(await stage.end, ConnectionLost)
            assert stage.heard[-1] == ("!", b"C closes")
            writer.close()

    run(main())


def test_a_bug_ends_its_conversation_and_is_told(run: Run) -> None:
    async def main() -> None:
        async def talk(dialogue: Dialogue[LineReader]) -> None:
            await next_line(dialogue)
            raise ZeroDivisionError("a bug")

        stage = Stage(talk)
        stage.dialogue.on_end = None
        async with stage.open() as port:
            with collected() as events:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"go\r\n")
                assert await reader.read() == b""
            assert [name for name, _ in events] == ["dialogue.crashed"]
            assert "a bug" in str(events[0][1]["error"])
            assert len(stage.board) == 0
            writer.close()

    run(main())


def test_a_verb_that_is_cancelled_ends_its_conversation(run: Run) -> None:
    async def main() -> None:
        verb: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def talk(dialogue: Dialogue[LineReader]) -> None:
            await verb

        stage = Stage(talk)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: len(stage.board) == 1)
            verb.cancel()
            assert await reader.read() == b""
            assert isinstance(await stage.end, asyncio.CancelledError)
            writer.close()

    run(main())


def test_both_ends_begin_tls_and_lose_nothing_said_right_behind_it(run: Run, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server_tls = server_context(*authority.issue(["localhost"], tmp_path))
    client_tls = client_context(authority.ca_path)

    async def main() -> None:
        async def serve(dialogue: Dialogue[LineReader]) -> None:
            assert await next_line(dialogue) == b"tls"
            dialogue.send(b"go\r\n")
            await dialogue.start_tls(server_tls)
            await echo(dialogue)

        async def call(dialogue: Dialogue[LineReader]) -> list[bytes]:
            dialogue.send(b"tls\r\n")
            assert await next_line(dialogue) == b"go"
            await dialogue.start_tls(client_tls, "localhost")
            dialogue.send(b"one\r\ntwo\r\nquit\r\n")
            return [await next_line(dialogue), await next_line(dialogue)]

        stage = Stage(serve)
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with stage.open() as port:
            client = Dialogue(
                LineReader(1000),
                call,
                stage.board,
                is_server=False,
                on_end=lambda lines, problem: result.set_result(problem or lines),
            )
            await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
            assert await result == [b"one", b"two"]
            assert client.tls is not None
            marks = [octets for who, octets in stage.heard if who == "!"]
            assert marks[:2] == [b"TLS", b"TLS"]
            secret = stage.heard.index(("C", b"one\r\ntwo\r\nquit\r\n"))
            assert stage.heard.index(("!", b"TLS")) < secret
            assert await stage.end is None

    run(main())


def test_a_handshake_that_fails_ends_the_conversation(run: Run, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server_tls = server_context(*authority.issue(["localhost"], tmp_path))

    async def main() -> None:
        async def talk(dialogue: Dialogue[LineReader]) -> None:
            dialogue.send(b"go\r\n")
            await dialogue.start_tls(server_tls)
            raise AssertionError("nothing is said in clear after this")

        stage = Stage(talk)
        async with stage.open() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.readline() == b"go\r\n"
            writer.write(b"EHLO in clear\r\n" * 20)
            assert isinstance(await stage.end, ConnectionLost)
            assert len(stage.board) == 0
            writer.close()

    run(main())
