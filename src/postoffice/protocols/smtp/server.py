"""The SMTP machine of the side that takes letters: octets in, commands and content out, replies to octets.

It knows what is allowed when and what was not answered yet, and nothing else: no recipients, no socket, no time. The
caller takes one command, answers it, takes the next; so commands that came together are answered in turn
(RFC 2920 §3.2), and state changes with the reply that grants it.

Lines end with CRLF and nothing else, and so does the content: `CRLF . CRLF` ends it, no other sequence of dots and
line ends does (RFC 5321 §4.1.1.4). What stood between a client and its STARTTLS is forgotten with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from postoffice.counts import Outcome
from postoffice.errors import LocalProtocolError, Refusal
from postoffice.protocols.dots import DotReader
from postoffice.protocols.lines import BARE_LF, NEED_DATA, LineReader, Oddity
from postoffice.protocols.smtp import replies
from postoffice.protocols.smtp.commands import END_OF_DATA, TOO_LONG, UNKNOWN, Command, Invalid, parse
from postoffice.protocols.smtp.replies import Reply, format_reply
from postoffice.protocols.smtp.table import CLOSING, EXCHANGE_OCTETS, RULES, Keyword, State


class Response(NamedTuple):
    """A client's line in an exchange; still in base64. `*` cancels (RFC 4954 §4)."""

    encoded: bytes


class Chunk(NamedTuple):
    """A portion of the content in wire form, as `DotReader` gives it."""

    wire: bytes


Received = Command | Invalid | Response | Chunk | Oddity

_BARE_LF: Final = Invalid(500, "5.5.2", "Lines end with CRLF")
_RESPONSE_TOO_LONG: Final = Invalid(500, "5.5.6", "Authentication exchange line is too long")
NO_RECIPIENTS: Final = Invalid(554, "5.5.1", "No valid recipients")
_TLS_ALREADY: Final = Invalid(503, "5.5.1", "TLS is active already")
_AUTHENTICATED: Final = Invalid(503, "5.5.1", "You are authenticated already")

_TEACHING: Final = frozenset(
    {Keyword.AUTH, Keyword.DATA, Keyword.EHLO, Keyword.END_OF_DATA, Keyword.HELO, Keyword.LHLO, Keyword.STARTTLS}
)
# Looked at for every command: a name of a module is found in a third of the time of an enum's member.
_CLOSED: Final = State.CLOSED
_OK: Final = Outcome.OK
_GO_AHEAD: Final = Reply(354, ("End data with <CRLF>.<CRLF>",))


