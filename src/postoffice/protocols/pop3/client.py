"""The POP3 machine of the side that pulls: commands to octets, octets to events.

Commands may be sent before earlier ones are answered (RFC 2449 §6.6); replies belong to commands in turn, and the
table tells which replies have a body. A body comes as `Body` events in wire form, in portions as they arrive, then
`EndOfBody`; so a letter of any size passes in constant memory. Whoever wants a body that is here whole takes it, and
then there are no such events.
"""

import re
from collections import deque
from typing import NamedTuple

from postoffice.errors import LocalProtocolError, RemoteProtocolError
from postoffice.protocols.dots import DotReader
from postoffice.protocols.lines import NEED_DATA, LineReader, Oddity
from postoffice.protocols.pop3 import replies
from postoffice.protocols.pop3.commands import Command, format_command
from postoffice.protocols.pop3.replies import Challenge, Reply
from postoffice.protocols.pop3.table import RULES, Keyword, Shape, State

_REPLY_OCTETS = 8 * 1024
"""More than RFC 2449 §4 allows: servers in the field write longer lines."""

_STAMP = re.compile(rb"<[!-;=?-~]+@[!-;=?-~]+>")
_WITH_BODY = frozenset({Shape.LISTING, Shape.LETTER})


class Greeting(NamedTuple):
    """The server's first line. `stamp` is empty where APOP is not offered (RFC 1939 §7)."""

    reply: Reply
    stamp: bytes


class Answer(NamedTuple):
    """The first line of the reply to `command`. If it is affirmative and `has_body`, body events follow."""

    command: Command
    reply: Reply
    has_body: bool


class Body(NamedTuple):
    """A portion of a body in wire form."""

    wire: bytes


class EndOfBody(NamedTuple):
    """The body of the last answer is complete."""


END_OF_BODY = EndOfBody()

Event = Greeting | Answer | Body | EndOfBody | Challenge | Oddity


class Pop3Client:
    """One session. `state` counts what was confirmed; commands are checked against what the pending ones lead to."""

    __slots__ = ("_ahead", "_body", "_body_is_due", "_greeted", "_lines", "_pending", "_said_utf8", "state")

    def __init__(self) -> None:
        self.state = State.AUTHORIZATION
        self._ahead = State.AUTHORIZATION
        self._lines = LineReader(_REPLY_OCTETS)
        self._pending: deque[Command] = deque()
        self._body: DotReader | None = None
        self._body_is_due = False
        self._greeted = False
        self._said_utf8 = False

    # --- out

    def send(self, command: Command) -> bytes:
        """The octets of a command. One that the table forbids is a `LocalProtocolError`."""
        rule = RULES[command.keyword]
        if self._ahead not in rule.states:
            raise LocalProtocolError(f"{command.keyword.name} is not allowed in {self._ahead.name}")
        if command.keyword is Keyword.UTF8:
            self._said_utf8 = True
        elif command.keyword is Keyword.STLS and self._said_utf8:
            raise LocalProtocolError("STLS comes before UTF8")  # RFC 6856 §2.1
        self._pending.append(command)
        if rule.after is not None:
            self._ahead = command.after or self._ahead
        return format_command(command)

    def respond(self, encoded: bytes) -> bytes:
        """The answer to a `Challenge`, in base64."""
        return encoded + b"\r\n"

    @property
    def pending(self) -> int:
        """How many commands are not answered yet."""
        return len(self._pending)

    # --- in

    def receive(self, octets: bytes) -> None:
        self._lines.receive(octets)

    def next_event(self) -> Event:
        if self._body_is_due or self._body is not None:
            return self._next_of_body()
        line = self._lines.take()
        if line is NEED_DATA and not self._lines.is_too_long:
            return NEED_DATA
        if isinstance(line, Oddity):  # told before its end, which may never come
            raise RemoteProtocolError("a reply line that is too long")
        if not self._greeted:
            return self._greeting(line)
        if not self._pending:
            raise RemoteProtocolError("a reply to nothing")
        reply = replies.parse(line)
        if isinstance(reply, Challenge):
            if self._pending[0].keyword is not Keyword.AUTH:
                raise RemoteProtocolError("a challenge outside of AUTH")
            return reply
        return self._answer(self._pending.popleft(), reply)

    def take_body(self, limit: int) -> bytes | None:
        """The body of the answer that was just given, in wire form, if it has so many octets at most and is here to its
        end; None: events bring it.

        Small letters come many at a time, each of them whole: then nobody has to copy those behind it.
        """
        whole = self._lines.take_dotted(limit)
        if whole is not None:
            self._body_is_due = False
        return whole

    def begin_tls(self) -> None:
        """TLS begins behind the +OK to STLS; octets that came before it are an attack (RFC 2595 §4)."""
        if len(self._lines) or self._pending:
            raise RemoteProtocolError("octets before TLS began")

    def _greeting(self, line: bytes) -> Greeting:
        reply = replies.parse(line)
        if isinstance(reply, Challenge):
            raise RemoteProtocolError("a challenge instead of a greeting")
        self._greeted = True
        stamp = _STAMP.search(reply.text)
        return Greeting(reply, stamp[0] if stamp else b"")

    def _answer(self, command: Command, reply: Reply) -> Answer:
        rule = RULES[command.keyword]
        # QUIT ends the session whatever is answered (RFC 1939 §6).
        if rule.after is not None and (reply.is_ok or command.keyword is Keyword.QUIT):
            self.state = command.after or self.state
        if not self._pending:
            self._ahead = self.state
        has_body = reply.is_ok and command.shape in _WITH_BODY
        self._body_is_due = has_body
        return Answer(command, reply, has_body)

    def _next_of_body(self) -> Event:
        body = self._body
        if body is None:
            if not len(self._lines):
                return NEED_DATA
            whole = self.take_body(len(self._lines))
            self._body_is_due = False
            body = self._body = DotReader()
            if whole is not None:
                body.rest = b""
                return Body(whole) if whole else self._end_of_body()
        if body.rest is None:
            wire = body.feed(self._lines.take_all())
            if body.rest is None:
                return Body(wire) if wire else NEED_DATA
            self._lines.receive(body.rest)
            if wire:
                return Body(wire)
        return self._end_of_body()

    def _end_of_body(self) -> EndOfBody:
        self._body = None
        return END_OF_BODY
