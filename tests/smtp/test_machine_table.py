"""Every (state, command) cell, asserted for both ends from one written-out matrix. LMTP's greeting has its own."""

from __future__ import annotations

import pytest

from postoffice.errors import LocalProtocolError
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Answer, SmtpClient
from postoffice.protocols.smtp.commands import Command, Invalid
from postoffice.protocols.smtp.replies import Reply, format_reply
from postoffice.protocols.smtp.server import Chunk, SmtpServer
from postoffice.protocols.smtp.table import RULES, Keyword, State

# What a success leads to; `-` is refused (503, for DATA without recipients 554).
MATRIX = """
            CONNECTED  READY      MAIL       RCPT       DATA
EHLO        READY      READY      READY      READY      -
HELO        READY      READY      READY      READY      -
STARTTLS    -          CONNECTED  -          -          -
AUTH        -          READY      -          -          -
MAIL        -          MAIL       -          -          -
RCPT        -          -          RCPT       RCPT       -
DATA        -          -          -          DATA       -
END_OF_DATA -          -          -          -          READY
RSET        CONNECTED  READY      READY      READY      -
NOOP        CONNECTED  READY      MAIL       RCPT       -
VRFY        CONNECTED  READY      MAIL       RCPT       -
QUIT        CLOSED     CLOSED     CLOSED     CLOSED     -
"""

COMMANDS = {
    Keyword.AUTH: commands.authenticate(b"PLAIN", b"AGJvYgBzZWNyZXQ="),
    Keyword.DATA: commands.DATA,
    Keyword.EHLO: commands.ehlo(b"client.example"),
    Keyword.END_OF_DATA: commands.END_OF_DATA,
    Keyword.HELO: commands.helo(b"client.example"),
    Keyword.LHLO: commands.lhlo(b"client.example"),
    Keyword.MAIL: commands.mail(b"<alice@a.example>"),
    Keyword.NOOP: commands.NOOP,
    Keyword.QUIT: commands.QUIT,
    Keyword.RCPT: commands.rcpt(b"<bob@b.example>"),
    Keyword.RSET: commands.RSET,
    Keyword.STARTTLS: commands.STARTTLS,
    Keyword.VRFY: commands.verify(b"bob"),
}
PATHS = {
    State.CONNECTED: [],
    State.READY: [Keyword.EHLO],
    State.MAIL: [Keyword.EHLO, Keyword.MAIL],
    State.RCPT: [Keyword.EHLO, Keyword.MAIL, Keyword.RCPT],
    State.DATA: [Keyword.EHLO, Keyword.MAIL, Keyword.RCPT, Keyword.DATA],
    State.CLOSED: [Keyword.QUIT],
}
_STATES, *_ROWS = [line.split() for line in MATRIX.strip().splitlines()]
CELLS = [
    (State[state], Keyword[keyword], None if cell == "-" else State[cell])
    for keyword, *cells in _ROWS
    for state, cell in zip(_STATES, cells, strict=True)
]
LINES = [cell for cell in CELLS if cell[1] is not Keyword.END_OF_DATA]


def success(keyword: Keyword) -> Reply:
    return Reply(RULES[keyword].success * 100 + (54 if keyword is Keyword.DATA else 50), ("fine",))


def octets_of(keyword: Keyword) -> bytes:
    return b".\r\n" if keyword is Keyword.END_OF_DATA else commands.format_command(COMMANDS[keyword])


def server_in(state: State) -> SmtpServer:
    server = SmtpServer()
    server.greet("b.example")
    for keyword in PATHS[state]:
        server.receive(octets_of(keyword))
        assert isinstance(server.next_command(), Command)
        server.reply(success(keyword))
    assert server.state is state
    return server


def client_in(state: State) -> SmtpClient:
    client = SmtpClient()
    client.receive(b"220 b.example\r\n")
    client.next_event()
    for keyword in PATHS[state]:
        client.send(COMMANDS[keyword])
        client.receive(format_reply(success(keyword)))
        assert isinstance(client.next_event(), Answer)
    assert client.state is state
    return client


def test_the_matrix_names_every_state_and_every_command() -> None:
    assert {(state, keyword) for state, keyword, _ in CELLS} == {
        (state, keyword)
        for state in State
        if state is not State.CLOSED
        for keyword in Keyword
        if keyword not in SmtpServer.foreign
    }


@pytest.mark.parametrize(("state", "keyword", "after"), LINES)
def test_the_server_grants_what_the_matrix_allows(state: State, keyword: Keyword, after: State | None) -> None:
    server = server_in(state)
    server.receive(octets_of(keyword))
    taken = server.next_command()
    if state is State.DATA:
        assert isinstance(taken, Chunk)
        assert server.state is State.DATA
    elif after is None:
        assert isinstance(taken, Invalid)
        no_recipients = keyword is Keyword.DATA and state is State.MAIL
        assert (taken.code, taken.status) == (554 if no_recipients else 503, "5.5.1")
        assert server.reject(taken).startswith(b"5")
        assert server.state is state
    else:
        assert taken == COMMANDS[keyword]
        assert server.reply(success(keyword)).endswith(b" fine\r\n")
        assert server.state is after


