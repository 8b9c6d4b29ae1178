"""What is a SMTP command, and with which code everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.errors import LocalProtocolError
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.commands import Command, Invalid, format_command, parse
from postoffice.protocols.smtp.table import Keyword

ATOM = st.from_regex(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,30}", fullmatch=True)
QUOTED = st.from_regex(rb'"([ !#-\[\]-~]|\\[ -~]){0,20}"', fullmatch=True)
PATHS = st.one_of(
    st.just(b"<>"),
    st.builds(lambda local, domain: b"<" + local + b"@" + domain + b">", ATOM | QUOTED, ATOM),
    st.just("<nguyễn@ví-dụ.example>".encode()),
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "SIZE": st.integers(0, 10**20 - 1).map(str),
        "BODY": st.sampled_from(["7BIT", "8BITMIME"]),
        "SMTPUTF8": st.none(),
        "AUTH": st.sampled_from(["<>", "e+3Dmc2@example.com"]),
    },
)
WORD = st.from_regex(rb"[!-~]{1,40}", fullmatch=True)
COMMANDS = st.one_of(
    st.builds(commands.ehlo, WORD),
    st.builds(commands.helo, WORD),
    st.builds(commands.mail, PATHS, PARAMETERS),
    st.builds(commands.rcpt, PATHS),
    st.builds(commands.verify, WORD),
    st.sampled_from([commands.DATA, commands.NOOP, commands.QUIT, commands.RSET, commands.STARTTLS]),
    st.builds(
        commands.authenticate,
        st.sampled_from([b"PLAIN", b"LOGIN", b"SCRAM-SHA-256"]),
        st.sampled_from([None, b"=", b"AGJvYgBzZWNyZXQ="]),
    ),
)


@given(COMMANDS)
def test_what_a_client_formats_a_server_parses(command: Command) -> None:
    line = format_command(command)
    assert line.endswith(b"\r\n")
    assert parse(line[:-2]) == command


@given(COMMANDS)
def test_keywords_come_in_any_case_and_with_blanks_behind(command: Command) -> None:
    line = format_command(command)[:-2]
    word, space, rest = line.partition(b" ")
    assert parse(word.lower() + space + rest + b" \t ") == command


@given(
    st.binary(max_size=600)
    | st.builds(lambda a, b: a + b, st.sampled_from([b"MAIL FROM:", b"RCPT TO:<", b"AUTH "]), st.binary(max_size=60))
)
def test_any_line_is_a_command_or_a_clear_no(line: bytes) -> None:
    line = line.replace(b"\n", b"")
    parsed = parse(line)
    if isinstance(parsed, Invalid):
        assert parsed.code in {500, 501, 502, 503, 555}
        assert parsed.status.startswith("5.5.")
        assert parsed.text.isascii()
        assert parsed.text.isprintable()
    else:
        assert parse(format_command(parsed)[:-2]) == parsed


@pytest.mark.parametrize(
    ("line", "code", "status"),
    [
        (b"", 500, "5.5.2"),
        (b"EHLOO x", 500, "5.5.2"),
        (b"GET / HTTP/1.1", 500, "5.5.2"),
        (b".", 500, "5.5.2"),
        (b"EXPN list", 502, "5.5.1"),
        (b"help", 502, "5.5.1"),
        (b"BDAT 100 LAST", 502, "5.5.1"),
        (b"EHLO", 501, "5.5.4"),
        (b"HELO ", 501, "5.5.4"),
        (b"EHLO two names", 501, "5.5.4"),
        (b"EHLO \xff", 501, "5.5.4"),
        (b"DATA now", 501, "5.5.4"),
        (b"QUIT please", 501, "5.5.4"),
        (b"RSET x", 501, "5.5.4"),
        (b"STARTTLS x", 501, "5.5.4"),
        (b"VRFY", 501, "5.5.4"),
        (b"AUTH", 501, "5.5.4"),
        (b"AUTH PLAIN =AAA", 501, "5.5.4"),
        (b"AUTH PLAIN AAAA AAAA", 501, "5.5.4"),
        (b"MAIL", 501, "5.5.4"),
        (b"MAIL FROM:", 501, "5.5.4"),
        (b"MAIL FROM:alice@a.example", 501, "5.5.4"),
        (b"MAIL FROM <alice@a.example>", 501, "5.5.4"),
        (b"MAIL TO:<alice@a.example>", 501, "5.5.4"),
        (b"MAIL FROM:<alice@a.example", 501, "5.5.4"),
        (b"MAIL FROM:<alice@a.example>>", 501, "5.5.4"),
        (b"MAIL FROM:<alice@a.example>SIZE=1", 501, "5.5.4"),
        (b'MAIL FROM:<"alice@a.example>', 501, "5.5.4"),
        (b"RCPT FROM:<bob@b.example>", 501, "5.5.4"),
        (b"MAIL FROM:<> SIZE", 501, "5.5.4"),
        (b"MAIL FROM:<> SIZE=", 501, "5.5.4"),
        (b"MAIL FROM:<> SIZE=1k", 501, "5.5.4"),
        (b"MAIL FROM:<> SIZE=-1", 501, "5.5.4"),
        (b"MAIL FROM:<> SIZE=" + b"9" * 21, 501, "5.5.4"),
        (b"MAIL FROM:<> SIZE=1 size=2", 501, "5.5.4"),
        (b"MAIL FROM:<> BODY=BINARYMIME", 501, "5.5.4"),
        (b"MAIL FROM:<> SMTPUTF8=yes", 501, "5.5.4"),
        (b"MAIL FROM:<> =x", 501, "5.5.4"),
        (b"MAIL FROM:<> RET=FULL", 555, "5.5.4"),
        (b"RCPT TO:<bob@b.example> NOTIFY=NEVER", 555, "5.5.4"),
        (b"RCPT TO:<bob@b.example> SIZE=1", 555, "5.5.4"),
        (b"NOOP \x00", 500, "5.5.2"),
        (b"RCPT TO:<bob\x00@b.example>", 500, "5.5.2"),
        (b"NOOP\rQUIT", 500, "5.5.2"),
        (b"RCPT TO:<bob@b.example>\rRCPT TO:<carol@b.example>", 500, "5.5.2"),
    ],
)
def test_what_is_no_command_has_the_code_that_the_rfc_wants(line: bytes, code: int, status: str) -> None:
    parsed = parse(line)
    assert isinstance(parsed, Invalid)
    assert (parsed.code, parsed.status) == (code, status)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"MAIL FROM: <alice@a.example>", b"<alice@a.example>"),
        (b"mail from:<>", b"<>"),
        (b"RCPT TO:<@relay.example,@x.example:bob@b.example>", b"<@relay.example,@x.example:bob@b.example>"),
        (b'RCPT TO:<"bob > \\" bob"@b.example>', b'<"bob > \\" bob"@b.example>'),
        (b"RCPT to:  <postmaster>", b"<postmaster>"),
    ],
)
def test_paths_keep_what_stands_in_their_brackets(line: bytes, path: bytes) -> None:
    parsed = parse(line)
    assert isinstance(parsed, Command)
    assert parsed.path == path
    assert parsed.parameters == {}


def test_parameters_come_in_any_case() -> None:
    parsed = parse(b"MAIL FROM:<a@a.example>  size=10 Body=8bitmime smtputf8 AUTH=<>")
    assert isinstance(parsed, Command)
    assert parsed.parameters == {"SIZE": "10", "BODY": "8bitmime", "SMTPUTF8": None, "AUTH": "<>"}


@pytest.mark.parametrize(
    ("start", "fill", "room"),
    [
        (b"NOOP ", b"x", 512),
        (b"VRFY ", b"x", 512),
        (b"RCPT TO:<b@b.example> X=", b"x", 512),
        (b"NOSUCH ", b"x", 512),
        (b"MAIL FROM:<a@a.example> X=", b"x", 1065),
        (b"AUTH PLAIN ", b"A", 65536),
    ],
)
def test_each_command_has_its_longest_line(start: bytes, fill: bytes, room: int) -> None:
    fits = start + fill * (room - 2 - len(start))
    assert parse(fits) != commands.TOO_LONG
    assert parse(fits + fill) == commands.TOO_LONG


def test_a_hopeless_path_costs_no_more_than_its_length() -> None:
    for tail in (b"<" + b"a" * 900, b"<" + b'"a' * 450, b"<" + b"\\" * 900, b'<"' + b"\\a" * 450):
        assert isinstance(parse(b"MAIL FROM:" + tail), Invalid)


@pytest.mark.parametrize(
    "command",
    [
        commands.rcpt(b"<bob@b.example>\r\nRCPT TO:<eve@e.example>"),
        commands.rcpt(b"<bob\n@b.example>"),
        commands.ehlo(b"x\rQUIT"),
        commands.mail(b"<a@a.example>", {"AUTH": "<>\r\nQUIT"}),
        commands.verify(b"a\0b"),
        commands.verify(b"x" * 600),
        Command(Keyword.AUTH, (b"PLAIN", b"A" * 66_000)),
    ],
)
def test_a_client_cannot_be_made_to_send_two_lines_or_a_line_too_long(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        format_command(command)


def test_an_initial_response_that_does_not_fit_is_left_out() -> None:
    longest = b"A" * (512 - len(b"AUTH PLAIN \r\n"))
    assert commands.authenticate(b"PLAIN", longest).initial == longest
    assert commands.authenticate(b"PLAIN", longest + b"A").initial is None
    assert len(format_command(commands.authenticate(b"PLAIN", longest))) == 512
