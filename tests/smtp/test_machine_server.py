"""The server's machine: the same conversation for any split of the octets, in step whatever comes, and no smuggling."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError, Refusal
from postoffice.protocols.dots import END
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.sasl import server as sasl
from postoffice.protocols.smtp.commands import Command, Invalid
from postoffice.protocols.smtp.replies import Reply, from_failed
from postoffice.protocols.smtp.server import Chunk, Response, SmtpServer
from postoffice.protocols.smtp.table import Keyword, State

CAPABILITIES = ("PIPELINING", "SIZE 1000000", "AUTH PLAIN LOGIN")


class Office:
    """A caller of the machine that grants everything and writes down what it took and said."""

    def __init__(self) -> None:
        self.machine = SmtpServer()
        self.taken: list[Command | Invalid | Response] = []
        self.letters: list[bytes] = []
        self.said = self.machine.greet("b.example")
        self._content = b""
        self._exchange: sasl.Exchange | None = None

    def hear(self, octets: bytes) -> None:
        self.machine.receive(octets)
        while (taken := self.machine.next_command()) is not NEED_DATA:
            if isinstance(taken, Chunk):
                self._content += taken.wire
                continue
            assert isinstance(taken, Command | Invalid | Response)
            self.taken.append(taken)
            self.said += self._answer(taken)

    def _answer(self, taken: Command | Invalid | Response) -> bytes:
        machine = self.machine
        if isinstance(taken, Invalid):
            return machine.reject(taken)
        if isinstance(taken, Response):
            assert self._exchange is not None
            return self._after(self._exchange.step(taken.encoded))
        match taken.keyword:
            case Keyword.EHLO | Keyword.HELO:
                return machine.hello("b.example", CAPABILITIES)
            case Keyword.AUTH:
                self._exchange = sasl.begin(taken.mechanism, taken.initial)
                return self._after(self._exchange.outcome)
            case Keyword.DATA:
                return machine.begin_data()
            case Keyword.END_OF_DATA:
                self.letters.append(self._content)
                self._content = b""
                return machine.ok("kept")
            case Keyword.QUIT:
                return machine.reply(Reply(221, ("bye",), "2.0.0"))
            case _:
                return machine.ok()

    def _after(self, outcome: sasl.Outcome) -> bytes:
        if isinstance(outcome, sasl.Challenge):
            return self.machine.challenge(outcome.encoded)
        if isinstance(outcome, sasl.Failed):
            return self.machine.reply(from_failed(outcome))
        return self.machine.reply(Reply(235, ("welcome",), "2.7.0"))


SESSION = (
    b"HELLO?\r\n"
    b"MAIL FROM:<early@a.example>\r\n"
    b"ehlo client.example\r\n"
    b"AUTH LOGIN\r\n" + base64.b64encode(b"bob") + b"\r\n" + base64.b64encode(b"secret") + b"\r\n"
    b"MAIL FROM:<alice@a.example> SIZE=100\n"
    b"MAIL FROM:<alice@a.example> SIZE=100\r\n"
    b"RCPT TO:<bob@b.example>\r\n"
    b"RCPT TO:<bo\rb@b.example>\r\n"
    b"NOOP " + b"x" * 13000 + b"\r\n"
    b"RCPT TO:<carol@b.example> \r\n"
    b"DATA\r\n"
    b"Subject: one\r\n\r\n..a\r\n\n.\r\n.x\r\nlast\r\r\n.\r\n"
    b"RSET\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n.\r\n"
    b"QUIT\r\n"
    b"NOOP after the end\r\n"
)
LETTERS = [b"Subject: one\r\n\r\n..a\r\n\n.\r\n.x\r\nlast\r\r\n", b""]


def whole() -> Office:
    office = Office()
    office.hear(SESSION)
    return office


WHOLE = whole()


def check_same(office: Office) -> None:
    assert office.said == WHOLE.said
    assert office.taken == WHOLE.taken
    assert office.letters == LETTERS
    assert office.machine.state is State.CLOSED


def test_a_session_is_answered_command_by_command() -> None:
    codes = [line[:3] for line in WHOLE.said.split(b"\r\n") if line[3:4] == b" "]
    assert b" ".join(codes) == (b"220 500 503 250 334 334 235 500 250 250 500 500 250 354 250 250 250 250 354 250 221")
    assert WHOLE.letters == LETTERS


@given(st.lists(st.integers(0, len(SESSION)), max_size=40))
def test_any_split_of_a_session_gives_the_same_replies(cuts: list[int]) -> None:
    office = Office()
    for start, end in itertools.pairwise(sorted({0, len(SESSION), *cuts})):
        office.hear(SESSION[start:end])
    check_same(office)


def test_octet_by_octet_gives_the_same_replies() -> None:
    office = Office()
    for index in range(len(SESSION)):
        office.hear(SESSION[index : index + 1])
    check_same(office)


def in_data() -> Office:
    office = Office()
    office.hear(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n")
    assert office.machine.state is State.DATA
    return office


PIECES = [b"\r", b"\n", b".", b"\r\n", b"\x00", b"\x1a", b"x"]


@given(st.lists(st.sampled_from(PIECES), max_size=10).map(b"".join), st.integers(1, 5))
def test_only_crlf_dot_crlf_lets_the_next_command_through(between: bytes, size: int) -> None:
    smuggled = b"MAIL FROM:<evil@e.example>\r\n"
    wire = b"text" + between + smuggled
    office = in_data()
    for start in range(0, len(wire), size):
        office.hear(wire[start : start + size])
    office.hear(END)
    if END in wire:
        assert len(office.letters) >= 1
        assert office.letters[0] == wire[: wire.find(END) + 2]
    else:
        assert office.letters == [wire + b"\r\n"]
        assert [taken.keyword for taken in office.taken[4:] if isinstance(taken, Command)] == [Keyword.END_OF_DATA]


@pytest.mark.parametrize(
    "fake",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n"],
)
def test_known_smuggling_sequences_are_content(fake: bytes) -> None:
    smuggled = b"mail from:<evil@e.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nforged"
    office = in_data()
    office.hear(b"text" + fake + smuggled + END)
    assert office.letters == [b"text" + fake + smuggled + b"\r\n"]
    assert office.machine.state is State.READY


def test_nothing_received_before_tls_survives_it() -> None:
    machine = SmtpServer()
    machine.greet("b.example")
    machine.receive(b"EHLO evil.example\r\nSTARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@e.example>\r\nRCPT")
    assert machine.next_command() == Command(Keyword.EHLO, (b"evil.example",))
    machine.hello("b.example")
    assert machine.client_name == b"evil.example"
    assert machine.next_command() == Command(Keyword.STARTTLS)
    machine.reply(Reply(220, ("go ahead",), "2.0.0"))
    assert machine.unread_octets > 0
    assert machine.next_command() is NEED_DATA
    machine.receive(b"NOOP\r\n")
    assert machine.next_command() is NEED_DATA

    machine.begin_tls()
    assert machine.unread_octets == 0
    assert machine.next_command() is NEED_DATA
    assert (machine.state, machine.client_name, machine.is_encrypted) == (State.CONNECTED, b"", True)
    machine.receive(b"MAIL FROM:<alice@a.example>\r\n")
    assert machine.next_command() == Invalid(503, "5.5.1", "Say EHLO first")


def test_tls_begins_once_and_only_when_granted() -> None:
    machine = SmtpServer()
    with pytest.raises(LocalProtocolError):
        machine.begin_tls()
    machine.receive(b"EHLO x\r\nSTARTTLS\r\n")
    machine.next_command()
    machine.hello("b.example")
    machine.next_command()
    machine.reply(Reply(454, ("TLS is not available",), "4.7.0"))
    with pytest.raises(LocalProtocolError):
        machine.begin_tls()

    inside = SmtpServer(is_encrypted=True)
    inside.receive(b"EHLO x\r\nSTARTTLS\r\n")
    inside.next_command()
    inside.hello("b.example")
    assert inside.next_command() == Invalid(503, "5.5.1", "TLS is active already")


def test_a_cancelled_exchange_and_one_too_long_stay_in_step() -> None:
    office = Office()
    office.hear(b"EHLO x\r\nAUTH PLAIN\r\n*\r\nNOOP\r\n")
    office.hear(b"AUTH PLAIN\r\n" + b"A" * 65_600 + b"\r\nNOOP\r\n")
    office.hear(b"AUTH LOGIN\r\nQUIT\n" + b"NOOP\r\n")
    office.hear(b"AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n")
    codes = [line[:9] for line in office.said.split(b"\r\n")[1:] if line[3:4] == b" "]
    assert codes[1:] == [
        b"334 ", b"501 5.7.0", b"250 2.0.0",
        b"334 ", b"500 5.5.6", b"250 2.0.0",
        b"334 VXNlc", b"500 5.5.2", b"250 2.0.0",
        b"235 2.7.0",
    ]  # fmt: skip


def test_refused_content_is_read_to_its_end_and_never_granted() -> None:
    machine = in_data().machine
    machine.receive(b"much too much\r\n" * 1000)
    assert isinstance(machine.next_command(), Chunk)
    machine.refuse_data()
    for _ in range(100):
        machine.receive(b"much too much\r\n" * 1000)
        assert machine.next_command() is NEED_DATA
        assert machine.unread_octets <= 4
    machine.receive(b".\r\nNOOP\r\n")
    assert machine.next_command() == Command(Keyword.END_OF_DATA)
    with pytest.raises(LocalProtocolError):
        machine.ok("kept")
    assert machine.refuse(Refusal(True, "3.4", "Too large")) == b"552 5.3.4 Too large\r\n"
    assert machine.state is State.READY
    assert machine.next_command() == Command(Keyword.NOOP)


def test_the_next_letter_after_a_refused_one_is_taken() -> None:
    office = in_data()
    office.machine.refuse_data()
    office.machine.receive(b"x\r\n.\r\n")
    assert office.machine.next_command() == Command(Keyword.END_OF_DATA)
    office.machine.refuse(Refusal(True, "3.4", "Too large"))
    office.hear(b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\ny\r\n.\r\n")
    assert office.letters == [b"y\r\n"]


def test_an_endless_line_is_not_kept() -> None:
    machine = SmtpServer()
    for _ in range(200):
        machine.receive(b"x" * 1000)
        assert machine.next_command() is NEED_DATA
        assert machine.unread_octets < 65536
    machine.receive(b"\r\nNOOP\r\n")
    assert machine.next_command() == Invalid(500, "5.5.2", "Line too long")
    machine.reject(Invalid(500, "5.5.2", "Line too long"))
    assert machine.next_command() == Command(Keyword.NOOP)


def test_every_command_is_answered_once_and_in_turn() -> None:
    machine = SmtpServer()
    with pytest.raises(LocalProtocolError):
        machine.ok()
    machine.receive(b"NOOP\r\nNOOP\r\n")
    machine.next_command()
    with pytest.raises(LocalProtocolError):
        machine.next_command()
    with pytest.raises(LocalProtocolError):
        machine.challenge(b"")
    with pytest.raises(LocalProtocolError):
        machine.begin_data()
    machine.ok()
    with pytest.raises(LocalProtocolError):
        machine.ok()
    with pytest.raises(LocalProtocolError):
        machine.refuse_data()


def test_a_line_that_breaks_an_exchange_is_answered_before_the_next() -> None:
    machine = SmtpServer()
    machine.receive(b"EHLO x\r\nAUTH LOGIN\r\nbare\nNOOP\r\n")
    machine.next_command()
    machine.hello("b.example")
    machine.next_command()
    machine.challenge(b"")
    assert machine.next_command() == Invalid(500, "5.5.2", "Lines end with CRLF")
    with pytest.raises(LocalProtocolError):
        machine.next_command()


def test_what_is_no_command_is_never_granted() -> None:
    machine = SmtpServer()
    machine.receive(b"NOSUCH\r\n")
    machine.next_command()
    with pytest.raises(LocalProtocolError):
        machine.ok()


def test_helo_is_told_no_capabilities_and_ehlo_all_of_them() -> None:
    office = Office()
    office.hear(b"HELO old.example\r\n")
    assert office.said.endswith(b"220 b.example ESMTP\r\n250 b.example\r\n")
    assert (office.machine.client_name, office.machine.is_extended) == (b"old.example", False)
    office.hear(b"EHLO new.example\r\n")
    assert office.said.endswith(b"250-b.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 AUTH PLAIN LOGIN\r\n")
    assert (office.machine.client_name, office.machine.is_extended) == (b"new.example", True)


def test_ehlo_inside_a_transaction_ends_it_and_keeps_the_login() -> None:
    office = Office()
    office.hear(
        b"EHLO x\r\nAUTH PLAIN AGJvYgBzZWNyZXQ=\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nEHLO y\r\n"
    )
    assert office.machine.state is State.READY
    assert office.machine.is_authenticated


def test_a_server_may_hang_up_at_any_moment() -> None:
    machine = in_data().machine
    machine.receive(b"half a letter")
    assert machine.hang_up(Reply(421, ("Too slow",), "4.4.2")) == b"421 4.4.2 Too slow\r\n"
    machine.receive(b"\r\n.\r\n")
    assert machine.next_command() is NEED_DATA
    refusing = SmtpServer()
    assert refusing.hang_up(Reply(554, ("No service here",))) == b"554 No service here\r\n"