@pytest.mark.parametrize("code", [450, 550])
@pytest.mark.parametrize(("state", "keyword", "after"), CELLS)
def test_a_refusal_changes_nothing_but_at_quit_and_the_final_dot(
    state: State, keyword: Keyword, after: State | None, code: int
) -> None:
    if after is None:
        assert state not in RULES[keyword].states
        return
    then = {Keyword.QUIT: State.CLOSED, Keyword.END_OF_DATA: State.READY}.get(keyword, state)
    server = server_in(state)
    server.receive(octets_of(keyword))
    assert server.next_command() == COMMANDS[keyword]
    server.reply(Reply(code, ("no",)))
    assert server.state is then

    client = client_in(state)
    if keyword is Keyword.END_OF_DATA:
        client.end_of_data()
    else:
        client.send(COMMANDS[keyword])
    client.receive(b"%d no\r\n" % code)
    assert client.next_event() == Answer(COMMANDS[keyword], Reply(code, ("no",)))
    assert client.state is then


@pytest.mark.parametrize(("state", "keyword", "after"), CELLS)
def test_421_in_reply_to_anything_ends_the_session(state: State, keyword: Keyword, after: State | None) -> None:
    server = server_in(state)
    server.receive(octets_of(keyword) if state is not State.DATA else b".\r\n")
    server.next_command()
    server.reply(Reply(421, ("going down",), "4.3.2"))
    assert server.state is State.CLOSED
    server.receive(b"NOOP\r\n")
    assert server.next_command() is NEED_DATA
    assert server.unread_octets == 0
    if after is None:
        return
    client = client_in(state)
    if keyword is Keyword.END_OF_DATA:
        client.end_of_data()
    else:
        client.send(COMMANDS[keyword])
    client.receive(b"421 4.3.2 going down\r\n")
    assert client.next_event() == Answer(COMMANDS[keyword], Reply(421, ("going down",), "4.3.2"))
    assert client.state is State.CLOSED


@pytest.mark.parametrize(("state", "keyword", "after"), CELLS)
def test_the_client_sends_what_the_matrix_allows(state: State, keyword: Keyword, after: State | None) -> None:
    client = client_in(state)
    if keyword is Keyword.END_OF_DATA:
        if after is None:
            with pytest.raises(LocalProtocolError):
                client.end_of_data()
            return
        assert client.end_of_data() == b".\r\n"
    elif after is None:
        with pytest.raises(LocalProtocolError):
            client.send(COMMANDS[keyword])
        assert client.state is state
        return
    else:
        assert client.send(COMMANDS[keyword]) == octets_of(keyword)
    assert client.state is state
    client.receive(format_reply(success(keyword)))
    assert client.next_event() == Answer(COMMANDS[keyword], success(keyword))
    assert client.state is after


@pytest.mark.parametrize("keyword", list(Keyword))
def test_nothing_is_said_or_heard_in_a_closed_session(keyword: Keyword) -> None:
    server = server_in(State.CLOSED)
    server.receive(octets_of(keyword))
    assert server.next_command() is NEED_DATA
    client = client_in(State.CLOSED)
    with pytest.raises(LocalProtocolError):
        client.send(COMMANDS[keyword])
    client.receive(b"250 hello?\r\n")
    assert client.next_event() is NEED_DATA


@pytest.mark.parametrize("keyword", list(Keyword))
def test_a_reply_of_a_class_that_the_table_does_not_know_is_a_bug(keyword: Keyword) -> None:
    state = next(iter(RULES[keyword].states))
    server = server_in(state)
    server.receive(octets_of(keyword))
    server.next_command()
    with pytest.raises(LocalProtocolError):
        server.reply(Reply(350 if RULES[keyword].success == 2 else 250, ("what?",)))
    assert server.state is state


def test_auth_is_granted_once_a_session() -> None:
    server = server_in(State.READY)
    for expected in (COMMANDS[Keyword.AUTH], Invalid(503, "5.5.1", "You are authenticated already")):
        server.receive(octets_of(Keyword.AUTH))
        taken = server.next_command()
        assert taken == expected
        server.reply(Reply(235, ("welcome",), "2.7.0") if isinstance(taken, Command) else Reply(503, ("no",)))
    assert server.is_authenticated

    client = client_in(State.READY)
    client.send(COMMANDS[Keyword.AUTH])
    client.receive(b"235 2.7.0 welcome\r\n")
    client.next_event()
    assert client.is_authenticated
    with pytest.raises(LocalProtocolError):
        client.send(COMMANDS[Keyword.AUTH])
