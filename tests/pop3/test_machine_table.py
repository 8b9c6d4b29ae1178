"""Every cell of the POP3 table: what each command is in each state, on both ends (RFC 1939 §3-§6)."""

from __future__ import annotations

import pytest

from postoffice.errors import LocalProtocolError, RemoteProtocolError
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Answer, Body, EndOfBody, Greeting, Pop3Client
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.grammar import Invalid
from postoffice.protocols.pop3.server import Pop3Server
from postoffice.protocols.pop3.table import RULES, Keyword, Shape, State

SAMPLES: dict[Keyword, Command] = {
    Keyword.APOP: Command(Keyword.APOP, (b"mrose", b"c4c9334bac560ecc979e58001b3e22fb")),
    Keyword.AUTH: commands.authenticate(b"PLAIN", b"AG1yb3NlAHRhbnN0YWFm"),
    Keyword.CAPA: commands.CAPA,
    Keyword.DELE: commands.delete(1),
    Keyword.LANG: commands.LANG,
    Keyword.LIST: commands.LIST,
    Keyword.NOOP: commands.NOOP,
    Keyword.PASS: commands.password(b"tan staaf"),
    Keyword.QUIT: commands.QUIT,
    Keyword.RETR: commands.retrieve(1),
    Keyword.RSET: commands.RSET,
    Keyword.STAT: commands.STAT,
    Keyword.STLS: commands.STLS,
    Keyword.TOP: Command(Keyword.TOP, (1, 10)),
    Keyword.UIDL: commands.UIDL,
    Keyword.USER: commands.user(b"mrose"),
    Keyword.UTF8: commands.UTF8,
}

BEFORE = {"APOP", "AUTH", "CAPA", "LANG", "PASS", "QUIT", "STLS", "USER", "UTF8"}
DURING = {"CAPA", "DELE", "LANG", "LIST", "NOOP", "QUIT", "RETR", "RSET", "STAT", "TOP", "UIDL"}
ALLOWED = {State.AUTHORIZATION: BEFORE, State.TRANSACTION: DURING, State.UPDATE: set(), State.CLOSED: set()}
LOGS_IN = {"APOP", "AUTH", "PASS"}
CELLS = [(state, keyword) for state in (State.AUTHORIZATION, State.TRANSACTION) for keyword in Keyword]
ALLOWED_CELLS = [(state, keyword) for state, keyword in CELLS if keyword.name in ALLOWED[state]]


def server_in(state: State) -> Pop3Server:
    server = Pop3Server()
    server.greet("ready")
    if state is State.TRANSACTION:
        server.receive(b"PASS x\r\n")
        server.next_command()
        server.ok("welcome")
    return server


def client_in(state: State) -> Pop3Client:
    client = Pop3Client()
    client.receive(b"+OK ready\r\n")
    client.next_event()
    if state is State.TRANSACTION:
        client.send(commands.password(b"x"))
        client.receive(b"+OK\r\n")
        client.next_event()
    return client


def test_every_keyword_has_a_rule_and_a_cell_here() -> None:
    assert set(RULES) == set(SAMPLES) == set(Keyword)
    assert {keyword.name for keyword in Keyword} == BEFORE | DURING


@pytest.mark.parametrize(("state", "keyword"), CELLS)
def test_the_server_takes_a_command_only_where_it_belongs(state: State, keyword: Keyword) -> None:
    server = server_in(state)
    server.receive(commands.format_command(SAMPLES[keyword]))
    received = server.next_command()
    if keyword.name in ALLOWED[state]:
        assert received == SAMPLES[keyword]
    else:
        assert isinstance(received, Invalid)
        assert server.error(received.because).startswith(b"-ERR ")
        assert server.state is state


@pytest.mark.parametrize(("state", "keyword"), ALLOWED_CELLS)
def test_a_positive_reply_leads_where_the_table_says_and_a_negative_one_nowhere(state: State, keyword: Keyword) -> None:
    after = State.TRANSACTION if keyword.name in LOGS_IN else State.CLOSED if keyword.name == "QUIT" else state
    for is_ok in (True, False):
        server = server_in(state)
        server.receive(commands.format_command(SAMPLES[keyword]))
        server.next_command()
        if is_ok:
            server.ok()
        else:
            server.error("no")
        assert server.state is (after if is_ok or keyword is Keyword.QUIT else state)


@pytest.mark.parametrize(("state", "keyword"), CELLS)
def test_the_client_says_a_command_only_where_it_belongs(state: State, keyword: Keyword) -> None:
    client = client_in(state)
    if keyword.name in ALLOWED[state]:
        assert client.send(SAMPLES[keyword]) == commands.format_command(SAMPLES[keyword])
    else:
        with pytest.raises(LocalProtocolError):
            client.send(SAMPLES[keyword])
        assert client.pending == 0


