"""Both POP3 machines: what a stranger says to our server, and what a server says to our client."""

from __future__ import annotations

import binascii
from collections import deque

from postoffice.access.languages import chosen
from postoffice.errors import RemoteProtocolError
from postoffice.protocols.lines import NEED_DATA, Oddity
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Body, Pop3Client
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.grammar import Invalid
from postoffice.protocols.pop3.server import Pop3Server, Response
from postoffice.protocols.pop3.table import EXCHANGE_OCTETS, RESPONSE_OCTETS, Keyword, Shape, State
from proof.fuzz.cuts import control_and_octets, cut

_LETTERS = 5
_LOGIN = b"USER mrose\r\nPASS tanstaaf\r\n"
_REPLY_OCTETS = 8 * 1024


def server(data: bytes) -> None:
    """Every line is answered once, up to the last; the conversation does not depend on how it was cut."""
    control, octets = control_and_octets(data)
    octets += b"\r\nNOOP\r\n"
    if control & 1:
        octets = _LOGIN + octets
    whole, in_pieces = _Door(), _Door()
    whole.hear(octets)
    for portion in cut(octets, control // 2):
        in_pieces.hear(portion)
    assert whole.said == in_pieces.said
    if whole.machine.state is State.CLOSED:
        return
    assert len(whole.said) == octets.count(b"\n")
    last, reply = whole.said[-1]
    if last == commands.NOOP:
        assert reply == b"+OK \r\n"
    else:  # it was refused before login, or was the response in an exchange
        assert isinstance(last, Invalid) or last == b"NOOP"


class _Door:
    """Answers as a door would that has five letters, believes everybody, and knows our languages."""

    def __init__(self) -> None:
        self.machine = Pop3Server()
        self.machine.greet("ready")
        self.said: list[tuple[object, bytes]] = []
        self._upcoming: deque[int] = deque()

    def hear(self, octets: bytes) -> None:
        self.machine.receive(octets)
        while (command := self.machine.next_command()) is not NEED_DATA:
            assert not isinstance(command, Oddity)
            self._must_be_foreseen(command)
            reply = self._reply(command)
            first = reply.partition(b"\r\n")[0]
            assert first.startswith((b"+OK ", b"-ERR ", b"+ "))
            assert len(first) + 2 <= RESPONSE_OCTETS
            self.said.append((command.encoded if isinstance(command, Response) else command, reply))
        assert self.machine.unread_octets < EXCHANGE_OCTETS or self.machine.state is State.CLOSED

    def _must_be_foreseen(self, command: Command | Invalid | Response) -> None:
        """The RETRs that were seen coming are those that come."""
        if isinstance(command, Command) and command.keyword is Keyword.RETR:
            if self._upcoming:
                assert self._upcoming.popleft() == command.number
            else:
                self._upcoming.extend(self.machine.upcoming_letters())
        elif not isinstance(command, Command) or command.keyword is not Keyword.DELE:
            assert not self._upcoming

    def _reply(self, command: Command | Invalid | Response) -> bytes:
        machine = self.machine
        if isinstance(command, Invalid):
            return machine.error(command.because)
        if isinstance(command, Response):
            return machine.ok() if _is_base64(command.encoded) else machine.error("no")
        if command.keyword is Keyword.STLS or (
            command.arguments and isinstance(command.arguments[0], int) and not 1 <= command.number <= _LETTERS
        ):
            return machine.error("no")
        if command.keyword is Keyword.LANG and command.arguments:
            return self._language(command.text.decode())
        match command.shape:
            case Shape.EXCHANGE:
                return machine.challenge(b"")
            case Shape.LISTING:
                return b"".join(machine.ok_listing("", b"1 120\r\n"))
            case Shape.LETTER:
                return machine.ok_letter("") + b"..\r\n.\r\n"
            case _:
                return machine.ok()

    def _language(self, language_range: str) -> bytes:
        """From here on every reply is in it, if there is one."""
        language = chosen(language_range)
        if language is None:
            return self.machine.error("no such language here")
        self.machine.translate = language.translate
        return self.machine.ok(f"{language.tag} language changed")


def _is_base64(encoded: bytes) -> bool:
    try:
        return bool(binascii.a2b_base64(encoded, strict_mode=True))
    except binascii.Error:
        return False


def client(data: bytes) -> None:
    """Whatever a server says is understood or refused, the same way however it was cut, in bounded memory."""
    control, octets = control_and_octets(data)
    octets = b"+OK ready\r\n" + octets
    assert _heard([octets], control) == _heard(cut(octets, control // 2), control)


def _heard(portions: list[bytes], control: int) -> list[object]:
    """What a client hears that asked for much at once; the pieces of a body put together."""
    machine = Pop3Client()
    machine.send(commands.authenticate(b"PLAIN") if control & 1 else commands.password(b"x"))
    for command in (commands.STAT, commands.LIST, commands.retrieve(1), commands.UIDL, commands.delete(1)):
        machine.send(command)
    heard: list[object] = []
    try:
        for portion in portions:
            machine.receive(portion)
            while (event := machine.next_event()) is not NEED_DATA:
                if isinstance(event, Body) and heard and isinstance(heard[-1], Body):
                    heard[-1] = Body(heard[-1].wire + event.wire)
                else:
                    heard.append(event)
            assert len(machine._lines) < _REPLY_OCTETS
    except RemoteProtocolError as error:
        heard.append(str(error))
    if heard and isinstance(heard[-1], Body):
        heard.pop()  # as much of it as came: up to four octets may be held back
    return heard
