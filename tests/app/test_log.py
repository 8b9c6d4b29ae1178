"""The log has what was asked for, and whatever happens to it, the mail goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postoffice.app.config import PORTS
from postoffice.app.observe import WAITING_LINES, Log, LogSettings
from postoffice.events import event
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB = "bob@a.example"


@contextmanager
def logging(settings: LogSettings) -> Iterator[int]:
    """A log that goes into a pipe, and the pipe's other end."""
    far, near = os.pipe()
    log = Log(settings, near)
    try:
        yield far
    finally:
        os.close(far)
        log.close()
        os.close(near)


def exchange(office: OfficeProcess) -> None:
    with SmtpRaw(office.ports["smtp"]) as writer:
        writer.ask("EHLO x.example")
        assert writer.send("x@elsewhere.example", [BOB], b"Subject: hello\r\n\r\nhello\r\n") == 250
        writer.ask("QUIT")
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(BOB, "secret").startswith(b"+OK")
        assert b"hello" in reader.retrieve(1)
        assert reader.ask("DELE 1").startswith(b"+OK")
        assert reader.ask("QUIT").startswith(b"+OK")


def test_what_is_left_out_is_not_written() -> None:
    with logging(LogSettings(("pop3", "letter.delivered"), format="json")) as far:
        for name in ("pop3.closed", "letter.delivered", "letter.accepted"):
            event(name, octets=1)
        [line] = os.read(far, 65536).splitlines()
        assert json.loads(line)["event"] == "letter.accepted"


@pytest.mark.parametrize(("format_", "begins"), [("text", b"20"), ("json", b"{")])
def test_lines_have_the_format_that_is_set(format_: str, begins: bytes) -> None:
    with logging(LogSettings(format=format_)) as far:
        event("letter.accepted", octets=1)
        [line] = os.read(far, 65536).splitlines()
        assert line.startswith(begins)
        assert b"letter.accepted" in line


def test_a_reader_that_is_stuck_costs_lines_and_the_log_says_how_many() -> None:
    with logging(LogSettings(format="json")) as far:
        told = 2 * WAITING_LINES
        for number in range(told):
            event("letter.accepted", number=number, text="x" * 50)
        written, there, dropped = b"", 0, 0
        while there + dropped < told:
            written += os.read(far, 1 << 20)
            lines = [json.loads(line) for line in written.splitlines(keepends=True) if line.endswith(b"\n")]
            missing = [line["lines"] for line in lines if line["event"] == "log.dropped"]
            there, dropped = len(lines) - len(missing), sum(missing)
        assert there + dropped == told
        assert dropped > 0


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {BOB: "secret"})
    return folder / "office"


def test_a_full_disk_under_the_log_costs_no_mail(data: Path) -> None:
    config = CLEAR_TEXT + '[log]\nfile = "/dev/full"\n'
    with OfficeProcess(data, config, ["--workers", "1"]) as office:
        exchange(office)
        assert office.stop() == 0


def test_after_a_rotation_the_log_goes_on_in_a_new_file(data: Path) -> None:
    path = data / "log"
    with OfficeProcess(data, CLEAR_TEXT + f'[log]\nfile = "{path}"\n', ["--workers", "1"]) as office:
        exchange(office)
        wait_until(lambda: b"pop3.closed" in path.read_bytes(), "the session is told")
        path.rename(data / "log.1")
        office.signal(signal.SIGHUP)
        wait_until(path.exists, "there is a new file")
        exchange(office)
        wait_until(lambda: b"pop3.closed" in path.read_bytes(), "the next session is told there")
        assert (data / "log.1").read_bytes().count(b"pop3.closed") == 1


def test_a_log_that_cannot_be_written_is_told_at_the_start(data: Path) -> None:
    office = OfficeProcess(data, '[log]\nfile = "/nowhere/at/all"\n')
    assert office.launch().wait(30) == os.EX_CANTCREAT
    office.kill()
    assert "/nowhere/at/all: cannot be the log: No such file" in office.log.read_text()


@pytest.mark.parametrize(("setting", "option"), [("json", ""), ("text", "--log-json"), ("text", ""), (None, "")])
def test_the_command_line_goes_before_the_setting(data: Path, setting: str | None, option: str) -> None:
    config, log = data.parent / "config.toml", data / "log"
    config.write_text(f'[log]\nfile = "{log}"\n' + (f'format = "{setting}"\n' if setting else ""))
    command = [sys.executable, "-m", "postoffice", "serve", "--data", str(data), "--config", str(config)]
    ports = [word for door in PORTS for word in ("--port", f"{door}=0")]
    with subprocess.Popen([*command, *ports, *filter(None, [option])], stdout=subprocess.PIPE, text=True) as office:
        try:
            assert office.stdout is not None
            port = re.search(r" pop3=127\.0\.0\.1:(\d+)", office.stdout.readline())
            assert port is not None
            with Pop3Raw(int(port[1])) as client:
                client.ask("QUIT")
            wait_until(lambda: "pop3.left" in log.read_text(), "the session is told")
        finally:
            office.terminate()
    assert log.read_text().startswith("{") == ("json" in (setting, option.removeprefix("--log-")))
