"""`postoffice sendmail`: what programs write is durable when it ends with 0, and else nothing is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.cli.sendmail import order
from postoffice.errors import UsageError
from postoffice.testing.command import PROGRAM, as_somebody
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, wait_until
from postoffice.testing.raw import Pop3Raw

BOB, CAROL = "bob@a.example", "carol@a.example"
AS_SOMEBODY = as_somebody("email.mime", "postoffice.cli.handover", "postoffice.cli.sendmail", user=65533)
"""A user who has no name."""


@pytest.fixture(scope="module")
def office() -> Iterator[OfficeProcess]:
    with open_folder() as folder:
        make_office(folder / "office", dict.fromkeys((BOB, CAROL), "secret"))
        nowhere = '[relay.routes."*"]\nhost = "127.0.0.1"\nport = 9\n'
        config = f'{CLEAR_TEXT}[office.sockets]\nsendmail = "{folder / "sendmail"}"\n{nowhere}'
        with OfficeProcess(folder / "office", config) as office:
            yield office


def sendmail(
    office: OfficeProcess, *words: str, given: bytes = b"hello\n", folder: bool = False, program: str = PROGRAM
) -> tuple[int, str, str]:
    """Status, standard output, standard error."""
    way = ["--data", str(office.data)] if folder else ["--socket", str(office.data.parent / "sendmail")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "sendmail", *way, *words],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def take(office: OfficeProcess, address: str) -> list[bytes]:
    """The letters of an account, which has none afterwards."""
    with Pop3Raw(office.ports["pop3"]) as client:
        assert client.log_in(address, "secret").startswith(b"+OK")
        letters = [client.retrieve(number) for number in client.unique_ids()]
        for number in range(1, len(letters) + 1):
            client.ask(f"DELE {number}")
        client.ask("QUIT")
    return letters


def queue(office: OfficeProcess) -> str:
    words = [sys.executable, "-m", "postoffice", "queue", "--data", str(office.data)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(params=[False, True], ids=["socket", "folder"])
def folder(request: pytest.FixtureRequest) -> bool:
    """Both ways in which it is handed over."""
    return bool(request.param)


def test_the_recipients_of_the_header_get_it_and_nobody_sees_the_blind_ones(
    office: OfficeProcess, folder: bool
) -> None:
    given = b"To: Bob <bob@a.example>\nBcc: carol@a.example\nSubject: x\n\n.starts with a dot\n..\n"
    status, out, said = sendmail(office, "-t", "-v", given=given, folder=folder)
    assert (status, said) == (0, "")
    assert out.startswith("taken as ")
    for address in (BOB, CAROL):
        [letter] = take(office, address)
        assert b"Bcc" not in letter
        assert b"carol" not in letter.partition(b"\r\n\r\n")[0]
        assert b"\r\nMessage-ID: <" in letter
        assert b"\r\nReceived: from localhost (uid %d) by a.example with ESMTP id " % os.getuid() in letter
        assert letter.endswith(b"\r\n\r\n.starts with a dot\r\n..\r\n")


def test_a_user_of_this_machine_is_an_account_or_whoever_answers_for_the_domain(
    office: OfficeProcess, folder: bool
) -> None:
    given = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron\n\n10%\r20%\n"
    assert sendmail(office, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", given=given, folder=folder)[0] == 0
    assert sendmail(office, "carol", "x@localhost", folder=folder)[0] == 0
    first, second = take(office, BOB)
    assert b"\r\nFrom: Cron Daemon <root@a.example>\r\nTo: root@a.example\r\n" in first
    assert first.endswith(b"\r\n\r\n10%\r\n20%\r\n")
    assert [second.partition(b"\r\nFrom:")[2]] == [one.partition(b"\r\nFrom:")[2] for one in take(office, CAROL)]


def test_a_lone_dot_ends_it_unless_it_may_be_in_the_letter(office: OfficeProcess, folder: bool) -> None:
    for word, end in (
        ("-oem", b"x\r\n"),
        ("-i", b"x\r\n.\r\ny\r\n"),
        ("-oi", b"x\r\n.\r\ny\r\n"),
        ("-ti", b"x\r\n.\r\ny\r\n"),
    ):
        assert sendmail(office, word, BOB, given=b"\nx\n.\ny\n", folder=folder)[0] == 0
        [letter] = take(office, BOB)
        assert letter.endswith(b"\r\n\r\n" + end), word


def test_who_hears_of_failures_is_who_was_named(office: OfficeProcess, folder: bool) -> None:
    for words, path in (
        (("-f", "news@a.example"), b"<news@a.example>"),
        (("-r", "<news@a.example>"), b"<news@a.example>"),
        (("-f", ""), b"<>"),
        (("-f", "<>"), b"<>"),
        (("-fnews",), b"<news@a.example>"),
    ):
        assert sendmail(office, *words, "-F", "Nëws", BOB, folder=folder)[0] == 0
        [letter] = take(office, BOB)
        assert letter.startswith(b"Return-Path: " + path + b"\r\n")
        assert b"\r\nFrom: =?utf-8?b?TsOrd3M=?= <" in letter


def test_a_letter_to_another_office_is_in_the_queue(office: OfficeProcess, folder: bool) -> None:
    before = queue(office).count("\n")
    assert sendmail(office, "dan@d.example", "chữ@e.example", folder=folder)[0] == 0
    assert queue(office).count("\n") == before + 2


@pytest.mark.parametrize(
    ("words", "given", "status", "said"),
    [
        (("bob@a.example", "nobody@a.example"), b"x\n", 67, "nobody@a.example: 5.1.1 No such mailbox here"),
        (("bob@a.example", "x y@a.example"), b"x\n", 65, "'x y@a.example': The address is not written as RFC 5321"),
        (("-f", "a@b@c", "bob@a.example"), b"x\n", 65, "'a@b@c': The address is not written as RFC 5321"),
        (("-t",), b"Subject: x\n\nTo: bob@a.example\n", 65, "the letter names no recipient in To, Cc or Bcc"),
        (("-t",), b"To: bob@a.example, <x@>\n\n", 65, "'bob@a.example, <x@>'"),
        ((), b"x\n", 64, "to whom? Name recipients, or use -t"),
    ],
)
def test_what_is_wrong_is_said_and_nobody_gets_anything(
    office: OfficeProcess, folder: bool, words: tuple[str, ...], given: bytes, status: int, said: str
) -> None:
    found = sendmail(office, *words, given=given, folder=folder)
    assert found[:2] == (status, ""), found
    assert said in found[2]
    assert take(office, BOB) == []


def test_any_user_who_reaches_the_socket_may_send_and_is_told_by_his_number(office: OfficeProcess) -> None:
    assert sendmail(office, BOB, program=AS_SOMEBODY) == (0, "", "")
    [letter] = take(office, BOB)
    number = 65533 if os.getuid() == 0 else os.getuid()
    assert b"\r\nReceived: from localhost (uid %d) by a.example" % number in letter

    def told() -> bool:
        closed = [one for one in office.events() if one["event"] == "smtp.closed" and one["door"] == "sendmail"]
        return f"uid {number}" in [one["credential"] for one in closed]

    wait_until(told, "the log has his number")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_not_is_told_so(office: OfficeProcess) -> None:
    status, _, said = sendmail(office, BOB, program=AS_SOMEBODY, folder=True)
    assert (status, said) == (77, f"postoffice: {office.data}: you may not look into it: Permission denied\n")
    path = office.data.parent / "sendmail"
    path.chmod(0o600)
    try:
        assert sendmail(office, BOB, program=AS_SOMEBODY) == (
            77,
            "",
            f"postoffice: {path}: you may not send mail here: Permission denied\n",
        )
    finally:
        path.chmod(0o666)


def test_without_an_office_it_is_tried_again_later_and_into_the_folder_it_goes(tmp_path: Path) -> None:
    with open_folder() as folder:
        make_office(folder / "office", {BOB: "secret"})
        office = OfficeProcess(folder / "office", CLEAR_TEXT)
        status, out, said = sendmail(office, BOB)
        assert (status, out) == (75, "")
        assert said.startswith(f"postoffice: no office answers at {folder / 'sendmail'}: No such file or directory;")
        assert sendmail(office, BOB, folder=True) == (0, "", "")
        with office:
            assert len(take(office, BOB)) == 1


# --- the options


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("-bs", "sendmail -bs: use the SMTP doors of `postoffice serve`"),
        ("-bd -q15m", "sendmail -bd: use `postoffice serve`"),
        ("-bp", "sendmail -bp: use `postoffice queue`"),
        ("-bx", "sendmail -bx: there is no such mode"),
        ("-Z a@x", "sendmail: option -Z not recognized"),
        ("--foo a@x", "sendmail: option --foo not recognized"),
        ("-f", "sendmail: option -f requires argument"),
    ],
)
def test_what_there_is_not_is_named(line: str, what: str) -> None:
    with pytest.raises(UsageError) as error:
        order(line.split())
    assert (str(error.value), error.value.status) == (what, 64)


@pytest.mark.parametrize("line", ["-q", "-q30m", "-qRx", "-bi", "-I"])
def test_what_an_office_does_unasked_is_done(line: str) -> None:
    assert order(line.split()).does_nothing


def test_options_that_change_nothing_here_are_passed_over() -> None:
    line = "-Am -B8BITMIME -bm -C/etc/x -d0.1 -em -G -h17 -Lx -m -N never -n -oem -oA/etc/aliases -O X=y -p x"
    more = "-R hdrs -U -V x -X log -- -a@x b@x,c@x"
    assert order([*line.split(), *more.split()]).recipients == ("-a@x", "b@x", "c@x")
