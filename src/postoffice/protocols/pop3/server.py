"""The POP3 machine of the side that keeps the maildrop: octets in, commands out, replies to octets.

It knows what is allowed when and what was not answered yet, and nothing else: no maildrop, no socket, no time. The
caller takes one command, answers it, takes the next; so commands that came together are answered in turn
(RFC 2449 §6.6), and state changes with the answer that allows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from postoffice.counts import Outcome
from postoffice.errors import LocalProtocolError
from postoffice.protocols.lines import NEED_DATA, TOO_LONG, LineReader, Oddity
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.grammar import ALONE, Invalid, parse
from postoffice.protocols.pop3.replies import Code, format_error, format_ok
from postoffice.protocols.pop3.table import COMMAND_OCTETS, EXCHANGE_OCTETS, RULES, Keyword, Shape, State

LETTERS_AHEAD: Final = 64
"""How many commands for letters are seen ahead, at most."""

_RETR: Final = re.compile(rb"(?:(?i:RETR) [0-9]{1,18}\r?\n){1,%d}" % LETTERS_AHEAD)
_RETR_OR_DELE: Final = re.compile(rb"(?:(?i:RETR|DELE) [0-9]{1,18}\r?\n){1,%d}" % LETTERS_AHEAD)
LONG_RUN: Final = 8
"""So many RETRs are worth reading together as they are; behind fewer, others may follow with a DELE between them."""
_TOO_LONG: Final = Invalid("command line is too long")
_MAY_CHANGE: Final = frozenset({Code.IN_USE, Code.LOGIN_DELAY, Code.SYS_TEMP})
# Looked at for every command: a name of a module is found in a third of the time of an enum's member.
_CLOSED: Final = State.CLOSED
_TRANSACTION: Final = State.TRANSACTION
_CHANGING: Final = {keyword for keyword, rule in RULES.items() if rule.after is not None} | {Keyword.UTF8}
_PLAIN: Final = {
    state: {
        line: command
        for line, command in ALONE.items()
        if state in RULES[command.keyword].states and command.keyword is not Keyword.QUIT
    }
    for state in State
}
"""By state: lines that hold a keyword alone, are allowed and change nothing by being heard."""
_OK: Final = Outcome.OK


class Response:
    """A client's line in an exchange; still in base64. `*` cancels (RFC 5034 §4)."""

    __slots__ = ("encoded",)

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded


class Pop3Server:
    """One session. `state` is where it stands; `stamp` what the greeting offered to APOP.

    `is_utf8`: the client said UTF8, and takes letters as they are (RFC 6856 §2.1). `outcome` is the last answer's.
    `translate` says our sentences in the language that the client chose, None before it chose any (§3.2).
    """

    __slots__ = ("_in_exchange", "_lines", "_owed", "_run", "is_utf8", "outcome", "stamp", "state", "translate")

    def __init__(self) -> None:
        self.state = State.AUTHORIZATION
        self.outcome = Outcome.OK
        self.stamp = b""
        self.is_utf8 = False
        self.translate: Callable[[str], str] | None = None
        self._lines = LineReader(EXCHANGE_OCTETS)
        self._owed: Command | Invalid | None = None
        self._in_exchange = False
        self._run: list[int] = []  # of the RETRs that were seen ahead, those whose lines are not taken yet

    # --- in

    def receive(self, octets: bytes) -> None:
        self._lines.receive(octets)

    @property
    def unread_octets(self) -> int:
        """What was received and not yet taken."""
        return len(self._lines)

    def next_command(self) -> Command | Invalid | Response | Oddity:
        """The next command, or `NEED_DATA`. Every command and every `Invalid` must be answered before the next."""
        if self._owed is not None and not self._in_exchange:
            raise LocalProtocolError("the last command is not answered yet")
        if self.state is _CLOSED:
            return NEED_DATA
        line = self._lines.take()
        if line is NEED_DATA:
            return NEED_DATA
        if self._in_exchange:
            return Response(b"" if isinstance(line, Oddity) else line) if line is not TOO_LONG else Response(b"*")
        if self._run:
            del self._run[0]
        command = _TOO_LONG if isinstance(line, Oddity) else _PLAIN[self.state].get(line) or self._weighed(parse(line))
        self._owed = command
        return command

    def _weighed(self, command: Command | Invalid) -> Command | Invalid:
        """What it is here and now."""
        if isinstance(command, Command):
            if self.state not in RULES[command.keyword].states:
                return Invalid(f"{command.keyword.value.decode()} is not allowed now")
            if command.keyword is Keyword.QUIT and self.state is _TRANSACTION:
                self.state = State.UPDATE
        return command

    def upcoming_letters(self) -> list[int]:
        """The numbers of the RETRs that are here already and follow at once, so that all can be read together."""
        run = self._run or self._look_ahead()
        if len(run) >= LONG_RUN:
            return run.copy()
        words = self._lines.ahead(_RETR_OR_DELE).split()
        return [int(number) for word, number in zip(words[::2], words[1::2], strict=True) if word[0] in b"Rr"]

    def take_letters(self, ready: Mapping[int, object]) -> list[int]:
        """The RETRs that follow at once, each of another letter that is `ready`, as far as they go: taken together, and
        answered by the caller in the same breath with `+OK n octets`, in English. None while a language is chosen."""
        if self._owed is not None or self.state is not _TRANSACTION or self.translate is not None:
            return []
        run = self._run or self._look_ahead()
        if len(run) < 2:
            numbers = [number for number in run if number in ready]
        elif (numbers := run[: len(ready)]) != list(ready):
            numbers = _while_ready(run, ready)
        if numbers:
            del run[: len(numbers)]
            self._lines.skip_lines(len(numbers))
        return numbers

    def _look_ahead(self) -> list[int]:
        """See the RETRs that follow, all at once and only once."""
        self._run = list(map(int, self._lines.ahead(_RETR).split()[1::2]))
        return self._run

    # --- out

    def greet(self, text: str, stamp: str = "") -> bytes:
        """The first line. `stamp` is the `<...@...>` of RFC 1939 §7 where APOP is on."""
        self.stamp = stamp.encode()
        return format_ok(f"{text} {stamp}" if stamp else text)

    def ok(self, text: str = "") -> bytes:
        """+OK to the command that is owed an answer, and the state that follows."""
        owed = self._owed
        if not isinstance(owed, Command):
            raise LocalProtocolError("+OK to a line that is no command")
        self._owed = None
        self._in_exchange = False
        self.outcome = _OK
        if owed.keyword in _CHANGING:
            self._change(owed)
        if self.translate is None:
            return format_ok(text)
        return format_ok(text if owed.shape is Shape.FACTS else self.translate(text), "utf-8")

    def ok_listing(self, text: str, listing: bytes) -> tuple[bytes, bytes, bytes]:
        """+OK and a multi-line body: lines with their ends, none beginning with a dot. In parts: it may be long."""
        return self.ok(text), listing, b".\r\n"

    def ok_letter(self, text: str) -> bytes:
        """+OK before a letter; the caller sends its wire form, then `END_OF_LETTER`."""
        return self.ok(text)

    def error(self, text: str, code: Code | None = None) -> bytes:
        """-ERR to the command that is owed an answer."""
        owed = self._take_owed()
        self.outcome = Outcome.FAILED if code in _MAY_CHANGE else Outcome.REFUSED
        if isinstance(owed, Command) and owed.keyword is Keyword.QUIT:
            self.state = State.CLOSED
        if self.translate is None:
            return format_error(text, code)
        return format_error(self.translate(text), code, "utf-8")

    def challenge(self, encoded: bytes) -> bytes:
        """`+ ` and base64: the next line is the client's `Response`."""
        if not isinstance(self._owed, Command) or self._owed.keyword is not Keyword.AUTH:
            raise LocalProtocolError("a challenge belongs to AUTH")
        self._in_exchange = True
        return b"+ " + encoded + b"\r\n"

    def begin_tls(self) -> None:
        """TLS begins behind the +OK to STLS: nothing received before is believed (RFC 2595 §4)."""
        if self._owed is not None or self.state is not State.AUTHORIZATION:
            raise LocalProtocolError("STLS belongs to AUTHORIZATION and is answered first")
        self._lines = LineReader(EXCHANGE_OCTETS)
        self._run.clear()
        self.is_utf8 = False
        self.translate = None

    def _change(self, command: Command) -> None:
        """What +OK to it leads to."""
        if command.keyword is Keyword.UTF8:
            self.is_utf8 = True
        elif command.after is not None:
            self.state = command.after
            if self.state is _TRANSACTION:
                self._lines.limit = COMMAND_OCTETS

    def _take_owed(self) -> Command | Invalid:
        owed = self._owed
        if owed is None:
            raise LocalProtocolError("an answer that nobody asked for")
        self._owed = None
        self._in_exchange = False
        return owed


def _while_ready(numbers: Iterable[int], ready: Mapping[int, object]) -> list[int]:
    """Up to one that is not, or that stood here before."""
    taken: dict[int, None] = {}  # in their order
    for number in numbers:
        if number not in ready or number in taken:
            break
        taken[number] = None
    return list(taken)


END_OF_LETTER: Final = b".\r\n"