@pytest.mark.parametrize("is_ok", [True, False])
@pytest.mark.parametrize(("state", "keyword"), ALLOWED_CELLS)
def test_both_ends_are_in_the_same_state_after_every_reply(state: State, keyword: Keyword, is_ok: bool) -> None:
    server, client = server_in(state), client_in(state)
    server.receive(client.send(SAMPLES[keyword]))
    server.next_command()
    has_body = SAMPLES[keyword].shape in (Shape.LISTING, Shape.LETTER)
    reply = (b"".join(server.ok_listing("", b"1 2\r\n")) if has_body else server.ok()) if is_ok else server.error("no")
    client.receive(reply)
    answer = client.next_event()
    assert isinstance(answer, Answer)
    assert (answer.command, answer.reply.is_ok, answer.has_body) == (
        SAMPLES[keyword],
        is_ok,
        is_ok and has_body,
    )
    if answer.has_body:
        assert client.next_event() == Body(b"1 2\r\n")
        assert isinstance(client.next_event(), EndOfBody)
    assert client.next_event() is NEED_DATA
    assert client.state is server.state


def test_a_complete_quit_is_update_before_it_is_answered() -> None:
    server = server_in(State.TRANSACTION)
    server.receive(b"QUIT\r")
    states = [server.state for received in (server.next_command(),) if received is NEED_DATA]
    server.receive(b"\n")
    server.next_command()
    assert [*states, server.state] == [State.TRANSACTION, State.UPDATE]


def test_an_auth_that_asks_for_the_mechanisms_logs_nobody_in() -> None:
    server, client = server_in(State.AUTHORIZATION), client_in(State.AUTHORIZATION)
    server.receive(client.send(Command(Keyword.AUTH)) + client.send(commands.user(b"mrose")))
    server.next_command()
    client.receive(b"".join(server.ok_listing("", b"PLAIN\r\n")))
    client.next_event()
    assert server.state is client.state is State.AUTHORIZATION


def test_what_is_not_answered_cannot_be_passed_over() -> None:
    server = server_in(State.TRANSACTION)
    server.receive(b"STAT\r\nNOOP\r\n")
    server.next_command()
    with pytest.raises(LocalProtocolError):
        server.next_command()


def test_nothing_is_answered_twice_or_unasked() -> None:
    server = server_in(State.TRANSACTION)
    with pytest.raises(LocalProtocolError):
        server.ok()
    server.receive(b"NOSUCH\r\n")
    server.next_command()
    with pytest.raises(LocalProtocolError):
        server.ok("to what is no command")


def test_nothing_received_before_tls_is_believed_after_it() -> None:
    server = server_in(State.AUTHORIZATION)
    server.receive(b"STLS\r\nUSER mro")
    server.next_command()
    server.ok()
    assert server.unread_octets == 8
    server.begin_tls()
    server.receive(b"CAPA\r\n")
    assert server.next_command() == commands.CAPA


@pytest.mark.parametrize("octets", [b"hello\r\n", b"+ AA==\r\n", b"x" * 10_000])
def test_the_client_knows_what_is_no_greeting(octets: bytes) -> None:
    client = Pop3Client()
    client.receive(octets)
    client.receive(b"\r\n")
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_the_client_finds_the_stamp_in_the_greeting_only_where_there_is_one() -> None:
    for line, stamp in ((b"+OK ready <1.2@a.example>", b"<1.2@a.example>"), (b"+OK <ready>", b"")):
        client = Pop3Client()
        client.receive(line + b"\r\n")
        greeting = client.next_event()
        assert isinstance(greeting, Greeting)
        assert greeting.stamp == stamp


@pytest.mark.parametrize("octets", [b"+OK unasked\r\n", b"garbage\r\n"])
def test_a_reply_to_nothing_is_an_error_of_the_server(octets: bytes) -> None:
    client = client_in(State.AUTHORIZATION)
    client.receive(octets)
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_a_challenge_outside_of_auth_is_an_error_of_the_server() -> None:
    client = client_in(State.AUTHORIZATION)
    client.send(commands.CAPA)
    client.receive(b"+ AAAA\r\n")
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_the_client_begins_no_tls_behind_utf8() -> None:
    client = client_in(State.AUTHORIZATION)
    client.send(commands.UTF8)
    with pytest.raises(LocalProtocolError):
        client.send(commands.STLS)
    assert client.pending == 1


def test_octets_of_the_server_before_tls_are_an_attack() -> None:
    client = client_in(State.AUTHORIZATION)
    client.send(commands.STLS)
    client.receive(b"+OK\r\n+OK injected\r\n")
    client.next_event()
    with pytest.raises(RemoteProtocolError):
        client.begin_tls()
