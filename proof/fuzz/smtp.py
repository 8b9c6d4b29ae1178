"""The SMTP and LMTP machines of the side that takes letters, and the header that a balancer puts before all."""

from __future__ import annotations

import ipaddress

from postoffice.errors import RemoteProtocolError
from postoffice.protocols import proxy as proxy_protocol
from postoffice.protocols.lines import NEED_DATA, Oddity
from postoffice.protocols.smtp.commands import Command, Invalid
from postoffice.protocols.smtp.lmtp import LmtpServer
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.server import Chunk, Response, SmtpServer
from postoffice.protocols.smtp.table import EXCHANGE_OCTETS, Keyword, State
from proof.fuzz.cuts import control_and_octets, cut

_TRANSACTION = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n"


def server(data: bytes) -> None:
    """Every line is answered once, and so is every letter; nothing depends on how the octets were cut."""
    _converse(data, b"EHLO a.example\r\n", SmtpServer)


def lmtp(data: bytes) -> None:
    """The same, and the final dot is answered once for each recipient."""
    _converse(data, b"LHLO a.example\r\n", LmtpServer)


def _converse(data: bytes, hello: bytes, machine: type[SmtpServer]) -> None:
    control, octets = control_and_octets(data)
    octets = hello + (_TRANSACTION if control & 1 else b"") + octets + b"\r\n.\r\nNOOP\r\n"
    whole, in_pieces = _Door(machine()), _Door(machine())
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

    def __init__(self, machine: SmtpServer) -> None:
        self.machine = machine
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
            case Keyword.EHLO | Keyword.HELO | Keyword.LHLO:
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


def proxy(data: bytes) -> None:
    """A header is whole or refused or not here yet, the same for every beginning of the same octets."""
    control, octets = control_and_octets(data)
    if control & 1:
        octets = proxy_protocol.SIGNATURE + octets
    length = _header_octets(octets)
    for end in range(min(len(octets), 120)):
        assert _header_octets(octets[:end]) in (None, length)
    if not isinstance(length, int):
        assert length or len(octets) < proxy_protocol.V1_OCTETS
        return
    assert 8 <= length <= 16 + 65_535
    try:
        caller = proxy_protocol.parse(octets[:length])
    except RemoteProtocolError:
        return
    for address in (caller.source, caller.destination):
        assert address is None or (ipaddress.ip_address(address[0]) and 0 <= address[1] <= 65_535)


def _header_octets(octets: bytes) -> int | str | None:
    """The length of the header, or why there is none, or None where that cannot be told yet."""
    try:
        return proxy_protocol.header_octets(octets)
    except RemoteProtocolError as error:
        return str(error)
