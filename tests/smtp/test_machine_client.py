"""The client's machine: replies belong to commands in turn, groups end where RFC 2920 ends them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError, RemoteProtocolError
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Answer, Event, Farewell, Greeting, SmtpClient
from postoffice.protocols.smtp.commands import Command
from postoffice.protocols.smtp.replies import Challenge, Reply
from postoffice.protocols.smtp.table import RULES, Keyword, State

HELLO = (
    b"220 b.example ESMTP\r\n"
    b"250-b.example\r\n250-PIPELINING\r\n250-size 1000\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n"
)
MAIL = commands.mail(b"<alice@a.example>")
RCPT = commands.rcpt(b"<bob@b.example>")


def ready(hello: bytes = HELLO) -> SmtpClient:
    client = SmtpClient()
    client.receive(hello)
    assert isinstance(client.next_event(), Greeting)
    client.send(commands.ehlo(b"a.example"))
    assert isinstance(client.next_event(), Answer)
    return client


def events(client: SmtpClient) -> list[Event]:
    heard: list[Event] = []
    while (event := client.next_event()) is not NEED_DATA:
        heard.append(event)
    return heard


def test_extensions_are_those_of_the_last_ehlo() -> None:
    client = ready()
    assert client.extensions == {"PIPELINING": "", "SIZE": "1000", "AUTH": "PLAIN LOGIN", "STARTTLS": ""}
    client.send(commands.helo(b"a.example"))
    client.receive(b"250 b.example\r\n")
    events(client)
    assert client.extensions == {}


@pytest.mark.parametrize(
    "lines", [b"250-AUTH=LOGIN\r\n250 AUTH PLAIN LOGIN\r\n", b"250-AUTH PLAIN LOGIN\r\n250 AUTH=LOGIN\r\n"]
)
def test_the_proper_auth_line_wins_over_the_old_one(lines: bytes) -> None:
    assert ready(b"220 b\r\n250-b\r\n" + lines).extensions == {"AUTH": "PLAIN LOGIN"}


def test_the_old_auth_line_alone_is_understood() -> None:
    assert ready(b"220 b\r\n250-b\r\n250 AUTH=PLAIN LOGIN\r\n").extensions == {"AUTH": "PLAIN LOGIN"}


SENT = [MAIL, RCPT, RCPT, commands.DATA]
REPLIES = b"250 2.1.0 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n250 2.1.5 ok\r\n354 go\r\n"


@given(st.lists(st.integers(0, len(REPLIES)), max_size=12))
def test_replies_to_a_group_come_in_turn_for_any_split(cuts: list[int]) -> None:
    client = ready()
    assert b"".join(client.send(command) for command in SENT) == (
        b"MAIL FROM:<alice@a.example>\r\nRCPT TO:<bob@b.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n"
    )
    assert client.pending == 4
    heard = []
    for start, end in itertools.pairwise(sorted({0, len(REPLIES), *cuts})):
        client.receive(REPLIES[start:end])
        heard += events(client)
    assert heard == [
        Answer(MAIL, Reply(250, ("ok",), "2.1.0")),
        Answer(RCPT, Reply(550, ("no", "such user"), "5.1.1")),
        Answer(RCPT, Reply(250, ("ok",), "2.1.5")),
        Answer(commands.DATA, Reply(354, ("go",))),
    ]
    assert client.state is State.DATA
    assert client.pending == 0


def test_a_group_that_is_refused_from_its_start_leaves_the_client_ready() -> None:
    client = ready()
    for command in SENT:
        client.send(command)
    client.receive(b"550 5.7.1 no\r\n" + b"503 5.5.1 no\r\n" * 3)
    assert [event.reply.code for event in events(client) if isinstance(event, Answer)] == [550, 503, 503, 503]
    assert client.state is State.READY
    client.send(MAIL)


def test_data_granted_without_recipients_is_ended_by_a_dot() -> None:
    client = ready()
    for command in SENT:
        client.send(command)
    client.receive(b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n")
    events(client)
    assert client.end_of_data() == b".\r\n"
    client.receive(b"554 5.5.1 No valid recipients\r\n")
    assert events(client) == [Answer(commands.END_OF_DATA, Reply(554, ("No valid recipients",), "5.5.1"))]
    assert client.state is State.READY


@pytest.mark.parametrize(
    "last", [word for word in Keyword if RULES[word].ends_group and word not in SmtpClient.foreign]
)
def test_nothing_follows_what_ends_a_group(last: Keyword) -> None:
    client = ready()
    command = (
        Command(last, (b"x",)) if last in {Keyword.EHLO, Keyword.HELO, Keyword.VRFY, Keyword.AUTH} else Command(last)
    )
    if last is Keyword.DATA:
        client.send(MAIL)
        client.send(RCPT)
    client.send(command)
    for following in (MAIL, RCPT, commands.NOOP, commands.RSET, commands.QUIT):
        with pytest.raises(LocalProtocolError):
            client.send(following)


def test_groups_need_pipelining() -> None:
    client = ready(b"220 b\r\n250 b\r\n")
    client.send(MAIL)
    with pytest.raises(LocalProtocolError):
        client.send(RCPT)
    client.receive(b"250 ok\r\n")
    events(client)
    client.send(RCPT)


def test_the_next_letter_may_follow_the_final_dot_at_once() -> None:
    client = ready()
    for command in (MAIL, RCPT, commands.DATA):
        client.send(command)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    events(client)
    assert (
        client.data(b"text\r\n") + client.end_of_data() + client.send(MAIL)
        == b"text\r\n.\r\nMAIL FROM:<alice@a.example>\r\n"
    )
    client.send(commands.rcpt(b"<carol@b.example>"))
    client.receive(b"250 kept\r\n250 ok\r\n")
    assert [event.command for event in events(client) if isinstance(event, Answer)] == [commands.END_OF_DATA, MAIL]
    assert client.state is State.MAIL


@pytest.mark.parametrize(
    ("portions", "end"),
    [
        ([], b".\r\n"),
        ([b"a\r\n"], b".\r\n"),
        ([b"a\r", b"\n"], b".\r\n"),
        ([b"a", b"\r", b"", b"\n"], b".\r\n"),
        ([b"a"], b"\r\n.\r\n"),
        ([b"a\r\n", b"b"], b"\r\n.\r\n"),
        ([b"a\n"], b"\r\n.\r\n"),
        ([b"a\r"], b"\r\n.\r\n"),
        ([b"\n"], b"\r\n.\r\n"),
    ],
)
def test_content_ends_with_crlf_before_its_dot(portions: list[bytes], end: bytes) -> None:
    client = ready()
    for command in (MAIL, RCPT, commands.DATA):
        client.send(command)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    events(client)
    assert b"".join(client.data(portion) for portion in portions) == b"".join(portions)
    assert client.end_of_data() == end
    with pytest.raises(LocalProtocolError):
        client.data(b"more")
    with pytest.raises(LocalProtocolError):
        client.end_of_data()


def test_content_waits_for_354() -> None:
    client = ready()
    for command in (MAIL, RCPT, commands.DATA):
        client.send(command)
    with pytest.raises(LocalProtocolError):
        client.data(b"text")


def test_octets_before_tls_are_an_attack() -> None:
    client = ready()
    client.send(commands.STARTTLS)
    client.receive(b"220 go\r\n250 injected\r\n")
    assert client.next_event() == Answer(commands.STARTTLS, Reply(220, ("go",)))
    with pytest.raises(LocalProtocolError):
        client.send(commands.ehlo(b"a.example"))
    with pytest.raises(RemoteProtocolError):
        client.begin_tls()


def test_a_half_reply_before_tls_is_an_attack_too() -> None:
    client = ready()
    client.send(commands.STARTTLS)
    client.receive(b"220 go\r\n250-injected\r\n")
    assert client.next_event() == Answer(commands.STARTTLS, Reply(220, ("go",)))
    assert client.next_event() is NEED_DATA
    with pytest.raises(RemoteProtocolError):
        client.begin_tls()


def test_what_was_learnt_before_tls_is_forgotten() -> None:
    client = ready()
    client.send(commands.STARTTLS)
    client.receive(b"220 go\r\n")
    client.next_event()
    client.begin_tls()
    assert (client.state, client.extensions, client.is_encrypted) == (State.CONNECTED, {}, True)
    client.send(commands.ehlo(b"a.example"))
    client.receive(b"250 b.example\r\n")
    assert client.next_event() == Answer(commands.ehlo(b"a.example"), Reply(250, ("b.example",)))
    with pytest.raises(LocalProtocolError):
        client.send(commands.STARTTLS)


def test_tls_begins_only_where_it_was_granted() -> None:
    client = ready()
    with pytest.raises(LocalProtocolError):
        client.begin_tls()
    client.send(commands.STARTTLS)
    client.receive(b"454 4.7.0 not now\r\n")
    client.next_event()
    with pytest.raises(LocalProtocolError):
        client.begin_tls()
    client.send(MAIL)


def test_a_challenge_is_answered_once() -> None:
    client = ready()
    client.send(commands.authenticate(b"LOGIN"))
    with pytest.raises(LocalProtocolError):
        client.respond(b"early")
    client.receive(b"334 VXNlcm5hbWU6\r\n")
    assert client.next_event() == Challenge(b"VXNlcm5hbWU6")
    with pytest.raises(LocalProtocolError):
        client.respond(b"Ym9i\r\nQUIT")
    assert client.respond(b"Ym9i") == b"Ym9i\r\n"
    with pytest.raises(LocalProtocolError):
        client.respond(b"Ym9i")
    client.receive(b"334\r\n")
    assert client.next_event() == Challenge(b"")
    client.respond(b"*")
    client.receive(b"501 5.7.0 cancelled\r\n")
    assert client.next_event() == Answer(commands.authenticate(b"LOGIN"), Reply(501, ("cancelled",), "5.7.0"))
    assert not client.is_authenticated
    client.send(commands.authenticate(b"PLAIN"))


@pytest.mark.parametrize(
    "octets",
    [b"250 what?\r\n", b"334 \r\n", b"hello\r\n", b"250 ok", b"250-a\r\n251 b\r\n", b"220-" + b"x" * 9000 + b"\r\n"],
)
def test_a_reply_to_nothing_and_nonsense_end_the_session(octets: bytes) -> None:
    client = ready()
    client.receive(octets + b"\r\n")
    with pytest.raises(RemoteProtocolError):
        events(client)


def test_a_reply_of_the_wrong_class_is_the_other_sides_fault() -> None:
    client = ready()
    client.send(MAIL)
    client.receive(b"354 go\r\n")
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_421_is_heard_at_any_moment() -> None:
    client = ready()
    client.receive(b"421 4.3.2 going down\r\n")
    assert client.next_event() == Farewell(Reply(421, ("going down",), "4.3.2"))
    assert client.state is State.CLOSED

    client = ready()
    for command in (MAIL, RCPT):
        client.send(command)
    client.receive(b"421 4.3.2 going down\r\n")
    assert client.next_event() == Answer(MAIL, Reply(421, ("going down",), "4.3.2"))
    assert (client.state, client.pending) == (State.CLOSED, 1)

    client = SmtpClient()
    client.receive(b"421 busy\r\n")
    assert client.next_event() == Greeting(Reply(421, ("busy",)))
    assert client.state is State.CLOSED


def test_nothing_is_said_before_the_greeting() -> None:
    client = SmtpClient()
    with pytest.raises(LocalProtocolError):
        client.send(commands.ehlo(b"a.example"))
