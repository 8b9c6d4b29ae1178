"""The SMTP machine of the side that brings letters: commands and content to octets, octets to events.

Commands may be sent in groups before they are answered where the server offers PIPELINING (RFC 2920); replies belong
to commands in turn. Some commands end a group, by the table, and nothing may be sent behind them until they are
answered. The final dot does not: the next MAIL, or QUIT, may follow it at once.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from postoffice.errors import LocalProtocolError, RemoteProtocolError
from postoffice.protocols.lines import NEED_DATA, LineReader, Oddity
from postoffice.protocols.smtp.commands import END_OF_DATA, Command, format_command
from postoffice.protocols.smtp.replies import Challenge, Reply, ReplyReader
from postoffice.protocols.smtp.table import CLOSING, RULES, Keyword, State

_LINE_OCTETS = 8 * 1024
"""More than RFC 5321 §4.5.3.1.5 allows: servers in the field write longer lines."""

_HELLO = frozenset({Keyword.EHLO, Keyword.HELO, Keyword.LHLO})


class Greeting(NamedTuple):
    """The server's first reply: 220, or 554 where it will have nothing to do with us (RFC 5321 §3.1)."""

    reply: Reply


class Answer(NamedTuple):
    """The reply to `command`; the one to the content names `END_OF_DATA`."""

    command: Command
    reply: Reply


class Farewell(NamedTuple):
    """421 that answers nothing: the server closes (RFC 5321 §3.8)."""

    reply: Reply


Event = Greeting | Answer | Challenge | Farewell | Oddity


