"""What no client should send gets the reply the RFCs want, costs bounded memory, and never stops the office."""

from __future__ import annotations

import random
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, resident_peak
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB, PASSWORD = "bob@a.example", "secret"
LETTER = b"Subject: hello\r\n\r\nhello\r\n"
MORE_MEMORY = 16 * 1024 * 1024
"""What a client may cost a worker at most, in octets."""


@pytest.fixture(scope="module")
def office() -> Iterator[OfficeProcess]:
    with open_folder() as folder:
        make_office(folder / "office", {BOB: PASSWORD})
        with OfficeProcess(folder / "office", CLEAR_TEXT, ["--workers", "1"]) as office:
            with SmtpRaw(office.ports["smtp"]) as client:  # the memory that every worker takes for its first letters
                client.ask("EHLO x.example")
                assert client.send("x@elsewhere.example", [BOB], LETTER) == 250
            with Pop3Raw(office.ports["pop3"]) as reader:
                assert reader.log_in(BOB, PASSWORD).startswith(b"+OK")
                reader.ask("QUIT")
            yield office


@pytest.fixture(autouse=True)
def _lives_on(office: OfficeProcess) -> Iterator[None]:
    """Whatever a test does: the same worker answers after it, takes a letter, and has not grown."""
    (worker,) = office.children("worker")
    before = resident_peak(worker)
    yield
    assert office.children("worker") == [worker]
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        assert client.send("x@elsewhere.example", [BOB], LETTER) == 250
    assert resident_peak(worker) - before < MORE_MEMORY


@pytest.fixture
def smtp(office: OfficeProcess) -> Iterator[SmtpRaw]:
    with SmtpRaw(office.ports["smtp"]) as client:
        assert client.ask("EHLO x.example") == 250
        yield client
        # still in step: exactly one reply to one command
        assert client.ask("NOOP") == 250
        assert client.ask("QUIT") == 221
        assert client.rest() == b""


@pytest.fixture
def pop3(office: OfficeProcess) -> Iterator[Pop3Raw]:
    with Pop3Raw(office.ports["pop3"]) as client:
        assert client.log_in(BOB, PASSWORD).startswith(b"+OK")
        yield client
        assert client.ask("NOOP").startswith(b"+OK")
        assert client.ask("QUIT").startswith(b"+OK")
        assert client.rest() == b""


# --- SMTP


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"NOOP " + b"x" * 20_000 + b"\r\n", 500),
        (b"MAIL FROM:<" + b"x" * 600 + b"@elsewhere.example>\r\n", 501),
        (b"NO\0OP\r\n", 500),
        (b"MAIL FROM:<a\0b@elsewhere.example>\r\n", 500),
        (b"NOOP\n", 500),
        (b"NO\rOP\r\n", 500),
        (b"\r\n", 500),
        (b"\xff\xfe\x80\r\n", 500),
        (b"RCPT TO:<bob@a.example>\r\n", 503),
        (b"DATA\r\n", 503),
        (b"AUTH PLAIN AAAA\r\n", 503),
        (b"EXPN staff\r\n", 502),
        (b"MAIL FROM:<x@elsewhere.example> SIZE=many\r\n", 501),
        (b"MAIL FROM:<x@elsewhere.example> NEW=1\r\n", 555),
        (b"MAIL\r\n", 501),
    ],
)
def test_smtp_answers_a_bad_line_once(smtp: SmtpRaw, line: bytes, code: int) -> None:
    smtp.say(line)
    assert smtp.reply()[0] == code


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\n\r\n.\n"])
def test_no_other_dot_line_ends_a_letter(smtp: SmtpRaw, office: OfficeProcess, end: bytes) -> None:
    smtp.begin("x@elsewhere.example", [BOB])
    smtp.say(b"Subject: one" + end + b"MAIL FROM:<smuggled@elsewhere.example>\r\n\r\n.\r\n")
    code, texts = smtp.reply()
    assert code == 550 or code == 554, texts
    with Pop3Raw(office.ports["pop3"]) as reader:
        reader.log_in(BOB, PASSWORD)
        assert not any(b"smuggled" in reader.retrieve(number) for number in reader.unique_ids())


def test_a_letter_of_nul_octets_and_lines_without_end_comes_out_as_it_is(smtp: SmtpRaw, office: OfficeProcess) -> None:
    letter = b"Subject: \0\r\n\r\n" + b"\0" * 5000 + b"\xff" * 100_000 + b"\r\n"
    assert smtp.send("x@elsewhere.example", [BOB], letter) == 250
    with Pop3Raw(office.ports["pop3"]) as reader:
        reader.log_in(BOB, PASSWORD)
        assert reader.retrieve(max(reader.unique_ids())).endswith(letter)


def test_smtp_sends_away_who_makes_nothing_but_mistakes(office: OfficeProcess) -> None:
    with SmtpRaw(office.ports["smtp"]) as client:
        codes: list[int] = []
        while not codes or codes[-1] != 421:
            codes.append(client.ask("WHAT"))
            assert len(codes) < 100
        assert set(codes[:-1]) == {500}
        assert client.rest() == b""


# --- POP3


