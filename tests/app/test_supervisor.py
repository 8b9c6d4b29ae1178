"""The parent of an office: it hears what it is told at any moment, and goes on whatever becomes of its children."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.process import OfficeProcess, make_office, wait_until
from postoffice.testing.raw import SmtpRaw

BOB = "bob@a.example"
LETTER = b"Subject: hello\r\n\r\na line\r\n"


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {BOB: "secret"})
    return folder / "office"


@pytest.fixture
def office(data: Path) -> Iterator[OfficeProcess]:
    with OfficeProcess(data, options=["--workers", "1"]) as office:
        yield office


def deliver(office: OfficeProcess) -> None:
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        assert client.send("x@elsewhere.example", [BOB], LETTER) == 250


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_stop_while_children_are_started_stops_at_once(data: Path, number: int) -> None:
    office = OfficeProcess(data, "[office]\ndrain_seconds = 1\n", ["--workers", "8"])
    for children in (1, 2, 4, 8):
        office.launch()
        try:
            wait_until(lambda least=children: len(office.pids()) > least, "its children are being started")  # type: ignore[misc]
            office.signal(number)
            told = time.monotonic()
            assert office.wait() == 0
            assert time.monotonic() - told < 9, "after ten seconds it kills whoever does not end"
        finally:
            office.kill()


def test_an_office_whose_children_all_died_goes_on(office: OfficeProcess) -> None:
    deliver(office)
    before = office.pids()[1:]
    os.kill(office.pid, signal.SIGSTOP)  # it sees all of them dead at once
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    os.kill(office.pid, signal.SIGCONT)
    wait_until(lambda: bool(office.children("worker") and office.children("committer")), "there are new children")
    deliver(office)
    assert not set(before) & set(office.pids())
    assert office.stop() == 0


def test_an_office_whose_log_nobody_reads_goes_on(data: Path) -> None:
    office = OfficeProcess(data, options=["--workers", "1"])
    os.mkfifo(office.log)
    reader = os.open(office.log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        office.start()
    finally:
        os.close(reader)
    with_children = office.children("worker")
    try:
        for pid in with_children:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: bool(set(office.children("worker")) - set(with_children)), "there is a new worker")
        deliver(office)
        assert office.stop() == 0
    finally:
        office.kill()


def test_a_service_manager_that_watches_hears_that_we_live(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = data.with_name("notify")
        manager.bind(str(address))
        address.chmod(0o666)
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        with OfficeProcess(data, options=["--workers", "1"]) as office:
            heard = [manager.recv(100) for _ in range(3)]
            assert b"READY=1" in heard
            assert heard.count(b"WATCHDOG=1") == 2
            assert office.stop() == 0
        while (said := manager.recv(100)) != b"STOPPING=1":
            assert said == b"WATCHDOG=1"
