"""Both machines, coupled in memory: what one sends the other keeps, octet for octet."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from postoffice.protocols.dots import stuff, unstuff
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.sasl import client as sasl_client
from postoffice.protocols.sasl import server as sasl_server
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Answer, Event, SmtpClient
from postoffice.protocols.smtp.commands import Command
from postoffice.protocols.smtp.replies import Challenge, Reply
from postoffice.protocols.smtp.server import Chunk, Response, SmtpServer
from postoffice.protocols.smtp.table import Keyword, State

CLAIM = sasl_server.Claim("", "alice", "secret")
SIZES = st.integers(1, 200)


class Pair:
    """A wire in memory that carries octets in portions of `size`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.client = SmtpClient()
        self.server = SmtpServer()
        self.kept: list[tuple[list[bytes], bytes]] = []
        self.claims: list[sasl_server.Outcome] = []
        self._paths: list[bytes] = []
        self._wire = b""
        self._exchange: sasl_server.Exchange | None = None
        self.client.receive(self.server.greet("b.example"))
        self.client.next_event()

    def carry(self, octets: bytes) -> list[Event]:
        """The client's octets to the server, the server's back, and what the client makes of them."""
        back = b""
        for start in range(0, len(octets), self.size):
            self.server.receive(octets[start : start + self.size])
            while (taken := self.server.next_command()) is not NEED_DATA:
                if isinstance(taken, Chunk):
                    self._wire += taken.wire
                elif isinstance(taken, Response):
                    assert self._exchange is not None
                    back += self._after(self._exchange.step(taken.encoded))
                else:
                    assert isinstance(taken, Command)
                    back += self._answer(taken)
        heard: list[Event] = []
        for start in range(0, len(back), self.size):
            self.client.receive(back[start : start + self.size])
            while (event := self.client.next_event()) is not NEED_DATA:
                heard.append(event)
        return heard

    def _answer(self, command: Command) -> bytes:
        match command.keyword:
            case Keyword.EHLO:
                return self.server.hello("b.example", ["PIPELINING", "AUTH PLAIN LOGIN", "STARTTLS"])
            case Keyword.STARTTLS:
                return self.server.reply(Reply(220, ("go",), "2.0.0"))
            case Keyword.AUTH:
                self._exchange = sasl_server.begin(command.mechanism, command.initial)
                return self._after(self._exchange.outcome)
            case Keyword.MAIL | Keyword.RCPT:
                self._paths.append(command.path)
                return self.server.ok()
            case Keyword.DATA:
                return self.server.begin_data()
            case Keyword.END_OF_DATA:
                self.kept.append((self._paths, self._wire))
                self._paths, self._wire = [], b""
                return self.server.ok("kept")
            case _:
                return self.server.ok()

    def _after(self, outcome: sasl_server.Outcome) -> bytes:
        if isinstance(outcome, sasl_server.Challenge):
            return self.server.challenge(outcome.encoded)
        self.claims.append(outcome)
        return self.server.reply(Reply(235, ("welcome",), "2.7.0"))

    def authenticate(self, mechanism: bytes) -> None:
        exchange = sasl_client.begin(mechanism, CLAIM)
        heard = self.carry(self.client.send(commands.authenticate(mechanism, exchange.initial)))
        while isinstance(heard[-1], Challenge):
            heard = self.carry(self.client.respond(exchange.step(heard[-1].encoded)))


LINES = st.lists(
    st.sampled_from([b"", b".", b"..", b".x", b"text", b"\r", b"\n.", b"\n.\n", b"From me"]), max_size=12
).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


@given(st.lists(LINES, min_size=1, max_size=3), SIZES, SIZES)
def test_letters_with_dots_arrive_octet_for_octet(letters: list[bytes], size: int, portion: int) -> None:
    pair = Pair(size)
    client = pair.client
    pair.carry(client.send(commands.ehlo(b"a.example")))
    for letter in letters:
        group = [commands.mail(b"<alice@a.example>"), commands.rcpt(b"<bob@b.example>"), commands.DATA]
        answers = pair.carry(b"".join(client.send(command) for command in group))
        assert [answer.command for answer in answers if isinstance(answer, Answer)] == group
        wire = stuff(letter)
        octets = b"".join(client.data(wire[at : at + portion]) for at in range(0, len(wire), portion))
        assert pair.carry(octets) == []
        assert pair.carry(client.end_of_data()) == [Answer(commands.END_OF_DATA, Reply(250, ("kept",), "2.0.0"))]
    assert [unstuff(wire) for _, wire in pair.kept] == letters
    assert all(paths == [b"<alice@a.example>", b"<bob@b.example>"] for paths, _ in pair.kept)
    assert client.state is pair.server.state is State.READY


@settings(max_examples=20)
@given(SIZES, st.sampled_from([b"PLAIN", b"LOGIN"]))
def test_a_session_goes_through_tls_and_auth_and_ends_with_quit(size: int, mechanism: bytes) -> None:
    pair = Pair(size)
    client = pair.client
    pair.carry(client.send(commands.ehlo(b"a.example")))
    pair.carry(client.send(commands.STARTTLS))
    pair.server.begin_tls()
    client.begin_tls()
    pair.carry(client.send(commands.ehlo(b"a.example")))
    pair.authenticate(mechanism)
    assert pair.claims == [CLAIM]
    assert client.is_authenticated
    assert pair.server.is_authenticated
    pair.carry(client.send(commands.QUIT))
    assert client.state is pair.server.state is State.CLOSED
