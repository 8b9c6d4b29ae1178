"""`postoffice serve` as a person runs it: what it says, what ends it, and what does not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from postoffice.net.tls import opportunistic_context
from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

ANNA, BOB, PASSWORD = "anna@a.example", "bob@a.example", "secret"
LETTER = b"Subject: hello\r\n\r\n.a line\r\n"
TIDY = "[office]\ntidy_seconds = 0.05\nabsorb_seconds = 0.0\n" + CLEAR_TEXT


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {ANNA: PASSWORD, BOB: PASSWORD})
    return folder / "office"


@pytest.fixture
def office(data: Path) -> Iterator[OfficeProcess]:
    with OfficeProcess(data, CLEAR_TEXT, ["--workers", "1"]) as office:
        yield office


def deliver(office: OfficeProcess, address: str, letter: bytes = LETTER) -> None:
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        assert client.send("x@elsewhere.example", [address], letter) == 250


def letters(office: OfficeProcess, address: str, password: str = PASSWORD) -> list[bytes]:
    with Pop3Raw(office.ports["pop3"]) as client:
        answer = client.log_in(address, password)
        assert answer.startswith(b"+OK"), answer
        found = [client.retrieve(number) for number in client.unique_ids()]
        client.ask("QUIT")
    return found


def refusal(data: Path, *words: str) -> tuple[int, str]:
    """Status and words of a server that does not start."""
    office = OfficeProcess(data, CLEAR_TEXT, words)
    status = office.launch().wait(30)
    office.kill()
    return status, office.log.read_text()


# --- at the start


def test_ready_names_every_door_with_its_loopback_addresses(office: OfficeProcess) -> None:
    words = office.ready.split()
    assert words[0] == "ready"
    doors = {(door, address.rpartition(":")[0]) for door, _, address in (word.partition("=") for word in words[1:])}
    expected = {"smtp", "pop3", "submission", "submissions", "pop3s", "lmtp", "metrics"}
    assert {door for door, _ in doors} == expected
    assert {host for _, host in doors} <= {"127.0.0.1", "[::1]"}
    for word in words[1:]:
        host, _, port = word.partition("=")[2].rpartition(":")
        socket.create_connection((host.strip("[]"), int(port))).close()


def test_a_second_server_on_a_folder_says_so_and_changes_nothing(office: OfficeProcess) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "postoffice", "serve", "--data", str(office.data), "--port", "smtp=0"]
        + [
            word
            for door in ("pop3", "pop3s", "submission", "submissions", "metrics")
            for word in ("--port", f"{door}=-1")
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == os.EX_TEMPFAIL
    assert second.stderr == f"postoffice: {office.data}: another postoffice serves this folder already\n"
    deliver(office, BOB)
    assert len(letters(office, BOB)) == 1


def test_a_port_in_use_is_told_with_host_port_and_door(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = refusal(data, "--port", f"pop3={port}")
    assert status == os.EX_OSERR
    assert said == f"postoffice: cannot listen on 127.0.0.1 port {port} for pop3: Address already in use\n"


def test_another_office_on_the_same_port_is_told_too(office: OfficeProcess, folder: Path) -> None:
    make_office(folder / "other", {ANNA: PASSWORD})
    port = office.ports["smtp"]
    status, said = refusal(folder / "other", "--port", f"smtp={port}")
    assert status == os.EX_OSERR
    assert said == f"postoffice: cannot listen on 127.0.0.1 port {port} for smtp: Address already in use\n"


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_an_office_is_told(folder: Path, exists: bool) -> None:
    data = folder / "nothing"
    if exists:
        data.mkdir(mode=0o755)
        shutil.chown(data, *_owner(folder))
    status, said = refusal(data)
    assert status == os.EX_NOINPUT
    assert said.count("\n") == 1
    assert "make one with: postoffice init" in said
    assert not exists or not list(data.iterdir())


def _owner(folder: Path) -> tuple[int, int]:
    return (65534, 65534) if os.geteuid() == 0 else (folder.stat().st_uid, folder.stat().st_gid)


def test_a_damaged_office_is_told_and_left_as_it_is(data: Path) -> None:
    file = data / "office.db"
    file.write_bytes(b"this is no database" + file.read_bytes()[19:])
    before = file.read_bytes()
    status, said = refusal(data)
    assert status == os.EX_DATAERR
    assert said.startswith("postoffice: ")
    assert "office.db" in said
    assert said.count("\n") == 1
    assert file.read_bytes() == before


def test_a_damaged_mailbox_harms_nobody_else_and_keeps_what_comes(data: Path) -> None:
    with OfficeProcess(data, TIDY) as office:
        deliver(office, ANNA)
        deliver(office, BOB)
        wait_until(lambda: not _arrivals(data), "both mailboxes have taken their letters in")
        office.stop()
        (file,) = data.glob("mailboxes/**/1.mailbox")
        whole = file.read_bytes()
        file.write_bytes(b"damage" * 100 + whole[600:])
        office.start()
        deliver(office, ANNA, LETTER + b"second\r\n")
        deliver(office, BOB, LETTER + b"second\r\n")
        with Pop3Raw(office.ports["pop3"]) as client:
            assert client.log_in(ANNA, PASSWORD).startswith(b"-ERR [SYS/TEMP]")
        wait_until(lambda: _arrivals(data) == [1], "the healthy mailbox is still looked after")
        assert len(letters(office, BOB)) == 2
        office.stop()
        file.write_bytes(whole)
        office.start()
        assert [letter.endswith(b"second\r\n") for letter in letters(office, ANNA)] == [False, True]


def _arrivals(data: Path) -> list[int]:
    """Whose letters are still in the office's file."""
    connection = apsw.Connection(str(data / "office.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return [account_id for (account_id,) in connection.execute("SELECT account_id FROM arrivals")]
    finally:
        connection.close()


# --- signals


def test_sigterm_lets_a_letter_come_to_its_end_and_sends_the_idle_away(office: OfficeProcess) -> None:
    with (
        SmtpRaw(office.ports["smtp"]) as writer,
        SmtpRaw(office.ports["smtp"]) as idle,
        Pop3Raw(office.ports["pop3"]) as reader,
    ):
        writer.ask("EHLO x.example")
        writer.begin("x@elsewhere.example", [BOB])
        writer.say(b"Subject: in the middle\r\n\r\n")
        idle.ask("EHLO x.example")
        assert reader.log_in(BOB, PASSWORD).startswith(b"+OK")
        office.signal(signal.SIGTERM)
        assert idle.reply()[0] == 421
        assert idle.rest() == b""
        assert reader.rest() == b""
        writer.say(b"the rest of it\r\n.\r\n")
        assert writer.reply()[0] == 250
        assert writer.reply()[0] == 421
    assert office.wait() == 0
    office.start()
    assert letters(office, BOB)[0].endswith(b"the rest of it\r\n")


def test_sighup_shows_a_new_certificate_and_disturbs_no_session(folder: Path) -> None:
    first, second = Authority(), Authority()
    make_office(folder / "office", {BOB: PASSWORD}, first)
    tls = folder / "office" / "tls"
    with OfficeProcess(folder / "office") as office:
        port = office.ports["pop3s"]
        with Pop3Raw(port, ssl.create_default_context(cafile=first.ca_path)) as session:
            owner = (tls / "key.pem").stat()
            for path in second.issue(["localhost"], tls):
                os.chown(path, owner.st_uid, owner.st_gid)
            office.signal(signal.SIGHUP)
            trust = ssl.create_default_context(cafile=second.ca_path)
            for _ in office.children("worker"):
                wait_until(lambda: _shakes_hands(port, trust), "the new certificate is shown")
            assert session.log_in(BOB, PASSWORD).startswith(b"+OK")
            assert session.ask("QUIT").startswith(b"+OK")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_comes_back_resumes_its_session_at_any_worker(data: Path, version: ssl.TLSVersion) -> None:
    context = opportunistic_context()
    context.maximum_version = version
    with OfficeProcess(data, options=["--workers", "2"]) as office:
        address, session = ("127.0.0.1", office.ports["pop3s"]), None
        for number in range(16):  # the kernel chooses among two workers, each time anew
            connection = socket.create_connection(address, timeout=20)
            with context.wrap_socket(connection, session=session) as secured:
                assert secured.recv(100).startswith(b"+OK")
                assert secured.session_reused == (number > 0)
                session = secured.session


def test_a_worker_is_replaced_also_while_the_certificate_is_a_wrong_file(office: OfficeProcess) -> None:
    (office.data / "tls/key.pem").write_text("no key")
    office.signal(signal.SIGHUP)
    wait_until(lambda: "tls.reload_failed" in office.log.read_text(), "the trouble is told")
    (worker,) = office.children("worker")
    os.kill(worker, signal.SIGKILL)
    with Pop3Raw(office.ports["pop3s"], opportunistic_context()) as client:
        assert client.greeting.startswith(b"+OK")
    assert office.children("worker") != [worker]


def _shakes_hands(port: int, trust: ssl.SSLContext) -> bool:
    try:
        Pop3Raw(port, trust).close()
    except ssl.SSLCertVerificationError:
        return False
    return True


# --- processes that die


def test_a_killed_worker_is_replaced_and_who_waits_at_the_door_is_answered(office: OfficeProcess) -> None:
    (worker,) = office.children("worker")
    os.kill(worker, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", office.ports["smtp"]), timeout=20) as waiting:
        os.kill(worker, signal.SIGKILL)
        assert waiting.recv(100).startswith(b"220 ")
    assert office.children("worker") != [worker]
    deliver(office, BOB)


def test_a_stuck_worker_is_replaced_and_who_waits_at_the_door_is_answered(data: Path) -> None:
    config = "[office]\nstuck_seconds = 2.0\n" + CLEAR_TEXT
    with OfficeProcess(data, config, ["--workers", "1"]) as office:
        (worker,) = office.children("worker")
        os.kill(worker, signal.SIGSTOP)
        with socket.create_connection(("127.0.0.1", office.ports["pop3"]), timeout=20) as waiting:
            assert waiting.recv(100).startswith(b"+OK")
        assert "worker 0 is stuck" in office.log.read_text()
        assert letters(office, BOB) == []


def test_a_stuck_committer_is_replaced_and_the_next_letter_is_taken(data: Path) -> None:
    with OfficeProcess(data, "[office]\nstuck_seconds = 2.0\n" + CLEAR_TEXT) as office:
        (committer,) = office.children("committer")
        os.kill(committer, signal.SIGSTOP)
        with SmtpRaw(office.ports["smtp"]) as client:
            client.ask("EHLO x.example")
            # 250 where the job still waited at the committer's door, and the next one found it there.
            first = client.send("x@elsewhere.example", [BOB], LETTER)
            assert first in (250, 451)
            assert client.send("x@elsewhere.example", [BOB], LETTER + b"next\r\n") == 250
        assert "committer is stuck" in office.log.read_text()
        expected = [False, True] if first == 250 else [True]
        assert [letter.endswith(b"next\r\n") for letter in letters(office, BOB)] == expected


def test_letters_under_way_when_the_committer_dies_get_an_answer_and_the_next_is_taken(
    office: OfficeProcess,
) -> None:
    (committer,) = office.children("committer")
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        os.kill(committer, signal.SIGSTOP)
        client.begin("x@elsewhere.example", [BOB])
        client.say(LETTER + b".\r\n")
        os.kill(committer, signal.SIGKILL)
        # 250 where the job still waited at the committer's door, and the next one found it there.
        first = client.reply()[0]
        assert first in (250, 451)
        assert client.send("x@elsewhere.example", [BOB], LETTER + b"next\r\n") == 250
    kept = letters(office, BOB)
    assert kept[-1].endswith(b"next\r\n")
    assert len(kept) == 2 if first == 250 else len(kept) <= 2


def test_the_children_of_a_killed_parent_end_by_themselves(data: Path) -> None:
    with OfficeProcess(data) as office:
        office.signal(signal.SIGKILL)
        assert office.wait() == -signal.SIGKILL
        office.start()
        deliver(office, BOB)


# --- whose it is


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_is_given_up_by_every_process(office: OfficeProcess) -> None:
    deliver(office, BOB)
    for pid in office.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        (uids,) = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
        assert "0" not in uids


def test_nobody_but_its_owner_may_look_into_the_folder(data: Path) -> None:
    with OfficeProcess(data, TIDY) as office:
        deliver(office, BOB)
        deliver(office, BOB, LETTER + b"x" * 300_000 + b"\r\n")
        wait_until(lambda: not _arrivals(data), "the mailbox has taken its letters in")
        modes = {}
        for path in (data, *data.rglob("*")):
            with suppress(FileNotFoundError):  # the office lives, and so does what lies in its folder
                modes[path] = stat.S_IMODE(path.lstat().st_mode)
    for path, mode in modes.items():
        public = 0o044 if path.name == "certificate.pem" else 0
        assert mode & 0o077 == public, f"{path} has {mode:o}"


# --- commands beside a running server


def command(office: OfficeProcess, *words: str, given: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "postoffice", *words, "--data", str(office.data)],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_people_come_change_and_go_while_the_server_runs(office: OfficeProcess) -> None:
    carl = "carl@c.example"
    assert command(office, "account", "add", carl, "--password-stdin", given="first\n")[0] == 0
    assert command(office, "account", "list")[1].split() == [ANNA, BOB, carl]
    deliver(office, carl)
    assert len(letters(office, carl, "first")) == 1
    assert ["letters", "1"] in [line.split() for line in command(office, "account", "show", carl)[1].splitlines()]
    assert command(office, "account", "password", carl, "--password-stdin", given="second\n")[0] == 0
    assert len(letters(office, carl, "second")) == 1
    with Pop3Raw(office.ports["pop3"]) as client:
        assert client.log_in(carl, "first").startswith(b"-ERR [AUTH]")
    assert command(office, "account", "remove", carl, "--yes")[0] == 0
    with Pop3Raw(office.ports["pop3"]) as client:
        assert client.log_in(carl, "second").startswith(b"-ERR [AUTH]")
    assert command(office, "account", "show", carl)[::2] == (
        os.EX_NOUSER,
        f"postoffice: {carl}: there is no such account\n",
    )


def test_the_queue_shows_what_is_on_its_way(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    route = f'[relay.routes."far.example"]\nhost = "127.0.0.1"\nport = {port}\n'
    with OfficeProcess(data, route + CLEAR_TEXT) as office:
        assert "nothing is on its way" in command(office, "queue")[2]
        with SmtpRaw(office.ports["submission"]) as client:
            client.ask("EHLO x.example")
            assert client.log_in(BOB, PASSWORD) == 235
            assert client.send(BOB, ["carl@far.example"], LETTER) == 250
        wait_until(lambda: "1 tries" in command(office, "queue")[1], "the letter was tried")
        said = command(office, "queue", "--now")[1]
        assert f"from {BOB}  to carl@far.example" in said
        assert "cannot reach 127.0.0.1" in said
