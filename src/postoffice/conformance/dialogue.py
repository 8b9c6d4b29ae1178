"""One conversation with the server that is asked: a row is played, a maildrop is surveyed.

Every wait ends after `Server.patience` seconds. Whatever is not as it must be is a `Failed` with what was expected
and what was heard; whatever cannot be asked here is a `NotApplicable`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from postoffice.conformance.facts import Facts
from postoffice.net.tls import end_point
from postoffice.protocols.dots import unstuff
from postoffice.protocols.notation import Closes, Handshake, Passes
from postoffice.testing.matching import Mismatch, check
from postoffice.testing.raw import RawClient
from postoffice.testing.scenes import Setting
from postoffice.testing.score import Hear, Move, Say

Tls = Literal["none", "stls", "implicit"]


class Failed(Exception):
    """The server does not do what the row claims."""

    def __init__(self, expected: str, heard: str) -> None:
        super().__init__(f"expected {expected}, heard {heard}")
        self.expected = expected
        self.heard = heard


class NotApplicable(Exception):
    """The row cannot be asked here. Says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Who is asked, and the account to ask with. `trust` is for every handshake; `patience` is in seconds."""

    host: str
    port: int
    user: str
    password: str
    tls: Tls
    trust: ssl.SSLContext
    patience: float = 15.0


@dataclass(frozen=True, slots=True)
class Survey:
    """What a session shows: capabilities in clear, before login and behind it (None: no CAPA), STAT, LIST, letters."""

    greeting: str
    in_clear: tuple[str, ...] | None
    before: tuple[str, ...] | None
    after: tuple[str, ...] | None
    stat: tuple[int, int]
    listing: tuple[int, ...]
    facts: Facts
    optional: frozenset[str] = frozenset()
    """Of TOP and UIDL, what is there although nobody announces it."""

    def offers(self, need: str, *, in_clear: bool) -> bool:
        """Whether a capability with these arguments is announced before login; who has no CAPA is tried instead."""
        announced = self.in_clear if in_clear else self.before
        if announced is None:
            return need == "USER" or need in self.optional
        name, *arguments = need.split()
        lines = [line.split() for line in announced]
        return any(words[0].upper() == name and set(arguments) <= set(words[1:]) for words in lines if words)


class Wire:
    """A connection to the server, encrypted as the server wants it; `in_clear` leaves STLS to the row."""

    def __init__(self, server: Server, *, in_clear: bool = False) -> None:
        self._server = server
        self._begun: list[bytes] = []
        with self.telling("a connection"):
            tls = server.trust if server.tls == "implicit" else None
            self._client = RawClient(server.port, tls, server.patience, host=server.host)
        if server.tls == "stls" and not in_clear:
            greeting = self.line()
            self.expect("STLS", "+OK")
            self.begin_tls()
            self._begun.append(greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def telling(self, expected: str) -> Iterator[None]:
        """Whatever the network does instead is what was heard."""
        try:
            yield
        except TimeoutError as error:
            unread = f" but {self._client.unread[:200]!r}" if hasattr(self, "_client") else ""
            raise Failed(expected, f"nothing for {self._server.patience:g} s{unread}") from error
        except ssl.SSLCertVerificationError as error:
            raise NotApplicable(f"the certificate is not trusted: {error.verify_message}") from error
        except (OSError, ConnectionError) as error:
            raise Failed(expected, str(error) or type(error).__name__) from error

    def close(self) -> None:
        self._client.close()

    def say(self, octets: bytes) -> None:
        with self.telling("that it reads"):
            self._client.say(octets)

    def line(self, expected: str = "a reply") -> bytes:
        """The next line, without its CRLF."""
        if self._begun:
            return self._begun.pop()
        with self.telling(expected):
            return self._client.line()

    def block(self) -> bytes:
        """The body of a reply, in wire form, without the dot line."""
        with self.telling("lines and at last a dot"):
            return self._client.block()

    def begin_tls(self) -> None:
        with self.telling("a TLS handshake"):
            self._client.begin_tls(self._server.trust)

    @property
    def end_point(self) -> bytes:
        """What a login over this connection can be bound to (RFC 5929 §4); empty without TLS."""
        tls = self._client.tls
        return end_point(tls) if tls else b""

    def must_close(self) -> None:
        """Nothing more is said, and the connection is closed."""
        with self.telling("that the server closes"):
            rest = self._client.rest()
        if rest:
            raise Failed("nothing more", _shown([rest]))

    def ask(self, command: str) -> str:
        """The first line of the reply."""
        self.say(command.encode() + b"\r\n")
        return self.line(f"a reply to {command.partition(' ')[0]}").decode("latin-1")

    def expect(self, command: str, indicator: str) -> str:
        heard = self.ask(command)
        if not heard.startswith(indicator):
            raise Failed(f"{indicator} to {command if 'PASS' not in command else 'PASS'}", heard)
        return heard

    def log_in(self, *, utf8: bool = False) -> None:
        if utf8:
            self.expect("UTF8", "+OK")
        self.expect(f"USER {self._server.user}", "+OK")
        self.expect(f"PASS {self._server.password}", "+OK")

    def leave(self) -> None:
        """QUIT, and wait until the server has closed, so that it holds no lock any more."""
        self.expect("QUIT", "+OK")
        self.must_close()

    def capabilities(self) -> tuple[str, ...] | None:
        if not self.ask("CAPA").startswith("+OK"):
            return None
        return tuple(self.block().decode("latin-1").splitlines())

    # --- rows

    def play(self, moves: Sequence[Move], setting: Setting) -> None:
        for move in moves:
            match move:
                case Say():
                    self.say(move.octets)
                case Hear():
                    self._hear(move, setting)
                case Handshake():
                    self.begin_tls()
                case Closes("S"):
                    self.must_close()
                case Closes():
                    self.close()
                case Passes(seconds):
                    raise NotApplicable(f"takes {seconds:g} s")

    def _hear(self, hear: Hear, setting: Setting) -> None:
        lines = [self.line(hear.first) + b"\r\n"]
        if hear.has_body and lines[0].startswith(b"+OK"):
            lines += self.block().splitlines(keepends=True)
        try:
            check(hear, lines, setting, facts_end=False)
        except Mismatch as mismatch:
            raise Failed(_expected(hear), _shown(lines)) from mismatch


def survey(server: Server, *, utf8: bool = False) -> Survey:
    """Log in, look at everything, and leave everything as it is. With `utf8` in the mode of RFC 6856."""
    in_clear = None
    if server.tls == "stls":
        with Wire(server, in_clear=True) as wire:
            wire.line("a greeting")
            in_clear = wire.capabilities()
            wire.leave()
    with Wire(server) as wire:
        greeting = wire.line("a greeting").decode("latin-1")
        before = wire.capabilities()
        wire.log_in(utf8=utf8)
        after = wire.capabilities()
        _, count, octets, *_ = wire.expect("STAT", "+OK").split()
        wire.expect("LIST", "+OK")
        listing = tuple(int(line.split()[1]) for line in wire.block().splitlines())
        letters = []
        for number in range(1, int(count) + 1):
            wire.expect(f"RETR {number}", "+OK")
            letters.append(unstuff(wire.block()))
        unique_ids: tuple[str, ...] = ()
        optional = set()
        if wire.ask("UIDL").startswith("+OK"):
            unique_ids = tuple(line.split()[1] for line in wire.block().decode("latin-1").splitlines())
            optional.add("UIDL")
        if letters and wire.ask("TOP 1 0").startswith("+OK"):
            wire.block()
            optional.add("TOP")
        wire.leave()
    facts = Facts(server.user, server.password, tuple(letters), unique_ids)
    seen = (int(count), int(octets))
    clear = before if server.tls == "none" else in_clear
    return Survey(greeting, clear, before, after, seen, listing, facts, frozenset(optional))


def _expected(hear: Hear) -> str:
    if not hear.has_body:
        return hear.first
    return _shown([hear.first.encode() + b"\r\n", *hear.body_octets.splitlines(keepends=True)])


def _shown(lines: Sequence[bytes]) -> str:
    """As much of some lines as a person wants to see."""
    text = b"".join(lines).decode("latin-1").replace("\r\n", " / ").removesuffix(" / ")
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(b''.join(lines))} octets)"