class SmtpServer:
    """One session.

    `state` is where it stands. `client_name` and `is_extended` are what the last EHLO or HELO said, `is_authenticated`
    and `is_encrypted` what went well since; a door with implicit TLS begins with `is_encrypted`. `outcome` is what the
    last reply said.
    """

    __slots__ = (
        "_awaits_tls",
        "_content",
        "_in_exchange",
        "_lines",
        "_owed",
        "_refuses_data",
        "client_name",
        "is_authenticated",
        "is_encrypted",
        "is_extended",
        "outcome",
        "state",
    )

    foreign = frozenset({Keyword.LHLO})
    """What is no command here: another protocol's greetings."""

    def __init__(self, *, is_encrypted: bool = False) -> None:
        self._begin(is_encrypted)

    def _begin(self, is_encrypted: bool) -> None:
        self.state = State.CONNECTED
        self.outcome = Outcome.OK
        self.client_name = b""
        self.is_extended = False
        self.is_authenticated = False
        self.is_encrypted = is_encrypted
        self._lines = LineReader(EXCHANGE_OCTETS, strict=True)
        self._owed: Command | Invalid | None = None
        self._content: DotReader | None = None
        self._in_exchange = False
        self._refuses_data = False
        self._awaits_tls = False

    # --- in

    def receive(self, octets: bytes) -> None:
        if self.state is not _CLOSED:
            self._lines.receive(octets)

    @property
    def unread_octets(self) -> int:
        """What was received and not yet taken."""
        return len(self._lines)

    def next_command(self) -> Received:
        """The next command, response or portion of content, or `NEED_DATA`.

        A `Command` (`END_OF_DATA` is one) and an `Invalid` must be answered before the next is taken.
        """
        if self._owed is not None and not self._in_exchange:
            raise LocalProtocolError("the last command is not answered yet")
        if self.state is _CLOSED or self._awaits_tls:
            return NEED_DATA
        if self._content is not None:
            return self._next_of_content(self._content)
        line = self._lines.take()
        if line is NEED_DATA:
            return NEED_DATA
        if self._in_exchange and not isinstance(line, Oddity):
            return Response(line)
        self._owed = owed = self._read(line)
        self._in_exchange = False
        return owed

    def _read(self, line: bytes | Oddity) -> Command | Invalid:
        if isinstance(line, Oddity):
            if line is BARE_LF:
                return _BARE_LF
            return _RESPONSE_TOO_LONG if self._in_exchange else TOO_LONG
        command = parse(line)
        if isinstance(command, Invalid):
            return command
        keyword = command.keyword
        if keyword in self.foreign:
            return UNKNOWN
        if self.state not in RULES[keyword].states:
            return _out_of_order(keyword, self.state)
        if self.is_authenticated and keyword is Keyword.AUTH:
            return _AUTHENTICATED
        if self.is_encrypted and keyword is Keyword.STARTTLS:
            return _TLS_ALREADY
        return command

    def _next_of_content(self, content: DotReader) -> Received:
        if content.rest is None:
            wire = content.feed(self._lines.take_all())
            if content.rest is not None:
                self._lines.receive(content.rest)
            if wire and not self._refuses_data:
                return Chunk(wire)
            if content.rest is None:
                return NEED_DATA
        self._content = None
        self._owed = END_OF_DATA
        return END_OF_DATA

    # --- out

    def greet(self, host: str, text: str = "ESMTP") -> bytes:
        """The first line (RFC 5321 §4.2); `host` is our own name."""
        return format_reply(Reply(220, (f"{host} {text}",)))

    def reply(self, reply: Reply) -> bytes:
        """The reply to what is owed one, and the state that follows."""
        owed = self._owed
        if owed is None:
            raise LocalProtocolError("a reply that nobody asked for")
        if isinstance(owed, Command):
            self._settle(owed, reply.code)
        elif reply.is_positive:
            raise LocalProtocolError("a positive reply to a line that is no command")
        elif reply.code == CLOSING:
            self.state = State.CLOSED
        self._owed = None
        self._in_exchange = False
        self.outcome = _outcome(reply)
        return format_reply(reply)

    def _settle(self, command: Command, code: int) -> None:
        keyword = command.keyword
        rule = RULES[keyword]
        if code // 100 == rule.success:
            if keyword in _TEACHING:
                self._learn(command)
        elif code < 400:
            raise LocalProtocolError(f"{code} is no reply to {keyword.name}")
        self.state = rule.following(self.state, code)

    def _learn(self, command: Command) -> None:
        """What a granted command changes besides the state."""
        match command.keyword:
            case Keyword.AUTH:
                self.is_authenticated = True
            case Keyword.DATA:
                self._content = DotReader()
                self._refuses_data = False
            case Keyword.STARTTLS:
                self._awaits_tls = True
            case Keyword.END_OF_DATA:
                if self._refuses_data:
                    raise LocalProtocolError("a letter that was thrown away is not accepted")
            case _:
                self.client_name = command.text
                self.is_extended = command.keyword is not Keyword.HELO

    def ok(self, text: str = "OK", enhanced: str = "2.0.0") -> bytes:
        """250 to what is owed a reply."""
        return self.reply(Reply(250, (text,), enhanced))

    def hello(self, host: str, capabilities: Iterable[str] = ()) -> bytes:
        """250 to EHLO or LHLO, with a line for each capability, or to HELO, without them (RFC 5321 §4.1.1.1)."""
        extended = isinstance(self._owed, Command) and self._owed.keyword is not Keyword.HELO
        return self.reply(Reply(250, (host, *capabilities) if extended else (host,)))

    def refuse(self, refusal: Refusal) -> bytes:
        """The reply that says a refusal in SMTP's words."""
        return self.reply(replies.from_refusal(refusal))

    def reject(self, invalid: Invalid) -> bytes:
        """The reply to a line that is no command."""
        return self.reply(replies.from_invalid(invalid))

    def challenge(self, encoded: bytes) -> bytes:
        """334 and base64: the next line is the client's `Response`."""
        if not isinstance(self._owed, Command) or self._owed.keyword is not Keyword.AUTH:
            raise LocalProtocolError("a challenge belongs to AUTH")
        self._in_exchange = True
        return b"334 " + encoded + b"\r\n"

    def begin_data(self) -> bytes:
        """354: what follows is content, up to and without its final dot, then `END_OF_DATA`."""
        return self.reply(_GO_AHEAD)

    def refuse_data(self) -> None:
        """From here on the content is read and thrown away; `END_OF_DATA` comes all the same, and cannot be granted."""
        if self.state is not State.DATA:
            raise LocalProtocolError("there is no content to refuse")
        self._refuses_data = True

    def begin_tls(self) -> None:
        """TLS begins behind the 220 to STARTTLS: nothing received before is believed (RFC 3207 §4.2)."""
        if not self._awaits_tls:
            raise LocalProtocolError("TLS begins behind a granted STARTTLS")
        self._begin(is_encrypted=True)

    def hang_up(self, reply: Reply) -> bytes:
        """The last words of a session that we end, at any moment: 421, or 554 instead of a greeting
        (RFC 5321 §3.1, §3.8)."""
        self.state = State.CLOSED
        self._owed = None
        self._content = None
        self.outcome = _outcome(reply)
        return format_reply(reply)


def _outcome(reply: Reply) -> Outcome:
    if reply.code < 400:
        return _OK
    return Outcome.FAILED if reply.code < 500 else Outcome.REFUSED


def _out_of_order(keyword: Keyword, state: State) -> Invalid:
    if keyword is Keyword.DATA and state is State.MAIL:
        return NO_RECIPIENTS
    if state is State.CONNECTED:
        return Invalid(503, "5.5.1", "Say EHLO first")
    return Invalid(503, "5.5.1", f"{keyword.value.decode()} is not allowed now")
