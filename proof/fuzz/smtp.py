"""The SMTP machine of the side that takes letters."""

from __future__ import annotations

from postoffice.protocols.lines import NEED_DATA, Oddity
from postoffice.protocols.smtp.commands import Command, Invalid
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.server import Chunk, Response, SmtpServer
from postoffice.protocols.smtp.table import EXCHANGE_OCTETS, Keyword, State
from proof.fuzz.cuts import control_and_octets, cut

_TRANSACTION = b"EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n"


def server(data: bytes) -> None:
    """Every line is answered once, and so is every letter; nothing depends on how the octets were cut."""
    control, octets = control_and_octets(data)
    octets = (_TRANSACTION if control & 1 else b"EHLO a.example\r\n") + octets + b"\r\n.\r\nNOOP\r\n"
    whole, in_pieces = _Door(), _Door()
    whole.hear(octets)
    for portion in cut(octets, control // 2):
        in_pieces.hear(portion)
    assert whole.said == in_pieces.said
    assert whole.letters == in_pieces.letters
    if whole.machine.state is State.CLOSED:
        return
    assert whole.machine.state is not State.DATA
    assert len(whole.said) + sum(letter.count(b"\n") for letter in whole.letters) == octets.count(b"\n")


class _Door:
    """Takes everything from everybody."""

    def __init__(self) -> None:
        self.machine = SmtpServer()
        self.machine.greet("b.example")
        self.said: list[tuple[object, bytes]] = []
        self.letters: list[bytes] = []

    def hear(self, octets: bytes) -> None:
        self.machine.receive(octets)
        while (received := self.machine.next_command()) is not NEED_DATA:
            assert not isinstance(received, Oddity)
            if isinstance(received, Chunk):
                self.letters[-1] += received.wire
                continue
            reply = self._reply(received)
            assert reply[:3].isdigit()
            assert reply.endswith(b"\r\n")
            self.said.append((received, reply))
        assert self.machine.unread_octets < EXCHANGE_OCTETS or self.machine.state is State.CLOSED

    def _reply(self, received: Command | Invalid | Response) -> bytes:
        machine = self.machine
        if isinstance(received, Invalid):
            return machine.reject(received)
        if isinstance(received, Response):
            return machine.reply(Reply(535 if received.encoded == b"*" else 235, ("so",)))
        match received.keyword:
            case Keyword.EHLO | Keyword.HELO:
                return machine.hello("b.example", ["PIPELINING"])
            case Keyword.AUTH:
                return machine.challenge(b"")
            case Keyword.STARTTLS:
                return machine.reply(Reply(454, ("not now",)))
            case Keyword.DATA:
                self.letters.append(b"")
                return machine.begin_data()
            case Keyword.VRFY:
                return machine.reply(Reply(252, ("who knows",)))
            case _:
                return machine.ok()
