"""Plays a transcript: against our real doors, against our client machines, and with both coupled.

    run_as_server    the C: lines go to a door over a real socket, at once, octet by octet or pipelined;
                     what it replies must match the S: lines
    run_as_client    every C: line must come out of the client machine, every S: line must be understood by it
    run_as_pair      the client machine talks to the door, and hears what the transcript says

What must match is said in `matching`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from postoffice.access.pop3 import Pop3Door, Pop3Settings
from postoffice.accounts.login import Login, LoginSettings
from postoffice.accounts.visits import VisitBook
from postoffice.errors import LocalProtocolError
from postoffice.net.dialogue import Tracer
from postoffice.net.pace import octets_under_way
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.notation import Closes, Handshake, Passes, Recorder
from postoffice.protocols.pop3 import client as pop3
from postoffice.protocols.pop3.commands import Command as Pop3Command
from postoffice.protocols.pop3.replies import Challenge as Pop3Challenge
from postoffice.protocols.smtp import client as smtp
from postoffice.protocols.smtp.commands import Command as SmtpCommand
from postoffice.protocols.smtp.lmtp import LmtpClient
from postoffice.protocols.smtp.replies import Challenge as SmtpChallenge
from postoffice.store.base import Store
from postoffice.testing.certificates import Authority
from postoffice.testing.matching import Mismatch, check
from postoffice.testing.scenes import Setting, count_letters, lay_out
from postoffice.testing.score import Hear, Move, Say, Score, in_groups, read_score
from postoffice.transfer.door import SmtpDoor, SmtpSettings
from postoffice.transfer.intake import Intake, IntakeSettings
from postoffice.transfer.lmtp import LmtpDoor, LmtpPolicy
from postoffice.transfer.mx import MxPolicy
from postoffice.transfer.submission import SubmissionPolicy

PATIENCE_SECONDS = 30.0
"""How long a run may take before it counts as stuck."""

Trace = Callable[[str], None]

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


async def run_as_server(
    text: str,
    store: Store,
    *,
    octet_by_octet: bool = False,
    pipelined: bool = False,
    trace: Trace | None = None,
) -> None:
    """Play the client of a transcript against the real door, over `store`, which is new and empty.

    `trace` hears the conversation as the door records it: lines of a transcript again.
    """
    score = read_score(text)
    moves = in_groups(score.moves) if pipelined else score.moves
    async with asyncio.timeout(PATIENCE_SECONDS), _opened(score.setting, store, trace) as wire:
        for index, move in enumerate(moves):
            if isinstance(move, Say):
                follows = moves[index + 1] if index + 1 < len(moves) else None
                wire.say(move.octets)
                if octet_by_octet:
                    await wire.drip()
                elif not (pipelined and isinstance(follows, Say)):
                    await wire.flush()
            elif isinstance(move, Hear):
                check(move, await wire.reply(score, move), score.setting)
            else:
                await wire.happen(move)
        await wire.end()
    await _check_finally(score.setting, store)


def run_as_client(text: str) -> None:
    """Play the server of a transcript against the client machine."""
    score = read_score(text)
    player = _ClientPlayer(score)
    for move in score.moves:
        if isinstance(move, Say):
            player.say(move)
        elif isinstance(move, Hear):
            if player.is_skipped(move):
                continue
            player.receive(move.octets)
            if not player.understands(move):
                raise Mismatch(f"line {move.lines[0].number}: the client waits for more than the reply")
        elif isinstance(move, Handshake):
            player.begin_tls()
    player.end()


async def run_as_pair(text: str, store: Store, *, octet_by_octet: bool = False) -> None:
    """Couple the client machine and the real door, and hear that they say what the transcript says."""
    score = read_score(text)
    player = _ClientPlayer(score)
    async with asyncio.timeout(PATIENCE_SECONDS), _opened(score.setting, store) as wire:
        for move in score.moves:
            if isinstance(move, Say):
                wire.say(player.say(move))
                await (wire.drip() if octet_by_octet else wire.flush())
            elif isinstance(move, Hear):
                while not player.is_skipped(move) and not player.understands(move, is_ours=True):
                    player.receive(await wire.some(1 if octet_by_octet else 4096))
                player.forget_skipped(move)
            else:
                if isinstance(move, Handshake):
                    player.begin_tls()
                await wire.happen(move)
        player.end()


# --- the server's side: a door of its own for every run


class _Wire:
    """A connection to a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, board: Switchboard) -> None:
        self._reader = reader
        self._writer = writer
        self._board = board
        self._unsent = b""
        self._closed = False

    def say(self, octets: bytes) -> None:
        self._unsent += octets

    async def flush(self) -> None:
        octets, self._unsent = self._unsent, b""
        self._writer.write(octets)
        await self._writer.drain()

    async def drip(self) -> None:
        """Send one octet after the other, each read by the other side before the next comes."""
        octets, self._unsent = self._unsent, b""
        for index in range(len(octets)):
            self._writer.write(octets[index : index + 1])
            for _ in range(2):
                await asyncio.sleep(0)

    async def some(self, most: int) -> bytes:
        octets = await self._reader.read(most)
        if not octets:
            raise Mismatch("the server closed the connection in the middle")
        return octets

    async def line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise Mismatch(f"the server closed the connection behind {line!r}")
        return line

    async def reply(self, score: Score, hear: Hear) -> list[bytes]:
        """The lines of the next reply, a body without its dot line among them."""
        lines = [await self.line()]
        if not score.is_pop3:
            while lines[-1][3:4] == b"-":
                lines.append(await self.line())
        elif hear.has_body and lines[0].startswith(b"+OK"):
            while (line := await self.line()) != b".\r\n":
                lines.append(line)
        return lines

    async def happen(self, move: Move) -> None:
        await self.flush()
        match move:
            case Handshake():
                await self._writer.start_tls(_contexts()[1], server_hostname="localhost")
            case Passes(seconds):
                for dialogue in tuple(self._board._dialogues):
                    transport = dialogue._transport
                    while transport and octets_under_way(transport):  # noqa: ASYNC110 - what was said arrives first
                        await asyncio.sleep(0)
                now = self._board.now() + seconds
                self._board.now = lambda: now
                self._board.sweep()
            case Closes("S"):
                self._closed = True
                await self._must_end()
            case Closes():
                await self.end()

    async def end(self) -> None:
        """We close; nothing may have been said that the transcript does not know."""
        if not self._closed and self._writer.can_write_eof():  # inside TLS nobody can close by half
            self._writer.write_eof()
            await self._must_end()
        self._closed = True

    async def _must_end(self) -> None:
        try:
            rest = await self._reader.read()
        except (ConnectionResetError, ssl.SSLError):
            return  # closed with octets of ours unread
        if rest:
            raise Mismatch(f"the server says what the transcript does not: {rest[:200]!r}")


