"""The README is true: its commands are run as they stand there, its tables name what there is."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.cli.main import COMMANDS, cli
from postoffice.testing.process import open_folder

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


def words(line: str) -> list[str]:
    """A line of the README with this environment's program in place of `./po`."""
    name, *rest = line.split()
    assert name == "./po"
    return [sys.executable, "-m", "postoffice", *rest]


def test_every_shell_line_is_a_call_of_po() -> None:
    assert LINES, "the README has no shell blocks"
    assert all(line.startswith("./po ") for line in LINES)
    assert "./po demo" in LINES
    assert "./po test" in LINES


@pytest.mark.parametrize("line", [line for line in LINES if line != "./po test"])
def test_every_shell_line_is_understood(line: str) -> None:
    """Its options and arguments are those of the command, whatever it would do."""
    arguments = line.split()[1:]
    name = arguments.pop(0)
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None, f"{name} is no command"
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context(name, arguments)


def answer_prompts(program: list[str], folder: Path, password: str) -> str:
    """Run a program on a terminal, typing the password at every prompt; gives what it wrote."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(program, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    written = b""
    deadline = time.monotonic() + 60
    asked = 0
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                portion = os.read(terminal, 4096)
            except OSError:
                break
            if not portion:
                break
            written += portion
            if written.count(b": ") > asked and written.endswith(b": "):
                asked = written.count(b": ")
                os.write(terminal, password.encode() + b"\n")
    status = process.wait(timeout=60)
    os.close(terminal)
    assert status == 0, written.decode()
    return written.decode()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: an office that gave root up must be able to pass, and pytest shuts its folders."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def serving(folder: Path) -> Iterator[tuple[Path, str]]:
    """The office of the README: made and opened by its own lines, in an empty folder."""
    init, serve, account, *more = (line for line in LINES if "--data ./mail" in line)
    answer_prompts(words(init), folder, "first secret")
    free = [
        option
        for door in ("smtp", "submission", "submissions", "pop3", "pop3s", "metrics")
        for option in ("--port", f"{door}=0")
    ]
    process = subprocess.Popen([*words(serve), *free], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready ")
        answer_prompts(words(account), folder, "second secret")
        for line in more:
            subprocess.run(words(line), cwd=folder, stdout=subprocess.DEVNULL, check=True)
        yield folder, ready
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        if process.stdout is not None:
            process.stdout.close()


def test_the_lines_of_the_readme_make_an_office_and_pull_from_it(serving: tuple[Path, str]) -> None:
    folder, ready = serving
    port = re.search(r"pop3s=127\.0\.0\.1:(\d+)", ready)
    smtp = re.search(r" smtp=127\.0\.0\.1:(\d+)", ready)
    assert port is not None
    assert smtp is not None
    import smtplib

    with smtplib.SMTP("localhost", int(smtp[1])) as client:
        client.sendmail("x@y.example", ["me@example.org"], "Subject: hello\r\n\r\nfrom afar\r\n")
    authority = folder / "authority.pem"
    shutil.copyfile(folder / "mail/tls/certificate.pem", authority)
    fetch, ls, read, search = (line for line in LINES if "mail.mailbox" in line)
    here = fetch.replace("pops://me@mail.example.org", f"pops://me%40example.org@localhost:{port[1]}")
    answer_prompts([*words(here), "--ca", str(authority)], folder, "first secret")
    listed = subprocess.run(words(ls), cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "hello" in listed
    shown = subprocess.run(words(read), cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "from afar" in shown
    found = subprocess.run(words(search), cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "from afar" in found


def test_every_command_stands_in_the_design() -> None:
    for name in COMMANDS:
        assert f"`postoffice {name}" in DESIGN or f", `postoffice {name}" in DESIGN, f"{name} is not in DESIGN.md"


def test_every_room_stands_in_the_readme_and_the_design() -> None:
    rooms = [room.name for room in (ROOT / "src/postoffice").iterdir() if (room / "__init__.py").exists()]
    assert rooms
    for room in rooms:
        assert f"`{room}/`" in README, f"{room} is not in README.md"
        assert f"  {room}/" in DESIGN, f"{room} is not in DESIGN.md"
