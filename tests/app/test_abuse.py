"""Whoever guesses passwords or comes in crowds is kept out by all workers at all doors; nobody else notices."""

from __future__ import annotations

import json
import re
import select
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, wait_until
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB, PASSWORD = "bob@a.example", "secret"
STRICT = CLEAR_TEXT + "[guard]\ntrusted_networks = []\nfailures = 3\nrefuse_seconds = 600\n[crowd]\nper_network = 20\n"


@pytest.fixture
def office() -> Iterator[OfficeProcess]:
    """Two workers; nobody is trusted."""
    with open_folder() as folder:
        make_office(folder / "office", {BOB: PASSWORD})
        with OfficeProcess(folder / "office", STRICT, ["--workers", "2"]) as office:
            yield office


def pop3_says(office: OfficeProcess, password: str, name: str = BOB) -> bytes:
    with Pop3Raw(office.ports["pop3"]) as client:
        return client.log_in(name, password)


def submission_says(office: OfficeProcess, password: str) -> int:
    with SmtpRaw(office.ports["submission"]) as client:
        client.ask("EHLO x.example")
        return client.log_in(BOB, password)


def test_a_guesser_is_refused_at_every_door_by_every_worker_and_after_a_restart(office: OfficeProcess) -> None:
    assert pop3_says(office, "guess 1").startswith(b"-ERR [AUTH]")
    assert submission_says(office, "guess 2") == 535
    assert pop3_says(office, "guess 3", "nobody@a.example").startswith(b"-ERR [AUTH]")
    for _ in range(2):
        assert {pop3_says(office, PASSWORD)[:15] for _ in range(8)} == {b"-ERR [SYS/TEMP]"}
        assert submission_says(office, PASSWORD) == 454
        office.stop()
        office.start()
    told = [event for event in office.events() if event["event"] == "login.penalised"]
    assert [(event["who"], event["seconds"]) for event in told] == [("127.0.0.1", 600)]
    assert "guess" not in office.log.read_text()


def test_status_tells_who_is_kept_out_and_forgive_lets_them_in(office: OfficeProcess) -> None:
    for number in range(3):
        pop3_says(office, f"guess {number}", "eve\x1b[2J@a.example")
    said = run("status", office)
    assert re.search(r"kept out +127\.0\.0\.1  refused for 9 min \d+ s, 3 failed logins\n", said), said
    assert "eve?[2j@a.example  3 failed logins\n" in said
    assert all(len(line) <= 80 for line in said.splitlines())
    assert pop3_says(office, PASSWORD).startswith(b"-ERR [SYS/TEMP]")
    assert run("forgive", office, "127.0.0.1") == "127.0.0.1 is forgiven\n"
    assert pop3_says(office, PASSWORD).startswith(b"+OK")
    assert run("forgive", office, "127.0.0.1") == "nothing stands against 127.0.0.1\n"
    office.stop()
    [left] = json.loads(run("status", office, "--json"))["kept out"]["penalties"]
    assert (left["kind"], left["failures"], left["until"]) == ("account", 3, None)


def run(command: str, office: OfficeProcess, *more: str) -> str:
    """What a command says."""
    words = [sys.executable, "-m", "postoffice", command, "--data", str(office.data), *more]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.stdout


def test_what_worked_goes_on_to_work_at_every_worker(office: OfficeProcess) -> None:
    assert pop3_says(office, PASSWORD).startswith(b"+OK")
    for number in range(4):
        pop3_says(office, f"guess {number}", "eve@a.example")
    assert pop3_says(office, "guess", "eve@a.example").startswith(b"-ERR [SYS/TEMP]")
    for _ in range(6):
        assert pop3_says(office, PASSWORD).startswith(b"+OK")


def test_a_connection_too_many_is_told_so_and_closed(office: OfficeProcess) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(office.ports[door])) for door in ("pop3", "smtp") for _ in range(40)]
        said = [client.line() for client in clients]
        refused = [
            client
            for client, line in zip(clients, said, strict=True)
            if line.startswith((b"-ERR [SYS/TEMP]", b"421 4.7.0"))
        ]
        assert len(clients) - len(refused) in (20, 21), "one may come in while the other worker lets one in"
        assert all(client.rest() == b"" for client in refused)
        wait_until(lambda: any(e["event"] == "connection.refused" for e in office.events()), "it is told")
        assert f"{len(refused)} connections beyond the limit of the network\n" in run("status", office)

    def is_free() -> bool:
        return pop3_says(office, PASSWORD).startswith(b"+OK")

    wait_until(is_free, "whoever left has left room")


def test_at_a_door_with_tls_callers_are_counted_before_their_handshake(office: OfficeProcess) -> None:
    context = ssl.create_default_context(cafile=office.data / "tls" / "certificate.pem")
    with ExitStack() as stack:
        port = office.ports["pop3s"]
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(40)]

        def are_closed() -> bool:
            return len(select.select(clients, [], [], 0)[0]) in (19, 20)

        wait_until(are_closed, "those beyond the limit find their connection closed")

    def is_free() -> bool:
        try:
            with Pop3Raw(port, context) as client:
                return client.log_in(BOB, PASSWORD).startswith(b"+OK")
        except OSError:
            return False

    wait_until(is_free, "whoever gave up his handshake has left room")
    for _ in range(25):
        assert is_free(), "and so has whoever was served"


def test_a_book_that_was_harmed_is_begun_anew_and_said(office: OfficeProcess) -> None:
    office.stop()
    (office.data / "guard.book").write_bytes(b"x" * 4096)
    office.start()
    assert pop3_says(office, PASSWORD).startswith(b"+OK")
    assert "guard.book is no book of failed logins, and is begun anew" in office.log.read_text()
