"""Both machines of LMTP: a reply for each recipient behind the final dot, and greetings that only LMTP knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError, RemoteProtocolError
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Answer, Event, SmtpClient
from postoffice.protocols.smtp.commands import END_OF_DATA, Command, Invalid
from postoffice.protocols.smtp.lmtp import LmtpClient, LmtpServer
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.server import Chunk, SmtpServer
from postoffice.protocols.smtp.table import Keyword, State

TAKEN = Reply(250, ("taken",), "2.0.0")
GONE = Reply(550, ("gone",), "5.1.1")
LATER = Reply(421, ("later",), "4.3.2")


def server_at_the_dot(recipients: int, refused: int = 0) -> LmtpServer:
    """A server that is owed the last word to so many recipients."""
    server = LmtpServer()
    server.receive(b"LHLO a\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<x@b.example>\r\n" * (recipients + refused) + b"DATA\r\n")
    while isinstance(command := server.next_command(), Command):
        if command.keyword is Keyword.RCPT and refused:
            refused -= 1
            server.reply(GONE)
        elif command.keyword is Keyword.DATA:
            server.begin_data()
        else:
            server.ok()
    server.receive(b"a letter\r\n.\r\n")
    assert server.next_command() == Chunk(b"a letter\r\n")
    assert server.next_command() is END_OF_DATA
    return server


def client_at_the_dot(recipients: int, refused: int = 0) -> LmtpClient:
    client = LmtpClient()
    greeted(client)
    client.send(commands.lhlo(b"a.example"))
    client.receive(b"250-b\r\n250 PIPELINING\r\n")
    client.next_event()
    group = [commands.mail(b"<>"), *[commands.rcpt(b"<x@b.example>")] * (recipients + refused), commands.DATA]
    for command in group:
        client.send(command)
    client.receive(b"250 ok\r\n" + b"550 no\r\n" * refused + b"250 ok\r\n" * recipients + b"354 go\r\n")
    assert len(heard(client)) == len(group)
    client.data(b"a letter\r\n")
    assert client.end_of_data() == b".\r\n"
    return client


def heard(client: SmtpClient) -> list[Event]:
    events: list[Event] = []
    while (event := client.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def test_each_accepted_recipient_is_owed_a_reply_in_order() -> None:
    server = server_at_the_dot(3, refused=2)
    assert server.recipients == 3
    assert server.reply_to_each([TAKEN, GONE, TAKEN]) == b"250 2.0.0 taken\r\n550 5.1.1 gone\r\n250 2.0.0 taken\r\n"
    assert server.state is State.READY


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_and_too_many_replies_are_a_bug(count: int) -> None:
    server = server_at_the_dot(2)
    with pytest.raises(LocalProtocolError):
        server.reply_to_each([TAKEN] * count)
    assert server.reply(TAKEN) == b"250 2.0.0 taken\r\n" * 2


def test_a_letter_that_was_thrown_away_is_granted_to_nobody() -> None:
    server = server_at_the_dot(2)
    server.reply(TAKEN)
    server.receive(b"MAIL FROM:<>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>\r\nDATA\r\n")
    for _ in range(3):
        server.next_command()
        server.ok()
    server.next_command()
    server.begin_data()
    server.refuse_data()
    server.receive(b"a letter\r\n.\r\n")
    assert server.next_command() is END_OF_DATA
    with pytest.raises(LocalProtocolError):
        server.reply_to_each([TAKEN, GONE])


def test_421_to_the_last_recipient_closes() -> None:
    server = server_at_the_dot(2)
    server.reply(LATER)
    assert server.state is State.CLOSED


@pytest.mark.parametrize("line", [b"EHLO a", b"HELO a"])
def test_only_lhlo_greets(line: bytes) -> None:
    server = LmtpServer()
    server.receive(line + b"\r\n")
    refused = server.next_command()
    assert isinstance(refused, Invalid)
    assert refused.code == 500
    assert server.reject(refused).startswith(b"500 5.5.2 ")
    assert server.state is State.CONNECTED
    with pytest.raises(LocalProtocolError):
        greeted(LmtpClient()).send(commands.ehlo(b"a"))


def greeted(client: SmtpClient) -> SmtpClient:
    client.receive(b"220 b\r\n")
    client.next_event()
    return client


def test_lhlo_is_no_command_of_smtp() -> None:
    server = SmtpServer()
    server.receive(b"LHLO a\r\n")
    refused = server.next_command()
    assert isinstance(refused, Invalid)
    assert refused.code == 500
    with pytest.raises(LocalProtocolError):
        greeted(SmtpClient()).send(commands.lhlo(b"a"))


def test_lhlo_tells_capabilities() -> None:
    server = LmtpServer()
    assert server.greet("b") == b"220 b LMTP\r\n"
    server.receive(b"lhlo a.example\r\n")
    assert isinstance(server.next_command(), Command)
    assert server.hello("b", ["PIPELINING"]) == b"250-b\r\n250 PIPELINING\r\n"
    assert server.client_name == b"a.example"
    assert server.is_extended


def test_the_client_hears_one_answer_for_each_recipient() -> None:
    client = client_at_the_dot(3, refused=1)
    assert client.pending == 3
    client.receive(b"250 2.0.0 taken\r\n421 4.3.2 later\r\n")
    assert heard(client) == [Answer(END_OF_DATA, TAKEN), Answer(END_OF_DATA, LATER)]
    assert client.pending == 1, "421 was not the end"
    client.receive(b"550 5.1.1 gone\r\n")
    assert heard(client) == [Answer(END_OF_DATA, GONE)]
    assert client.state is State.READY


def test_the_next_letter_counts_its_own_recipients() -> None:
    client = client_at_the_dot(2)
    client.receive(b"250 ok\r\n" * 2)
    heard(client)
    for command in (commands.mail(b"<>"), commands.rcpt(b"<x@b.example>"), commands.DATA):
        client.send(command)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    heard(client)
    client.end_of_data()
    assert client.pending == 1


def test_whoever_lets_a_letter_for_nobody_begin_owes_nothing_at_its_end() -> None:
    client = client_at_the_dot(0, refused=2)
    assert client.pending == 0
    assert client.state is State.READY


@pytest.mark.parametrize("recipients", [1, 2])
def test_go_ahead_behind_the_final_dot_is_the_servers_error(recipients: int) -> None:
    client = client_at_the_dot(recipients)
    client.receive(b"354 go\r\n")
    with pytest.raises(RemoteProtocolError):
        client.next_event()


VERDICTS = st.lists(st.sampled_from([TAKEN, GONE, Reply(452, ("full",), "4.2.2")]), min_size=1, max_size=6)


@given(st.lists(VERDICTS, min_size=1, max_size=3), VERDICTS, st.integers(1, 64))
def test_both_ends_agree_on_whose_last_word_it_is(letters: list[list[Reply]], last: list[Reply], size: int) -> None:
    """Whatever is said at RCPT and behind the final dot, and however the octets are cut."""
    server, client = LmtpServer(), LmtpClient()
    carry(client, server.greet("b"), size)
    words: list[Reply] = []
    for at_rcpt in letters:
        group = [commands.mail(b"<>"), *[commands.rcpt(b"<x@b.example>")] * len(at_rcpt), commands.DATA]
        if server.state is State.CONNECTED:
            octets = client.send(commands.lhlo(b"a.example"))
            assert len(carry(client, answered(server, octets, size, [], []), size)) == 1
        octets = b"".join(client.send(command) for command in group)
        told = carry(client, answered(server, octets, size, at_rcpt, words), size)
        takers = sum(reply is TAKEN for reply in at_rcpt)
        assert [answer.reply.code for answer in told[1:-1]] == [reply.code for reply in at_rcpt]
        assert told[-1].reply.code == (354 if takers else 503)
        if takers:
            words = [last[index % len(last)] for index in range(takers)]
            octets = client.data(b"a letter\r\n") + client.end_of_data()
            assert [answer.reply for answer in carry(client, answered(server, octets, size, [], words), size)] == words
        else:
            carry(client, answered(server, client.send(commands.RSET), size, [], []), size)
    assert client.state is server.state is State.READY
    assert client.pending == 0


def answered(server: LmtpServer, octets: bytes, size: int, at_rcpt: list[Reply], words: list[Reply]) -> bytes:
    """What the server says to these octets: these replies to the recipients, these words behind the final dot."""
    said, verdicts = b"", iter(at_rcpt)
    for start in range(0, len(octets), size):
        server.receive(octets[start : start + size])
        while (taken := server.next_command()) is not NEED_DATA:
            match taken:
                case Chunk():
                    pass
                case Invalid():
                    said += server.reject(taken)
                case Command(Keyword.LHLO):
                    said += server.hello("b", ["PIPELINING", "ENHANCEDSTATUSCODES"])
                case Command(Keyword.RCPT):
                    said += server.reply(next(verdicts))
                case Command(Keyword.DATA):
                    said += server.begin_data()
                case Command(Keyword.END_OF_DATA):
                    said += server.reply_to_each(words)
                case _:
                    said += server.ok()
    return said


def carry(client: LmtpClient, octets: bytes, size: int) -> list[Answer]:
    """The answers that the client makes of these octets."""
    answers = []
    for start in range(0, len(octets), size):
        client.receive(octets[start : start + size])
        answers += [event for event in heard(client) if isinstance(event, Answer)]
    return answers