@asynccontextmanager
async def _opened(setting: Setting, store: Store, trace: Trace | None = None) -> AsyncIterator[_Wire]:
    """A door as the setting wants it, and a connection to it; at the end all is closed and over."""
    await lay_out(setting, store)
    board = Switchboard(None if trace is None else lambda _: _recording(trace))
    login = Login(store.directory, LoginSettings(() if setting.is_private else _LOOPBACK))
    door = _door(setting, store, login, board)
    server_tls, client_tls = _contexts() if setting.is_encrypted else (None, None)
    server = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0, ssl=server_tls)
    try:
        host, port = server.sockets[0].getsockname()
        name = "localhost" if client_tls else None
        reader, writer = await asyncio.open_connection(host, port, ssl=client_tls, server_hostname=name)
        try:
            yield _Wire(reader, writer, board)
        finally:
            writer.transport.abort()
            while len(board):  # noqa: ASYNC110 - the door has to notice by itself that we are gone
                await asyncio.sleep(0)
    finally:
        server.close()
        board.close()
        await server.wait_closed()
        login.close()


def _recording(trace: Trace) -> Tracer:
    recorder = Recorder()

    def hear(who: str, octets: bytes) -> None:
        for line in recorder.hear(who, octets):
            trace(line)

    return hear


def _door(setting: Setting, store: Store, login: Login, board: Switchboard) -> Any:
    tls = _contexts()[0] if setting.has_certificate or setting.is_encrypted else None
    if setting.door == "pop3":
        settings = Pop3Settings(lock_wait_seconds=0.1, apop=bool(setting.stamp))
        stamp = setting.stamp
        visits = VisitBook(store.visits)
        return Pop3Door(
            setting.host, store.office, login, board, visits, tls=tls, settings=settings, make_stamp=lambda: stamp
        )
    limits = IntakeSettings(setting.limit, 1 << 62 if setting.is_full else 0)
    intake = Intake(setting.host, store.office, store.directory, limits)
    smtp_settings = SmtpSettings(max_recipients=setting.recipients)
    if setting.door == "lmtp":
        return LmtpDoor(LmtpPolicy(), intake, login, board, tls=tls, settings=smtp_settings)
    policy = MxPolicy() if setting.door == "mx" else SubmissionPolicy(store.directory)
    return SmtpDoor(policy, intake, login, board, tls=tls, settings=smtp_settings)


@cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the door shows, and what the client trusts."""
    authority = Authority()
    with tempfile.TemporaryDirectory() as folder:
        server = server_context(*authority.issue(["localhost", "127.0.0.1"], Path(folder)))
    return server, client_context(authority.ca_path)


async def _check_finally(setting: Setting, store: Store) -> None:
    for name, expected in setting.finally_.items():
        found = await count_letters(store, name)
        if found != expected:
            raise Mismatch(f"in the end {name} has {found} letters and not {expected}")


# --- the client's side


class _ClientPlayer:
    """The client machine, led by a score. What no client of ours would say is left out, with its reply."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._pop3 = pop3.Pop3Client() if score.is_pop3 else None
        make = LmtpClient if score.setting.door == "lmtp" else smtp.SmtpClient
        self._smtp = None if score.is_pop3 else make(is_encrypted=score.setting.is_encrypted)
        self._skipped: list[object] = []
        self._body: bytes | None = None

    @property
    def _machine(self) -> pop3.Pop3Client | smtp.SmtpClient:
        machine = self._pop3 or self._smtp
        assert machine is not None
        return machine

    def say(self, move: Say) -> bytes:
        """The octets of the machine for what the transcript says; none if it cannot be said."""
        if move.kind == "response":
            octets = self._machine.respond(move.octets.removesuffix(b"\r\n"))
        elif move.kind == "content":
            assert self._smtp is not None
            octets = self._smtp.data(move.octets[:-3]) + self._smtp.end_of_data()
        else:
            octets = b"".join(self._command(command, move) for command in move.commands)
            if not octets:
                return b""
        if _folded(octets) != _folded(move.octets):
            raise Mismatch(f"line {move.number}: the client says {octets!r} and not {move.octets!r}")
        return octets

    def _command(self, command: object, move: Say) -> bytes:
        try:
            if self._pop3 is not None and isinstance(command, Pop3Command):
                return self._pop3.send(command)
            if self._smtp is not None and isinstance(command, SmtpCommand):
                return self._smtp.send(command)
        except LocalProtocolError:
            pass
        self._skipped.append(command)
        return b""

    def is_skipped(self, hear: Hear) -> bool:
        """Whether this replies to what was left out, which the server must refuse then."""
        if not any(command is hear.command for command in self._skipped):
            return False
        if hear.first[:1] not in "-45":
            raise Mismatch(f"line {hear.lines[0].number}: granted, but the client cannot ask for it")
        return True

    def forget_skipped(self, hear: Hear) -> None:
        self._skipped = [command for command in self._skipped if command is not hear.command]

    def receive(self, octets: bytes) -> None:
        self._machine.receive(octets)

    def begin_tls(self) -> None:
        self._machine.begin_tls()

    def understands(self, hear: Hear, *, is_ours: bool = False) -> bool:
        """Take events up to the end of a reply; False if it is not all here yet."""
        while (event := self._machine.next_event()) is not NEED_DATA:
            if isinstance(event, pop3.Body):
                self._body = (self._body or b"") + event.wire
                continue
            if isinstance(event, pop3.EndOfBody):
                body, self._body = self._body or b"", None
                self._check_body(hear, body, is_ours)
                return True
            self._check_event(hear, event, is_ours)
            if not (isinstance(event, pop3.Answer) and event.has_body):
                return True
        return False

    def _check_event(self, hear: Hear, event: Any, is_ours: bool) -> None:
        where = f"line {hear.lines[0].number}: {hear.first}: the client hears {event}"
        wanted = self._score.setting.deviations.get(hear.keyword) if is_ours else None
        wanted = wanted or hear.first[:3]
        if hear.is_challenge:
            matches = isinstance(event, Pop3Challenge | SmtpChallenge)
        elif isinstance(event, pop3.Greeting | pop3.Answer):
            matches = event.reply.is_ok == wanted.startswith("+")
        else:
            matches = not isinstance(event, SmtpChallenge) and str(event.reply.code) == wanted
            matches = matches and (is_ours or len(event.reply.lines) == len(hear.lines))
        if isinstance(event, pop3.Answer | smtp.Answer):
            matches = matches and event.command == hear.command
        if not matches:
            raise Mismatch(where)

    def _check_body(self, hear: Hear, body: bytes, is_ours: bool) -> None:
        is_free = is_ours and hear.keyword == "CAPA" and not self._score.setting.is_exact
        matches = hear.body_pattern.fullmatch(body) if is_ours else body == hear.body_octets
        if not (matches or is_free):
            raise Mismatch(f"line {hear.lines[0].number}: the client hears the body {body[:2000]!r}")

    def end(self) -> None:
        if self._machine.pending and self._machine.next_event() is NEED_DATA and self._is_open:
            raise Mismatch(f"{self._machine.pending} commands have no reply in the transcript")

    @property
    def _is_open(self) -> bool:
        return self._machine.state.name != "CLOSED"


def _folded(octets: bytes) -> bytes:
    """Without case and blanks, in which a transcript may differ from our client."""
    return b"".join(octets.split()).upper()