class SmtpClient:
    """One session. `state` counts what was confirmed; commands are checked against what the pending ones lead to.

    `extensions` is what the last EHLO was told: upper-case keyword -> parameters. It is empty after HELO, and again
    once TLS has begun (RFC 3207 §4.2).
    """

    __slots__ = (
        "_ahead",
        "_awaits_tls",
        "_challenged",
        "_greeted",
        "_lines",
        "_pending",
        "_reply",
        "_tail",
        "extensions",
        "is_authenticated",
        "is_encrypted",
        "state",
    )

    foreign = frozenset({Keyword.LHLO})
    """What is no command here: another protocol's greetings."""

    def __init__(self, *, is_encrypted: bool = False) -> None:
        self._greeted = False
        self._begin(is_encrypted)

    def _begin(self, is_encrypted: bool) -> None:
        self.state = State.CONNECTED
        self.extensions: dict[str, str] = {}
        self.is_authenticated = False
        self.is_encrypted = is_encrypted
        self._ahead = State.CONNECTED
        self._lines = LineReader(_LINE_OCTETS)
        self._reply = ReplyReader()
        self._pending: deque[Command] = deque()
        self._challenged = False
        self._awaits_tls = False
        self._tail = b"\r\n"

    # --- out

    def send(self, command: Command) -> bytes:
        """The octets of a command. One that the table forbids, now or in this group, is a `LocalProtocolError`."""
        keyword = command.keyword
        rule = RULES[keyword]
        if keyword is Keyword.END_OF_DATA:
            raise LocalProtocolError("the content is ended by end_of_data")
        if keyword in self.foreign or self._ahead not in rule.states or self.state is State.CLOSED:
            raise LocalProtocolError(f"{keyword.name} is not allowed {self._ahead.value}")
        if self._awaits_tls or not self._greeted:
            raise LocalProtocolError(f"{keyword.name} before {'TLS' if self._greeted else 'the greeting'}")
        if self._pending:
            self._check_group(keyword)
        if keyword is Keyword.AUTH and self.is_authenticated:
            raise LocalProtocolError("AUTH after AUTH")
        if keyword is Keyword.STARTTLS and self.is_encrypted:
            raise LocalProtocolError("STARTTLS inside TLS")
        octets = format_command(command)
        self._pending.append(command)
        if keyword is not Keyword.DATA:
            self._ahead = rule.following(self._ahead, rule.success * 100)
        return octets

    def _check_group(self, keyword: Keyword) -> None:
        if "PIPELINING" not in self.extensions:
            raise LocalProtocolError(f"{keyword.name} before the last command is answered, without PIPELINING")
        last = self._pending[-1].keyword
        if RULES[last].ends_group:
            raise LocalProtocolError(f"{keyword.name} in a group that {last.name} ended")

    def data(self, wire: bytes) -> bytes:
        """A portion of the content, in wire form already; the last one ends with CRLF or gets it."""
        self._check_data()
        if wire:
            self._tail = wire[-2:] if len(wire) > 1 else self._tail[-1:] + wire
        return wire

    def end_of_data(self) -> bytes:
        """The final dot, owed a reply from now on."""
        self._check_data()
        octets = b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
        self._tail = b"\r\n"
        self._pending.append(END_OF_DATA)
        self._ahead = State.READY
        return octets

    def _check_data(self) -> None:
        if self.state is not State.DATA or self._pending:
            raise LocalProtocolError("content flows behind a 354 and before its final dot")

    def respond(self, encoded: bytes) -> bytes:
        """The answer to a `Challenge`, in base64; `*` cancels."""
        if not self._challenged:
            raise LocalProtocolError("a response to no challenge")
        if b"\r" in encoded or b"\n" in encoded:
            raise LocalProtocolError("a response with octets that no line may hold")
        self._challenged = False
        return encoded + b"\r\n"

    @property
    def pending(self) -> int:
        """How many commands are not answered yet. After a 421 they never will be."""
        return len(self._pending)

    # --- in

    def receive(self, octets: bytes) -> None:
        if self.state is not State.CLOSED:
            self._lines.receive(octets)

    def next_event(self) -> Event:
        while self.state is not State.CLOSED:
            line = self._lines.take()
            if line is NEED_DATA:
                break
            if isinstance(line, Oddity):
                raise RemoteProtocolError("a reply line that is too long")
            if line.startswith(b"334") and self._is_in_exchange:
                self._challenged = True
                return Challenge(line[4:])
            reply = self._reply.add(line, has_status=self._has_status)
            if reply is not None:
                return self._event(reply)
        return NEED_DATA

    @property
    def _is_in_exchange(self) -> bool:
        return bool(self._pending) and self._pending[0].keyword is Keyword.AUTH and self._reply.is_between

    @property
    def _has_status(self) -> bool:
        return self._greeted and not (self._pending and self._pending[0].keyword in _HELLO)

    def begin_tls(self) -> None:
        """TLS begins behind the 220 to STARTTLS; octets that came before it are an attack (RFC 3207 §6)."""
        if not self._awaits_tls:
            raise LocalProtocolError("TLS begins behind a granted STARTTLS")
        if len(self._lines) or not self._reply.is_between:
            raise RemoteProtocolError("octets before TLS began")
        self._begin(is_encrypted=True)

    def _event(self, reply: Reply) -> Event:
        if not self._greeted:
            self._greeted = True
            if reply.code == CLOSING:
                self.state = State.CLOSED
            return Greeting(reply)
        if not self._pending:
            if reply.code != CLOSING:
                raise RemoteProtocolError("a reply to nothing")
            self.state = State.CLOSED
            return Farewell(reply)
        return self._answer(self._pending.popleft(), reply)

    def _answer(self, command: Command, reply: Reply) -> Answer:
        keyword = command.keyword
        rule = RULES[keyword]
        if reply.code // 100 == rule.success:
            match keyword:
                case Keyword.EHLO | Keyword.HELO | Keyword.LHLO:
                    self.extensions = {} if keyword is Keyword.HELO else _extensions(reply)
                case Keyword.AUTH:
                    self.is_authenticated = True
                case Keyword.STARTTLS:
                    self._awaits_tls = True
                case _:
                    pass
        elif reply.code < 400:
            raise RemoteProtocolError(f"{reply.code} in reply to {keyword.name}")
        self._challenged = False
        self.state = rule.following(self.state, reply.code)
        if not self._pending:
            self._ahead = self.state
        return Answer(command, reply)


def _extensions(reply: Reply) -> dict[str, str]:
    """The capabilities of an EHLO reply, one a line behind the first (RFC 5321 §4.1.1.1)."""
    extensions: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword.upper().startswith("AUTH="):
            # Servers that speak to the clients of 1999 repeat AUTH in this form; the proper one wins.
            extensions.setdefault("AUTH", f"{keyword[5:]} {parameters}".strip())
        elif keyword:
            extensions[keyword.upper()] = parameters.strip()
    return extensions