@pytest.mark.parametrize(
    "line",
    [
        b"RETR " + b"1" * 20_000 + b"\r\n",
        b"RETR 1\0\r\n",
        b"RETR 0\r\n",
        b"RETR 99999999999999999999\r\n",
        b"RETR +1\r\n",
        b"RETR 1 1\r\n",
        b"RETR\r\n",
        b"TOP 1 -1\r\n",
        b"\r\n",
        b"\xff\xfe\x80\r\n",
        b"STAT\r\r\n",
        b"USER bob\r\n",
        b"APOP bob 00000000000000000000000000000000\r\n",
        b"STLS\r\n",
        b"XTND XMIT\r\n",
    ],
)
def test_pop3_answers_a_bad_line_once(pop3: Pop3Raw, line: bytes) -> None:
    pop3.say(line)
    assert pop3.line().startswith(b"-ERR")


@pytest.mark.parametrize("line", [b"STAT", b"LIST", b"RETR 1", b"DELE 1", b"UIDL", b"RSET", b"NOOP", b"PASS secret"])
def test_pop3_refuses_before_login_what_comes_after_it(office: OfficeProcess, line: bytes) -> None:
    with Pop3Raw(office.ports["pop3"]) as client:
        client.say(line + b"\r\n")
        assert client.line().startswith(b"-ERR")
        assert client.log_in(BOB, PASSWORD).startswith(b"+OK")
        assert client.ask("QUIT").startswith(b"+OK")


# --- at every door


@pytest.mark.parametrize("door", ["smtp", "submission", "pop3"])
def test_a_line_without_end_costs_no_memory(office: OfficeProcess, door: str) -> None:
    with RawClient(office.ports[door]) as client:
        client.line()
        for _ in range(64):
            client.say(b"x" * (1 << 20))
        client.say(b"\r\n")
        assert client.line()[:4] in (b"500 ", b"-ERR")


@pytest.mark.parametrize("door", ["smtp", "submission", "pop3"])
@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n" * 20,
        random.Random(1).randbytes(1 << 20),
        b"\r\n" * 10_000,
        b"\0" * 100_000 + b"\n" * 100,
    ],
    ids=["http", "noise", "empty lines", "nul"],
)
def test_noise_is_refused_and_sent_away(office: OfficeProcess, door: str, noise: bytes) -> None:
    with RawClient(office.ports[door]) as client:
        client.line()
        try:
            client.say(noise)
            said = client.rest()
        except ConnectionError:
            return  # it did not even listen to the end
    assert said
    assert all(line[:1] in b"45-" for line in said.splitlines())


@pytest.mark.parametrize("door", ["smtp", "submission", "pop3"])
def test_tls_at_a_door_without_it_fails_and_nothing_else(office: OfficeProcess, door: str) -> None:
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", office.ports[door]), timeout=20) as connection,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(connection, server_hostname="localhost")


@pytest.mark.parametrize("door", ["submissions", "pop3s"])
def test_plain_words_at_a_door_with_tls_close_it(office: OfficeProcess, door: str) -> None:
    with RawClient(office.ports[door]) as client:
        client.say(b"EHLO x.example\r\n")
        assert client.rest()[:1] != b"2"


@pytest.mark.parametrize(("door", "command"), [("smtp", b"EHLO x.example\r\n"), ("pop3", b"LIST\r\n")])
def test_ten_thousand_commands_of_one_who_does_not_read_are_all_answered(
    office: OfficeProcess, door: str, command: bytes
) -> None:
    with RawClient(office.ports[door]) as client:
        greeting = b"EHLO x.example\r\n" if door == "smtp" else f"USER {BOB}\r\nPASS {PASSWORD}\r\n".encode()
        client.say(greeting)
        client.say(command * 10_000 + b"QUIT\r\n")
        said = client.rest()
    answers = said.count(b"\r\n250 ") - 1 if door == "smtp" else said.count(b"octets)\r\n") - 1
    assert answers == 10_000
    assert said.rstrip().splitlines()[-1][:3] in (b"221", b"+OK")


@pytest.mark.parametrize(
    ("door", "command", "sign"),
    [
        ("smtp", b"EHLO " + b"x" * 240 + b".example\r\n", b"\r\n250 "),
        ("pop3", b"USER " + b"x" * 240 + b"\r\nCAPA\r\n", b"\r\n.\r\n"),
    ],
)
def test_ten_megabytes_of_commands_before_a_word_is_read(
    office: OfficeProcess, door: str, command: bytes, sign: bytes
) -> None:
    """RFC 2449 §6.6: no side waits for the other for ever, as long as the client reads when it can write no more."""
    commands = command * (10_000_000 // len(command))
    said = bytearray()
    with socket.create_connection(("127.0.0.1", office.ports[door]), timeout=20) as client:
        client.setblocking(False)
        rest = memoryview(commands + b"QUIT\r\n")
        while rest:
            readable, writable, _ = select.select([client], [client], [], 20)
            if writable:
                rest = rest[client.send(rest) :]
            else:
                assert readable, "both sides wait for each other"
                said += client.recv(4096)
        client.settimeout(20)
        while octets := client.recv(1 << 20):
            said += octets
    assert said.count(sign) == commands.count(command)
    assert bytes(said.splitlines()[-1][:3]) in (b"221", b"+OK")


def test_who_writes_and_never_reads_costs_no_memory(office: OfficeProcess) -> None:
    """Whatever it asks for, and how often; what it says is left in the network."""
    with ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", office.ports["smtp"]), timeout=20))
            client.setblocking(False)
            flood = memoryview(b"EHLO x.example\r\n" * 2_000_000)
            while flood and select.select([], [client], [], 0.5)[1]:
                flood = flood[client.send(flood) :]
            assert flood, "it was not stopped"
