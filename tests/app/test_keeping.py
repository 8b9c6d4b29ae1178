"""While an office serves: all that is kept can be looked at, one damaged mailbox harms nobody else, and an account
goes and comes back under the eyes of its own clients."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.store.embedded.places import mailbox_path
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB, CAROL, PASSWORD = "bob@b.example", "carol@b.example", "secret"
SETTINGS = CLEAR_TEXT + "[office]\ntidy_seconds = 0.2\nabsorb_seconds = 0.1\nworkers = 2\n"


@pytest.fixture
def office(folder: Path) -> Iterator[OfficeProcess]:
    make_office(folder / "office", {BOB: PASSWORD, CAROL: PASSWORD})
    with OfficeProcess(folder / "office", SETTINGS) as office:
        yield office


def postoffice(office: OfficeProcess, *words: str) -> tuple[int, str, str]:
    call = [sys.executable, "-m", "postoffice", *words, "--data", str(office.data)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def send(office: OfficeProcess, number: int, *to: str, lines: int = 5) -> int:
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        return client.send("x@elsewhere.example", list(to), b"Subject: %d\r\n\r\n" % number + b"a line\r\n" * lines)


def answer(office: OfficeProcess, number: int) -> int:
    """What becomes of a letter for bob, at RCPT or behind it."""
    try:
        return send(office, number, BOB)
    except ConnectionError as error:
        return int(str(error).rpartition(": ")[2][:3])


def unique_ids(office: OfficeProcess, address: str = BOB) -> list[str]:
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(address, PASSWORD).startswith(b"+OK")
        return list(reader.unique_ids().values())


def absorbed(office: OfficeProcess, account_id: int) -> None:
    wait_until(mailbox_path(office.data, account_id).exists, "the mailbox has taken in what arrived")


def test_an_office_at_work_is_sound_whenever_it_is_looked_at(office: OfficeProcess) -> None:
    is_over = threading.Event()
    rounds: list[int] = []

    def work() -> None:
        while not is_over.is_set():
            send(office, len(rounds), BOB, CAROL, lines=60_000 if len(rounds) % 5 == 0 else 50)
            with Pop3Raw(office.ports["pop3"]) as reader:
                assert reader.log_in(BOB, PASSWORD).startswith(b"+OK")
                for number in reader.unique_ids():
                    reader.ask(f"DELE {number}")
                assert reader.ask("QUIT").startswith(b"+OK")
            rounds.append(1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(8):
            status, out, said = postoffice(office, "check", "--json")
            assert (status, said) == (0, ""), [one for one in json.loads(out)["found"] if not one["is_harmless"]]
    finally:
        is_over.set()
        worker.join()
    assert len(rounds) > 8, "nobody was at work"


def test_a_damaged_mailbox_is_told_and_harms_nobody_else(office: OfficeProcess) -> None:
    assert send(office, 1, BOB, CAROL) == 250
    absorbed(office, 1)
    absorbed(office, 2)
    office.stop()
    path = mailbox_path(office.data, 1)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    office.start()
    status, out, _ = postoffice(office, "check")
    assert status == 65
    assert all(f"1.mailbox of {BOB}" in line for line in out.splitlines()[:-1])
    assert send(office, 2, BOB, CAROL) == 250, "what comes for him waits in the office"
    assert len(unique_ids(office, CAROL)) == 2
    with Pop3Raw(office.ports["pop3"]) as reader:
        reader.ask(f"USER {BOB}")
        assert reader.ask(f"PASS {PASSWORD}").startswith(b"-ERR [SYS/TEMP]")


def test_an_account_goes_and_comes_back_while_its_files_are_open(office: OfficeProcess) -> None:
    assert postoffice(office, "account", "set", BOB, "recovery=30")[0] == 0
    assert send(office, 1, BOB) == 250
    absorbed(office, 1)
    assert send(office, 2, BOB) == 250
    before = unique_ids(office)
    assert postoffice(office, "account", "remove", BOB, "--yes")[0] == 0
    wait_until(lambda: answer(office, 3) == 550, "a door that remembered him puts one off, and looks again")
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(BOB, PASSWORD).startswith(b"-ERR [AUTH]")
    assert postoffice(office, "account", "recover", BOB)[0] == 0
    wait_until(lambda: answer(office, 4) == 250, "a letter is taken again")
    after = unique_ids(office)
    assert after[:2] == before
    assert len(after) == 3
    assert postoffice(office, "check")[0] == 0


def test_who_reads_his_letters_keeps_his_account_until_he_has_gone(office: OfficeProcess) -> None:
    assert send(office, 1, BOB) == 250
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(BOB, PASSWORD).startswith(b"+OK")
        status, _, said = postoffice(office, "account", "remove", BOB, "--yes")
        assert status == 75
        assert "somebody is in the maildrop" in said
        assert b"Subject: 1" in reader.retrieve(1)
        assert reader.ask("QUIT").startswith(b"+OK")
    assert postoffice(office, "account", "remove", BOB, "--yes")[0] == 0
